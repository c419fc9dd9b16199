//! `pool info` and `pool check`: what an image holds, and what in it is damaged.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use pmem::pool::{Checkpoint, Damage, Repair, Tail};
use pmem::{Device, Inspection, Pool};
use serde_json::{Value, json};

/// What an image holds, for people or as JSON. The image is only read, and locked against writers in the meantime.
///
/// # Errors
/// When the file cannot be read, a machine is using it, or it holds no pool that this version knows.
pub fn info(path: &Path, json: bool) -> Result<String> {
    let inspection = inspect(path)?;
    Ok(match json {
        true => format!("{:#}", describe(path, &inspection)),
        false => format!("image:     {}\n{inspection}", path.display()),
    })
}

/// What a check found, and whether the pool is free of damage now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// For people, or as JSON.
    pub text: String,
    /// There is no damage, or it was repaired.
    pub sound: bool,
}

/// Verifies all of an image, and names every damaged byte range. With `repair`, the damage is isolated: whole records
/// leave damaged segments, what is not whole is given up.
///
/// # Errors
/// As [`info`], and when the repair cannot be done.
pub fn check(path: &Path, repair: bool, json: bool) -> Result<Verdict> {
    let found = inspect(path)?;
    let repaired = match repair && !found.report.damage.is_empty() {
        true => Some(repair_image(path).with_context(|| format!("cannot repair {}", path.display()))?),
        false => None,
    };
    let left = match repaired {
        Some(_) => inspect(path)?.report.damage,
        None => found.report.damage.clone(),
    };
    let text = match json {
        true => {
            let mut value = describe(path, &found);
            value["repaired"] = repaired.as_ref().map_or(Value::Null, describe_repair);
            value["damage_left"] = left.iter().map(describe_damage).collect();
            format!("{value:#}")
        }
        false => summarise(path, &found, repaired.as_ref(), &left),
    };
    Ok(Verdict { text, sound: left.is_empty() })
}

fn inspect(path: &Path) -> Result<Inspection> {
    let device = Device::open_read_only(super::image(path)?)?;
    pmem::inspect(&device).map_err(|error| super::no_pool(path, error))
}

fn repair_image(path: &Path) -> Result<Repair> {
    let mut pool = Pool::open(Device::open(path)?)?;
    let repair = pool.repair()?;
    pool.close()?;
    Ok(repair)
}

fn summarise(path: &Path, found: &Inspection, repaired: Option<&Repair>, left: &[Damage]) -> String {
    let report = &found.report;
    let mut text = format!(
        "{}: {} records of {} bytes verified, {} keys; {}",
        path.display(),
        report.records,
        report.bytes_scanned,
        report.keys,
        report.tail
    );
    match report.checkpoint {
        Checkpoint::None => {}
        Checkpoint::Used { bytes } => {
            let _ = write!(text, "\na checkpoint of {bytes} bytes, compared with the records");
        }
        Checkpoint::Refused { why } => {
            let _ = write!(text, "\na checkpoint that does not count: {why}");
        }
    }
    if report.damage.is_empty() {
        text.push_str("\nno damage");
    }
    for damage in &report.damage {
        let _ = write!(text, "\ndamaged: {damage}");
    }
    for bad in &report.bad_ranges {
        let _ = write!(
            text,
            "\nbad: bytes {:#x}..{:#x} could not be read once; their segment is not used any more",
            bad.start, bad.end
        );
    }
    if report.lost_keys > 0 {
        let _ = write!(text, "\nlost: {} keys, until they are written anew or removed", report.lost_keys);
    }
    if let Some(repair) = repaired {
        let (segments, bytes) = (repair.segments_freed, repair.bytes_moved);
        let _ = write!(text, "\nrepaired: {bytes} bytes of whole records moved out of {segments} segments");
        for key in &repair.keys_removed {
            let _ = write!(text, "\nremoved, for its value is not whole: {}", key.escape_ascii());
        }
        for damage in left {
            let _ = write!(text, "\nstill damaged: {damage}");
        }
    } else if !left.is_empty() {
        text.push_str("\n`cargo xtask pool check --repair` isolates the damage; copy the image first");
    }
    text
}

fn describe(path: &Path, inspection: &Inspection) -> Value {
    let report = &inspection.report;
    let uuid: String = inspection.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let end = match report.tail {
        Tail::Clean => json!({ "kind": "clean" }),
        Tail::Unclean => json!({ "kind": "unclean" }),
        Tail::Torn { offset, discarded } => json!({ "kind": "torn", "offset": offset, "discarded": discarded }),
    };
    let checkpoint = match report.checkpoint {
        Checkpoint::None => json!({ "kind": "none" }),
        Checkpoint::Used { bytes } => json!({ "kind": "valid", "bytes": bytes }),
        Checkpoint::Refused { why } => json!({ "kind": "refused", "why": why }),
    };
    json!({
        "image": path.display().to_string(),
        "version": inspection.version,
        "features_to_read": inspection.features_to_read,
        "features_to_write": inspection.features_to_write,
        "uuid": uuid,
        "label": inspection.label,
        "newest_batch": inspection.batch,
        "newest_link": format!("{:016x}", inspection.link),
        "bytes": inspection.len,
        "unused_bytes": report.unused_bytes,
        "segment_bytes": inspection.segment_size,
        "segments": report.segments,
        "segments_used": report.segments_used,
        "segments_free": inspection.segments_free,
        "segments_checkpoint": inspection.segments_checkpoint,
        "segments_set_aside": inspection.segments_quarantined,
        "capacity_bytes": inspection.capacity_bytes,
        "live_bytes": inspection.live_bytes,
        "keys": report.keys,
        "records": report.records,
        "records_bytes": report.bytes_scanned,
        "operations_passed_over": report.passed_over,
        "end": end,
        "checkpoint": checkpoint,
        "bad_ranges": report.bad_ranges.iter().map(|bad| json!({ "offset": bad.start, "bytes": bad.end - bad.start })).collect::<Value>(),
        "lost_keys": report.lost_keys,
        "damage": report.damage.iter().map(describe_damage).collect::<Value>(),
    })
}

fn describe_damage(damage: &Damage) -> Value {
    json!({
        "kind": format!("{:?}", damage.kind),
        "offset": damage.offset,
        "bytes": damage.len,
        "text": damage.to_string(),
    })
}

fn describe_repair(repair: &Repair) -> Value {
    json!({
        "segments_freed": repair.segments_freed,
        "bytes_moved": repair.bytes_moved,
        "keys_removed": repair.keys_removed.iter().map(|key| super::dump::encode(key)).collect::<Value>(),
    })
}
