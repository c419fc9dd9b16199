//! `cargo xtask bench pool`: what operations cost, in counts rather than times.
//!
//! The pool runs on memory that counts what is done to it, so the numbers are exact and the same everywhere. Cache
//! lines written back and fences are what persistent memory makes slow; bytes are what it makes dear.

use std::fmt;

use anyhow::{Result, bail};
use fastrand::Rng;
use pmem::sim::Memory;
use pmem::{Counters, FormatOptions, Pool};
use serde_json::json;

use crate::size::MIB;

/// Bytes of the keys that are measured.
const KEY: usize = 16;
/// Bytes of their values.
const VALUE: usize = 64;
/// SETs that share a fence in a pipeline.
const PIPELINE: u64 = 16;

/// What one SET costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Cache lines written back by a SET that needs no other segment.
    pub lines: f64,
    /// Fences of such a SET.
    pub fences: f64,
    /// Cache lines written back by a SET on average, with the segments that are ended, opened and cleaned.
    pub mean_lines: f64,
    /// Fences on average, likewise.
    pub mean_fences: f64,
}

/// The table of costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// SETs of new keys, each in a turn of its own.
    pub alone: Cost,
    /// SETs of new keys, sixteen to a turn.
    pub pipelined: Cost,
    /// Overwrites at random, sixteen to a turn, in a pool whose live records take four fifths of its capacity.
    pub overwriting: Cost,
    /// Bytes of pmem that live records take which were written in pipelines, for each byte of key and value.
    pub space_pipelined: f64,
    /// Bytes of pmem that live records take which cleaning moved, for each byte of key and value.
    pub space_moved: f64,
    /// How many keys there were to measure DRAM.
    pub keys: u64,
    /// The most bytes of DRAM that the index took for each key while their number doubled. Of that an entry is eight;
    /// the rest is the table's slack.
    pub dram_per_key: f64,
    /// The least.
    pub least_dram_per_key: f64,
}

/// The most that each of them may be.
pub const LIMITS: Costs = Costs {
    alone: Cost { lines: 2.0, fences: 1.0, mean_lines: 2.01, mean_fences: 1.01 },
    pipelined: Cost { lines: 2.0, fences: 1.0 / 16.0, mean_lines: 2.0, mean_fences: 1.02 / 16.0 },
    overwriting: Cost { lines: 2.0, fences: 1.0 / 16.0, mean_lines: 5.0, mean_fences: 2.0 / 16.0 },
    space_pipelined: 1.5,
    space_moved: 1.5,
    keys: u64::MAX,
    dram_per_key: 18.0,
    least_dram_per_key: 18.0,
};

/// Measures. `keys` is how many are put to see what DRAM they take.
///
/// # Errors
/// When the pool refuses an operation that it should take.
pub fn measure(keys: u64) -> Result<Costs> {
    let (alone, _) = fill(&mut format(16 * MIB)?, 0..20_000, 1)?;
    let (pipelined, space_pipelined) = fill(&mut format(64 * MIB)?, 0..100_000, PIPELINE)?;
    let mut pool = format(8 * MIB)?;
    let capacity = pool.stats().capacity_bytes;
    // A record of its own takes 112 bytes of the capacity.
    let enough = capacity * 4 / 5 / 112;
    fill(&mut pool, 0..enough, PIPELINE)?;
    let (overwriting, space_moved) = overwrite(&mut pool, enough)?;
    let (dram_per_key, least_dram_per_key) = dram(keys)?;
    Ok(Costs { alone, pipelined, overwriting, space_pipelined, space_moved, keys, dram_per_key, least_dram_per_key })
}

fn format(len: u64) -> Result<Pool<Memory>> {
    Ok(Pool::format(Memory::new(len), &FormatOptions::new([1; 16]))?)
}

/// One turn of SETs.
fn set(pool: &mut Pool<Memory>, numbers: impl Iterator<Item = u64>) -> Result<Counters> {
    let before = pool.stats().medium;
    let (result, _durable) = pool.turn(|turn| {
        let mut key = [0; KEY];
        for number in numbers {
            key[..8].copy_from_slice(&number.to_be_bytes());
            turn.put(&key, &[number as u8; VALUE], None)?;
        }
        Ok::<(), pmem::Error>(())
    })?;
    result?;
    Ok(pool.stats().medium.since(&before))
}

/// Takes turns of `pipeline` SETs. The cost of one SET in most turns and on average.
fn turns(pool: &mut Pool<Memory>, numbers: impl Iterator<Item = u64>, pipeline: u64) -> Result<Cost> {
    let mut numbers = numbers.peekable();
    let mut least: Option<Counters> = None;
    let (mut lines, mut fences, mut sets) = (0, 0, 0);
    while numbers.peek().is_some() {
        let turn: Vec<u64> = numbers.by_ref().take(pipeline as usize).collect();
        let whole = turn.len() as u64 == pipeline;
        sets += turn.len() as u64;
        let counters = set(pool, turn.into_iter())?;
        lines += counters.lines_written_back;
        fences += counters.fences;
        if whole && least.is_none_or(|least| counters.lines_written_back < least.lines_written_back) {
            least = Some(counters);
        }
    }
    let Some(least) = least else { bail!("no turn was measured") };
    let each = |count: u64, sets: u64| count as f64 / sets as f64;
    Ok(Cost {
        lines: each(least.lines_written_back, pipeline),
        fences: each(least.fences, pipeline),
        mean_lines: each(lines, sets),
        mean_fences: each(fences, sets),
    })
}

