//! `INFO`: the server's state, in Redis's sections and fields as far as they have a meaning here, and some of our own.

use std::fmt::Write;

use pmem::{Medium, protection};

use super::arguments::is;
use super::connection::REDIS_VERSION;
use super::failure::Outcome;
use super::{Context, Request};
use crate::state::State;

/// Writes one section's lines.
type Section = fn(&mut String, &State);

/// The sections in the order of the reply. All are shown when nothing is asked for.
const SECTIONS: [(&str, Section); 9] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", |text, _| text.push_str("role:master\r\nconnected_slaves:0\r\n")),
    ("CPU", cpus),
    ("Keyspace", keyspace),
    ("Holdfast", holdfast),
];

/// `INFO [section ...]`
pub fn info<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let everything = request.len() == 1
        || request.from(1).any(|name| is(name, "default") || is(name, "all") || is(name, "everything"));
    let mut text = String::new();
    for (name, write) in SECTIONS {
        if everything || request.from(1).any(|wanted| is(wanted, name)) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let _ = write!(text, "# {name}\r\n");
            write(&mut text, context.state);
        }
    }
    context.reply.text(&text);
    Ok(())
}

/// Appends `name:value` lines.
macro_rules! lines {
    ($text:expr, $($name:literal: $value:expr,)*) => {{
        // Writing to a string cannot fail.
        $(let _ = write!($text, concat!($name, ":{}\r\n"), $value);)*
    }};
}

fn server(text: &mut String, state: &State) {
    let uptime = state.now_ms.saturating_sub(state.facts.started_ms) / 1000;
    lines!(text,
        "redis_version": REDIS_VERSION,
        "redis_mode": "standalone",
        "os": if cfg!(target_os = "hermit") { "Holdfast" } else { std::env::consts::OS },
        "arch_bits": usize::BITS,
        "run_id": state.facts.run_id,
        "tcp_port": state.facts.port,
        "server_time_usec": state.now_us,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
    );
}

fn clients(text: &mut String, state: &State) {
    lines!(text,
        "connected_clients": state.clients,
        "maxclients": state.limits.clients,
        "blocked_clients": 0,
    );
}

fn memory(text: &mut String, state: &State) {
    lines!(text,
        "used_memory": state.pool.live_bytes,
        "used_memory_human": Bytes(state.pool.live_bytes),
        "used_memory_index": state.pool.index_bytes,
        "used_memory_clients": state.client_memory,
        "maxmemory": state.pool.capacity_bytes,
        "maxmemory_human": Bytes(state.pool.capacity_bytes),
        "maxmemory_policy": "noeviction",
    );
}

fn persistence(text: &mut String, _: &State) {
    // A write is acknowledged when it is durable: nothing is ever pending, and nothing can fail later.
    lines!(text,
        "loading": 0,
        "rdb_changes_since_last_save": 0,
        "rdb_bgsave_in_progress": 0,
        "rdb_last_bgsave_status": "ok",
        "aof_enabled": 1,
        "aof_rewrite_in_progress": 0,
        "aof_last_write_status": "ok",
    );
}

fn stats(text: &mut String, state: &State) {
    let counters = &state.counters;
    lines!(text,
        "total_connections_received": counters.connections,
        "total_commands_processed": counters.commands,
        "total_net_input_bytes": counters.input_bytes,
        "total_net_output_bytes": counters.output_bytes,
        "rejected_connections": counters.rejected,
        "expired_keys": counters.expired,
        "evicted_keys": 0,
        "evicted_clients": counters.evicted,
        "keyspace_hits": counters.hits,
        "keyspace_misses": counters.misses,
        "total_error_replies": counters.errors,
    );
}

/// What each of the guest's CPUs has done since boot.
#[cfg(target_os = "hermit")]
fn cpus(text: &mut String, _: &State) {
    for (cpu, done) in libos::arch::percpu::statistics_by_cpu() {
        let _ = write!(
            text,
            "cpu{cpu}:switches={},interrupts={},shootdowns_sent={},shootdowns_deferred={}\r\n",
            done.switches, done.interrupts, done.shootdown_interrupts, done.shootdowns_deferred
        );
    }
}

/// On the host they are another system's affair.
#[cfg(not(target_os = "hermit"))]
fn cpus(_: &mut String, _: &State) {}

