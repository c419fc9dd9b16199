//! Looking at a pool without changing it.

use alloc::string::String;
use core::fmt;
use core::ops::Range;

use crate::error::Error;
use crate::medium::{LINE, Load, Medium};
use crate::pool::checkpoint::ROOT;
use crate::pool::log::Log;
use crate::pool::recover::Source;
use crate::pool::report::{Checkpoint, DamageKind, OpenReport, Tail};
use crate::pool::space::Space;
use crate::pool::superblock::AREA;

/// A summary of a pool. [`Display`](fmt::Display) prints it for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The version of the format.
    pub version: u32,
    /// The features that a program must know to read the pool, as bits.
    pub features_to_read: u64,
    /// The features that a program must know to write to the pool, as bits.
    pub features_to_write: u64,
    /// The pool's identity.
    pub uuid: [u8; 16],
    /// The pool's name for people.
    pub label: String,
    /// The number of the newest batch.
    pub batch: u64,
    /// What names that batch and all before it ([`Durable::link`](crate::Durable::link)). 0 in version 1.
    pub link: u64,
    /// The pool's length in bytes.
    pub len: u64,
    /// Bytes per segment.
    pub segment_size: u32,
    /// Segments that are free.
    pub segments_free: u32,
    /// Segments that are set aside because of damage.
    pub segments_quarantined: u32,
    /// Segments that hold a checkpoint, or what was begun of one.
    pub segments_checkpoint: u32,
    /// The most bytes of live records that the pool takes.
    pub capacity_bytes: u64,
    /// Bytes of live records.
    pub live_bytes: u64,
    /// What opening the pool would find.
    pub report: OpenReport,
}

/// Reads all of the pool on `medium`, as opening it would, and the reserved bytes too, and changes nothing.
pub fn inspect(medium: &impl Medium) -> Result<Inspection, Error> {
    let mut log = medium.read(|load| {
        let (mut log, repairs) = Log::recover(&load, Source::Records, u64::MAX)?;
        log.check_reserved(&load, repairs.unfinished_area())?;
        log.check_checkpoint(&load)?;
        Ok::<Log, Error>(log)
    })??;
    log.findings.sort();
    Ok(Inspection {
        version: log.superblock.version,
        features_to_read: log.superblock.features.to_read,
        features_to_write: log.superblock.features.to_write,
        uuid: log.superblock.uuid,
        label: log.superblock.label.clone(),
        batch: log.frontier.newest_batch(),
        link: log.frontier.link(),
        len: log.geometry().len,
        segment_size: log.geometry().segment_size,
        segments_free: log.space.free(),
        segments_quarantined: log.space.quarantined(),
        segments_checkpoint: log.space.with_checkpoint(),
        capacity_bytes: log.space.capacity(),
        live_bytes: log.space.live(),
        report: log.findings.into_report(),
    })
}

impl Log {
    /// Reads all of the checkpoint, if there is one that counts, and compares it with what the records tell. Notes
    /// where it is damaged, or says something else.
    fn check_checkpoint(&mut self, load: &impl Load) -> Result<(), Error> {
        let (mut log, _repairs) = Log::recover(load, Source::Checkpoint, u64::MAX)?;
        self.findings.set_checkpoint(log.findings.report().checkpoint);
        if !log.unread.has_checkpoint() {
            return Ok(());
        }
        log.read_on(load, u32::MAX)?;
        let is_damaged = log.findings.damage_of(DamageKind::Checkpoint).next().is_some();
        self.findings.extend(log.findings.damage_of(DamageKind::Checkpoint).cloned());
        if !is_damaged && !log.agrees_with(self) {
            self.note_damage(DamageKind::Checkpoint, ROOT, LINE);
        }
        Ok(())
    }

    /// Whether two states of a pool, both wholly in DRAM, are equal in all that matters.
    pub(crate) fn agrees_with(&self, other: &Log) -> bool {
        let sums = |space: &Space| (space.live(), space.removals());
        sums(&self.space) == sums(&other.space)
            && self.space.segments() == other.space.segments()
            && self.catalog.agrees_with(&other.catalog)
            && self.frontier.next_sequence() >= other.frontier.next_sequence()
    }

