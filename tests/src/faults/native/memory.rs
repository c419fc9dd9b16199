//! The memory of a process that stands still: what is mapped where, and what is in it as far as it is asked for.

use std::cell::OnceCell;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::maps::Mapping;
use crate::faults::debugger::{Memory, REACH, follow};

/// The most of one map that is looked at, in bytes.
const MOST: u64 = 16 << 20;

/// See above.
#[derive(Debug)]
pub struct Image {
    regions: Vec<Region>,
    memory: File,
    /// Where the stacks of threads end.
    tops: Vec<u64>,
}

#[derive(Debug)]
struct Region {
    range: Range<u64>,
    writable: bool,
    holds: Holds,
    bytes: OnceCell<Vec<u8>>,
}

/// What a map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Heap,
    Stack,
    /// Persistent memory, code, variables and files.
    Other,
}

impl Image {
    /// Of these maps; the stacks of the process's threads end at `tops`.
    pub fn new(maps: &[Mapping], memory: File, tops: Vec<u64>) -> Self {
        let region = |map: &Mapping| Region {
            range: map.range.clone(),
            writable: map.writable,
            holds: holds(map, &tops),
            bytes: OnceCell::new(),
        };
        let regions = maps.iter().map(region).collect();
        Self { regions, memory, tops }
    }

    fn region(&self, address: u64) -> Option<&Region> {
        let after = self.regions.partition_point(|region| region.range.start <= address);
        self.regions[..after].last().filter(|region| region.range.contains(&address))
    }
}

fn holds(map: &Mapping, tops: &[u64]) -> Holds {
    match map.name.as_str() {
        _ if tops.iter().any(|top| map.range.contains(top)) => Holds::Stack,
        "[heap]" => Holds::Heap,
        "" if map.writable => Holds::Heap,
        _ => Holds::Other,
    }
}

impl Memory for Image {
    fn read(&self, address: u64) -> Option<u64> {
        let region = self.region(address).filter(|region| region.writable)?;
        let bytes = region.bytes.get_or_init(|| {
            let mut bytes = vec![0; (region.range.end - region.range.start).min(MOST) as usize];
            // What cannot be read is not there.
            let read = self.memory.read_at(&mut bytes, region.range.start).unwrap_or(0);
            bytes.truncate(read);
            bytes
        });
        let bytes = bytes.get((address - region.range.start) as usize..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }

    fn writable(&self) -> Vec<Range<u64>> {
        self.regions.iter().filter(|region| region.writable).map(|region| region.range.clone()).collect()
    }

    fn mapped_around(&self, address: u64) -> Option<Range<u64>> {
        self.region(address).map(|region| region.range.clone())
    }

    fn is_address(&self, word: u64) -> bool {
        self.region(word).is_some()
    }

    fn stacks(&self) -> Vec<Range<u64>> {
        let stacks = self.regions.iter().filter(|region| region.holds == Holds::Stack);
        let used = |region: &Region| {
            let top = self.tops.iter().filter(|top| region.range.contains(top)).min();
            top.map_or(region.range.start, |top| top & !7)..region.range.end
        };
        stacks.map(used).collect()
    }

    fn waiting(&self, running: u64, _: &Range<u64>) -> Vec<u64> {
        self.tops.iter().copied().filter(|&top| top != running).map(|top| top & !7).collect()
    }

    fn reachable(&self, roots: &[u64], image: &Range<u64>) -> Vec<u64> {
        let is_heap = |address: u64| {
            let region = self.region(address).filter(|region| region.holds == Holds::Heap);
            region.is_some_and(|region| address + REACH < region.range.end) && !image.contains(&address)
        };
        follow(roots, is_heap, |at| self.read(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_is_what_is_nothing_else_and_is_followed() {
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes = vec![0u8; 3 << 12];
        bytes[0x1010..0x1018].copy_from_slice(&0x1800u64.to_le_bytes());
        std::io::Write::write_all(&mut file, &bytes).unwrap();
        let map = |start: u64, name: &str| Mapping {
            range: start..start + 0x1000,
            writable: true,
            name: name.to_owned(),
            key: 0,
        };
        let image = Image::new(&[map(0, "[stack]"), map(0x1000, "[heap]"), map(0x2000, "/f")], file, vec![0x808]);
        let stacks = image.stacks();
        assert_eq!((stacks.len(), &stacks[0]), (1, &(0x808..0x1000)));
        assert_eq!(image.read(0x1010), Some(0x1800));
        let found = image.reachable(&[0x1000, 0x2000], &(0..0));
        assert_eq!(found, [0x1000, 0x1040, 0x1080, 0x10c0, 0x1800, 0x1840, 0x1880, 0x18c0]);
        assert_eq!(image.waiting(0x100, &(0..0)), [0x808]);
        assert_eq!(image.mapped_around(0x2fff), Some(0x2000..0x3000));
        assert!(!image.is_address(0x3000));
    }
}
