//! `INFO`: the server's state, in Redis's sections and fields as far as they have a meaning here, and some of our own.

mod cpu;
mod holdfast;
mod statistics;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use pmem::pool::HistoryId;
use pmem::{Medium, Stats};

use crate::commands::arguments::is;
use crate::commands::failure::Outcome;
use crate::commands::version::REDIS_VERSION;
use crate::commands::{Context, Request};
use crate::shared::Shared;
use crate::usage;

/// A part of the reply.
struct Section {
    /// Its title, by which it is asked for, too.
    name: &'static str,
    /// Whether it is shown when nothing is asked for.
    default: bool,
    /// Writes its lines.
    write: fn(&mut String, &Shared),
}

impl Section {
    const fn new(name: &'static str, write: fn(&mut String, &Shared)) -> Self {
        Self { name, default: true, write }
    }
}

/// The sections in the order of the reply, which is Redis's.
const SECTIONS: [Section; 13] = [
    Section::new("Server", server),
    Section::new("Clients", clients),
    Section::new("Memory", memory),
    Section::new("Persistence", persistence),
    Section::new("Stats", stats),
    Section::new("Replication", replication),
    Section::new("CPU", cpu::write),
    Section::new("Modules", |_, _| {}),
    Section { default: false, ..Section::new("Commandstats", statistics::commands) },
    Section::new("Errorstats", statistics::errors),
    Section::new("Cluster", |text, _| text.push_str("cluster_enabled:0\r\n")),
    Section::new("Keyspace", keyspace),
    Section::new("Holdfast", holdfast::write),
];

/// `INFO [section ...]`
pub fn info<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let wanted = |section: &Section| {
        let names = |name: &[u8]| {
            is(name, section.name)
                || is(name, "all")
                || is(name, "everything")
                || section.default && is(name, "default")
        };
        request.len() == 1 && section.default || request.from(1).any(names)
    };
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| wanted(section)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let _ = write!(text, "# {}\r\n", section.name);
        (section.write)(&mut text, context.shared);
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

use lines;

fn server(text: &mut String, shared: &Shared) {
    let uptime = shared.now_ms.saturating_sub(shared.info.started_ms) / 1000;
    lines!(text,
        "redis_version": REDIS_VERSION,
        "redis_mode": "standalone",
        "os": if cfg!(target_os = "hermit") { "Holdfast" } else { std::env::consts::OS },
        "arch_bits": usize::BITS,
        "run_id": shared.info.run_id,
        "tcp_port": shared.info.port,
        "server_time_usec": shared.now_us,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
    );
}

/// There are no replicas. The id and the offset are those of the pool's history; where the pool does not tell them
/// (version 1 of the format), the id is the run's.
fn replication(text: &mut String, shared: &Shared) {
    let history = shared.pool.history;
    let hex = |id: HistoryId| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let before = history.and_then(|history| history.before);
    let second_offset = before.map_or(-1, |(_, end)| i64::try_from(end).unwrap_or(i64::MAX));
    lines!(text,
        "role": "master",
        "connected_slaves": 0,
        "master_replid": history.map_or_else(|| shared.info.run_id.clone(), |history| hex(history.id)),
        "master_replid2": hex(before.map_or([0; 20], |(id, _)| id)),
        "master_repl_offset": history.map_or(0, |history| history.offset),
        "second_repl_offset": second_offset,
    );
}

fn clients(text: &mut String, shared: &Shared) {
    lines!(text,
        "connected_clients": shared.clients,
        "maxclients": shared.limits.clients,
        "blocked_clients": 0,
    );
}

/// What counts as used is what `maxmemory` bounds: the data in pmem. What is resident is the program's DRAM, so that
/// the two have no ratio.
fn memory(text: &mut String, shared: &Shared) {
    let (used, peak) = (shared.pool.live_bytes, shared.statistics.peak_bytes);
    lines!(text,
        "used_memory": used,
        "used_memory_human": Bytes(used),
    );
    if let Some(resident) = usage::resident_bytes() {
        lines!(text,
            "used_memory_rss": resident,
            "used_memory_rss_human": Bytes(resident),
        );
    }
    lines!(text,
        "used_memory_peak": peak,
        "used_memory_peak_human": Bytes(peak),
        "used_memory_peak_perc": format!("{:.2}%", used as f64 / peak.max(1) as f64 * 100.0),
        "used_memory_index": shared.pool.index_bytes,
        "used_memory_clients": shared.memory.used(),
        "maxmemory": shared.maxmemory(),
        "maxmemory_human": Bytes(shared.maxmemory()),
        "maxmemory_policy": "noeviction",
    );
}

fn persistence(text: &mut String, _: &Shared) {
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

fn stats(text: &mut String, shared: &Shared) {
    let counters = &shared.counters;
    let rates = shared.statistics.rates(shared.now_ms, counters);
    let kibibytes = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    lines!(text,
        "total_connections_received": counters.connections,
        "total_commands_processed": counters.commands,
        "instantaneous_ops_per_sec": rates.commands.round() as u64,
        "total_net_input_bytes": counters.input_bytes,
        "total_net_output_bytes": counters.output_bytes,
        "instantaneous_input_kbps": kibibytes(rates.input_bytes),
        "instantaneous_output_kbps": kibibytes(rates.output_bytes),
        "rejected_connections": counters.rejected,
        "expired_keys": counters.expired,
        "evicted_keys": 0,
        "evicted_clients": counters.evicted,
        "keyspace_hits": counters.hits,
        "keyspace_misses": counters.misses,
        "total_error_replies": counters.errors,
    );
}

/// Where the pool does not know the keys with an expiry, those are told that the last pass of the active expiry met.
fn keyspace(text: &mut String, shared: &Shared) {
    let Stats { keys, expiring_keys, mean_expiry_ms, .. } = shared.pool;
    if keys > 0 {
        let expires = expiring_keys.unwrap_or(shared.expiry.with_expiry).min(keys);
        let ttl = mean_expiry_ms.map_or(0, |mean| mean.saturating_sub(shared.now_ms));
        let _ = write!(text, "db0:keys={keys},expires={expires},avg_ttl={ttl}\r\n");
    }
}

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
