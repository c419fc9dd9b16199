//! Our own section: what protects the store and what the pool has done.

use std::fmt::Write;

use pmem::protection;

use super::lines;
use crate::shared::Shared;

/// The section's lines.
pub fn write(text: &mut String, shared: &Shared) {
    let pool = &shared.pool;
    let per_operation = |count: u64| format!("{:.3}", count as f64 / pool.operations.max(1) as f64);
    lines!(text,
        "holdfast_version": env!("CARGO_PKG_VERSION"),
        "protection": shared.info.protection,
        "fault_policy": protection::fault_policy().as_deref().unwrap_or("none"),
        "durable": shared.info.durable,
        "durable_by": shared.info.durable_by,
        "device": shared.info.device,
        "device_bytes": shared.info.device_bytes,
        "pool_opening": shared.info.opening,
        "pool_keys": pool.keys,
        "pool_capacity_bytes": pool.capacity_bytes,
        "pool_live_bytes": pool.live_bytes,
        "pool_used_bytes": pool.used_bytes,
        "pool_free_bytes": pool.free_bytes,
        "pool_quarantined_bytes": pool.quarantined_bytes,
        "pool_bad_bytes": pool.bad_bytes,
        "pool_bad_ranges": shared.bad_ranges,
        "pool_lost_keys": pool.lost_keys,
        "pool_damaged_places": pool.damaged_places,
        "scrub_rate": shared.scrub.rate(),
        "scrub_position": shared.scrub.progress.position,
        "scrub_passes": shared.scrub.progress.passes,
        "scrub_last_pass_ms": shared.scrub.last_pass_ms,
        "scrub_bytes": shared.scrub.progress.bytes,
        "scrub_errors": shared.scrub.progress.errors,
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
        "syncs": pool.medium.syncs,
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