    /// Notes reserved bytes that are not zero. In the area of a superblock that is to be written again there may be
    /// anything.
    pub(crate) fn check_reserved(&mut self, load: &impl Load, unfinished: Option<u64>) -> Result<(), Error> {
        const PIECE: usize = 4096;
        let is_finished = |range: &Range<u64>| unfinished != Some(range.start / AREA * AREA);
        for range in self.superblock.reserved().into_iter().filter(is_finished) {
            let mut damaged: Option<Range<u64>> = None;
            let mut at = range.start;
            while at < range.end {
                let mut piece = [0; PIECE];
                let piece = &mut piece[..(range.end - at).min(PIECE as u64) as usize];
                load.load(at, piece)?;
                for (byte, offset) in piece.iter().zip(at..) {
                    if *byte != 0 {
                        damaged = Some(damaged.map_or(offset, |damaged| damaged.start)..offset + 1);
                    }
                }
                at += piece.len() as u64;
            }
            if let Some(damaged) = damaged {
                self.note_damage(DamageKind::Reserved, damaged.start, damaged.end - damaged.start);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        write!(f, "format:    version {}, {} bytes, ", self.version, self.len)?;
        writeln!(f, "{} segments of {} KiB", report.segments, self.segment_size >> 10)?;
        f.write_str("uuid:      ")?;
        for (position, byte) in self.uuid.iter().enumerate() {
            let dash = if matches!(position, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        writeln!(f)?;
        for (features, to_do) in [(self.features_to_read, "read"), (self.features_to_write, "write to")] {
            if features != 0 {
                writeln!(f, "features:  bits {features:#x}, to be known to {to_do} it")?;
            }
        }
        if !self.label.is_empty() {
            writeln!(f, "label:     {}", self.label.escape_debug())?;
        }
        if report.unused_bytes > 0 {
            let unused = report.unused_bytes;
            writeln!(
                f,
                "unused:    {unused} bytes behind the pool's end, which `cargo xtask pool grow` makes its own"
            )?;
        }
        writeln!(f, "newest:    batch {}, link {:016x}", self.batch, self.link)?;
        writeln!(f, "keys:      {}", report.keys)?;
        let percent = self.live_bytes.saturating_mul(100).checked_div(self.capacity_bytes).unwrap_or(0);
        writeln!(f, "live:      {} of {} bytes ({percent} %)", self.live_bytes, self.capacity_bytes)?;
        writeln!(
            f,
            "segments:  {} used, {} free, {} with a checkpoint, {} set aside because of damage",
            report.segments_used, self.segments_free, self.segments_checkpoint, self.segments_quarantined
        )?;
        writeln!(f, "records:   {} valid, {} bytes", report.records, report.bytes_scanned)?;
        if report.passed_over > 0 {
            writeln!(f, "unknown:   {} operations of a newer program, passed over", report.passed_over)?;
        }
        writeln!(f, "log end:   {}", report.tail)?;
        writeln!(f, "checkpoint: {}", report.checkpoint)?;
        for bad in &report.bad_ranges {
            writeln!(f, "bad:       bytes {:#x}..{:#x}, set aside for good", bad.start, bad.end)?;
        }
        if report.lost_keys > 0 {
            writeln!(f, "lost:      {} keys, whose values lay there", report.lost_keys)?;
        }
        match report.damage.len() {
            0 => write!(f, "damage:    none"),
            found => {
                write!(f, "damage:    {found} places")?;
                report.damage.iter().try_for_each(|damage| write!(f, "\n           {damage}"))
            }
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Checkpoint::None => f.write_str("none"),
            Checkpoint::Used { bytes } => write!(f, "of the log's end, {bytes} bytes"),
            Checkpoint::Refused { why } => write!(f, "one that does not count: {why}"),
        }
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tail::Clean => f.write_str("clean shutdown"),
            Tail::Unclean => f.write_str("no clean shutdown; ends with a complete batch"),
            Tail::Torn { offset, discarded } => write!(
                f,
                "no clean shutdown; an unacknowledged batch is cut off at byte {offset:#x} ({discarded} whole records discarded)"
            ),
        }
    }
}