/// The keys with an expiry are those that the last pass of the active expiry met.
fn keyspace(text: &mut String, state: &State) {
    let keys = state.pool.keys;
    if keys > 0 {
        let _ = write!(text, "db0:keys={keys},expires={},avg_ttl=0\r\n", state.expiry.with_expiry.min(keys));
    }
}

fn holdfast(text: &mut String, state: &State) {
    let pool = &state.pool;
    let per_operation = |count: u64| format!("{:.3}", count as f64 / pool.operations.max(1) as f64);
    lines!(text,
        "holdfast_version": env!("CARGO_PKG_VERSION"),
        "protection": state.facts.protection,
        "fault_policy": protection::fault_policy().as_deref().unwrap_or("none"),
        "device": state.facts.device,
        "device_bytes": state.facts.device_bytes,
        "pool_opening": state.facts.opening,
        "pool_keys": pool.keys,
        "pool_capacity_bytes": pool.capacity_bytes,
        "pool_live_bytes": pool.live_bytes,
        "pool_used_bytes": pool.used_bytes,
        "pool_free_bytes": pool.free_bytes,
        "pool_quarantined_bytes": pool.quarantined_bytes,
        "pool_bad_bytes": pool.bad_bytes,
        "pool_bad_ranges": state.bad_ranges,
        "pool_lost_keys": pool.lost_keys,
        "pool_damaged_places": pool.damaged_places,
        "scrub_rate": state.scrub.rate(),
        "scrub_position": state.scrub.progress.position,
        "scrub_passes": state.scrub.progress.passes,
        "scrub_last_pass_ms": state.scrub.last_pass_ms,
        "scrub_bytes": state.scrub.progress.bytes,
        "scrub_errors": state.scrub.progress.errors,
        "pool_index_bytes": pool.index_bytes,
        "pool_other_bytes": pool.other_bytes,
        "pool_turns": pool.turns,
        "pool_commits": pool.commits,
        "pool_operations": pool.operations,
        "pool_segments_cleaned": pool.segments_cleaned,
        "pool_bytes_moved": pool.bytes_moved,
        "read_grants": pool.medium.read_grants,
        "write_grants": pool.medium.write_grants,
        "bytes_loaded": pool.medium.bytes_loaded,
        "bytes_stored": pool.medium.bytes_stored,
        "bytes_streamed": pool.medium.bytes_streamed,
        "lines_written_back": pool.medium.lines_written_back,
        "fences": pool.medium.fences,
        "bytes_stored_per_operation": per_operation(pool.medium.bytes_stored),
        "lines_written_back_per_operation": per_operation(pool.medium.lines_written_back),
        "fences_per_operation": per_operation(pool.medium.fences),
    );
    // Of the whole machine, this turn included; the counts above are those before this turn.
    let activity = protection::activity();
    lines!(text,
        "pkrs_writes": activity.register_writes(),
        "pkrs_writes_grants": activity.grant_writes,
        "pkrs_writes_traps": activity.trap_writes,
        "pkrs_writes_switches": activity.switch_writes,
        "pkrs_writes_skipped": activity.skipped_writes,
        "stray_accesses": activity.stray_accesses,
        "threads_ended": activity.threads_ended,
    );
    machine(text);
}

/// What of the machine's memory is free, in bytes, and how long its boot took, by stage, in microseconds.
#[cfg(target_os = "hermit")]
fn machine(text: &mut String) {
    lines!(text, "memory_available": libos::mm::available_bytes(),);
    let report = libos::boot::report();
    lines!(text, "boot_us": report.total(),);
    text.push_str("boot_stages_us:");
    for (number, stage) in report.stages().iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{}={}", stage.name, stage.to - stage.from);
    }
    text.push_str("\r\n");
}

/// On the host there is no machine of its own.
#[cfg(not(target_os = "hermit"))]
fn machine(_: &mut String) {}

/// A number of bytes for people, as Redis writes it: `1.50K`.
struct Bytes(u64);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = (self.0.max(1).ilog2() / 10).min(5);
        match unit {
            0 => write!(f, "{}B", self.0),
            _ => write!(
                f,
                "{:.2}{}",
                self.0 as f64 / (1u64 << (10 * unit)) as f64,
                [' ', 'K', 'M', 'G', 'T', 'P'][unit as usize]
            ),
        }
    }
}