/// Puts new keys. The cost, and the space that they take.
fn fill(pool: &mut Pool<Memory>, numbers: std::ops::Range<u64>, pipeline: u64) -> Result<(Cost, f64)> {
    let free = pool.stats().free_bytes;
    let payload = (numbers.end - numbers.start) * (KEY + VALUE) as u64;
    let cost = turns(pool, numbers, pipeline)?;
    Ok((cost, (free - pool.stats().free_bytes) as f64 / payload as f64))
}

/// Overwrites keys until three times the pool's length was written. The cost, and the space of what cleaning moved.
fn overwrite(pool: &mut Pool<Memory>, keys: u64) -> Result<(Cost, f64)> {
    let before = pool.stats();
    let sets = 3 * 8 * MIB / 112;
    let mut random = Rng::with_seed(1);
    let numbers = (0..sets).map(|_| random.u64(..keys));
    let cost = turns(pool, numbers, PIPELINE)?;
    let after = pool.stats();
    let turns = sets.div_ceil(PIPELINE);
    // A turn stores 29 lines; the rest is what cleaning moved, and the segments' headers and ends.
    let stored = after.medium.bytes_stored - before.medium.bytes_stored - turns * 29 * 64;
    let moved = (after.bytes_moved - before.bytes_moved) / 112;
    Ok((cost, stored as f64 / (moved * (KEY + VALUE) as u64) as f64))
}

/// The most and the least DRAM for each key while their number grows from half of `keys` to `keys`, by the pipelines
/// that are measured above: the index keeps room for as many insertions as a turn has had, 64 bytes for each.
fn dram(keys: u64) -> Result<(f64, f64)> {
    let mut pool = format((keys * 160).next_multiple_of(MIB) + 16 * MIB)?;
    let (mut most, mut least) = (0.0f64, f64::INFINITY);
    for first in (0..keys).step_by(PIPELINE as usize) {
        set(&mut pool, first..first + PIPELINE)?;
        let stats = pool.stats();
        if stats.keys >= keys / 2 {
            let each = stats.index_bytes as f64 / stats.keys as f64;
            (most, least) = (most.max(each), least.min(each));
        }
    }
    Ok((most, least))
}

impl Costs {
    /// What is over the limits, each with its name.
    pub fn excesses(&self) -> Vec<&'static str> {
        let values = self.values().into_iter().zip(LIMITS.values());
        values.filter(|((_, value), (_, limit))| value > limit).map(|((name, _), _)| name).collect()
    }

    fn values(&self) -> [(&'static str, f64); 15] {
        let [alone, pipelined, overwriting] = [self.alone, self.pipelined, self.overwriting];
        [
            ("SET alone: lines written back", alone.lines),
            ("SET alone: fences", alone.fences),
            ("SET alone: lines written back, mean", alone.mean_lines),
            ("SET alone: fences, mean", alone.mean_fences),
            ("SET in a pipeline of 16: lines written back", pipelined.lines),
            ("SET in a pipeline of 16: fences", pipelined.fences),
            ("SET in a pipeline of 16: lines written back, mean", pipelined.mean_lines),
            ("SET in a pipeline of 16: fences, mean", pipelined.mean_fences),
            ("overwriting, 80 % full: lines written back", overwriting.lines),
            ("overwriting, 80 % full: fences", overwriting.fences),
            ("overwriting, 80 % full: lines written back, mean", overwriting.mean_lines),
            ("overwriting, 80 % full: fences, mean", overwriting.mean_fences),
            ("bytes of pmem per byte, written in pipelines", self.space_pipelined),
            ("bytes of pmem per byte, moved by cleaning", self.space_moved),
            ("bytes of DRAM per key, 8 of them its entry, most", self.dram_per_key),
        ]
    }

    /// The costs and their limits, for programs.
    pub fn to_json(&self) -> serde_json::Value {
        let rows = self.values().into_iter().zip(LIMITS.values());
        let rows: Vec<_> =
            rows.map(|((name, value), (_, limit))| json!({ "name": name, "value": value, "limit": limit })).collect();
        json!({ "key_bytes": KEY, "value_bytes": VALUE, "keys": self.keys, "costs": rows })
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "keys of {KEY} bytes, values of {VALUE} bytes; DRAM with up to {} keys\n", self.keys)?;
        writeln!(f, "{:52} {:>9} {:>9}", "", "measured", "limit")?;
        for ((name, value), (_, limit)) in self.values().into_iter().zip(LIMITS.values()) {
            let over = if value > limit { "  OVER" } else { "" };
            writeln!(f, "{name:52} {value:9.4} {limit:9.4}{over}")?;
        }
        write!(f, "{:52} {:9.4}", "bytes of DRAM per key, 8 of them its entry, least", self.least_dram_per_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_keep_their_limits() {
        let costs = measure(100_000).unwrap();
        assert_eq!(costs.excesses(), [""; 0], "\n{costs}");
        assert_eq!((costs.alone.lines, costs.alone.fences), (2.0, 1.0));
        // 16 frames of 112 bytes fill 28 lines, and the link of their batch begins another.
        assert_eq!((costs.pipelined.lines, costs.pipelined.fences), (29.0 / 16.0, 1.0 / 16.0));
    }

    #[test]
    fn an_excess_is_named() {
        let costs = Costs { space_moved: 1.6, ..LIMITS };
        assert_eq!(costs.excesses(), ["bytes of pmem per byte, moved by cleaning"]);
        assert!(costs.to_string().lines().any(|line| line.contains("moved") && line.ends_with("OVER")));
    }
}
