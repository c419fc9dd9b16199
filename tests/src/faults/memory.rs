//! A guest that stands still, as its physical memory has it: where its page tables map what, and where its live heap
//! is.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use xtask::qemu::Machine;

use super::debugger::{Memory, REACH, follow};

const PAGE: u64 = 4096;
/// What of a page-table entry is an address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const KEY_SHIFT: u64 = 59;
/// CR4.LA57: five levels of page tables.
const LA57: u64 = 1 << 12;
/// Where the stacks of threads and persistent memory are in the guest's address space.
const PMEM: Range<u64> = 0x1000_0000_0000..0x6000_0000_0000;
const STACKS: Range<u64> = 0x6000_0000_0000..0x8000_0000_0000;
/// What the first word of a saved context is: MXCSR without its flags, and the x87 control word.
const CONTEXT_MARK: u64 = 0x037f_0000_1f80;
const CONTEXT_FLAGS: u64 = 0x3f;
/// The words of a saved context: the mark, r15, r14, r13, r12, rbx, rbp and the return address.
pub const CONTEXT_WORDS: u64 = 8;

/// The guest's RAM, which begins at physical address 0.
#[derive(Debug)]
pub struct Snapshot {
    ram: Vec<u8>,
    leaves: Vec<Leaf>,
    /// The pages that hold page tables.
    tables: BTreeSet<u64>,
}

/// One mapped page, small or large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Leaf {
    /// Its virtual address.
    pub virtual_address: u64,
    /// Its physical address.
    pub physical_address: u64,
    /// Its length in bytes.
    pub size: u64,
    /// Its protection key.
    pub key: u8,
    /// Whether it can be written to, as far as the page tables say.
    pub writable: bool,
    /// Whether it is a user page.
    pub user: bool,
}

impl Leaf {
    /// Its virtual addresses.
    pub fn range(&self) -> Range<u64> {
        self.virtual_address..self.virtual_address + self.size
    }
}

impl Snapshot {
    /// Takes the RAM of a machine that stands still. `directory` gets a file for a moment. CR3 and CR4 say where the
    /// page tables are.
    ///
    /// # Errors
    /// When QEMU does not give it.
    pub fn take(machine: &Machine, ram: u64, directory: &Path, cr3: u64, cr4: u64) -> io::Result<Self> {
        let path = directory.join("ram");
        let arguments = json!({ "val": 0, "size": ram, "filename": path.to_str() });
        machine.qmp_command("pmemsave", arguments).map_err(|error| io::Error::other(format!("{error:#}")))?;
        let ram = fs::read(&path)?;
        fs::remove_file(&path)?;
        Ok(Self::new(ram, cr3, cr4))
    }

    fn new(ram: Vec<u8>, cr3: u64, cr4: u64) -> Self {
        let mut snapshot = Self { ram, leaves: Vec::new(), tables: BTreeSet::new() };
        let levels = if cr4 & LA57 == 0 { 4 } else { 5 };
        snapshot.walk(cr3 & ADDRESS, levels, 0, WRITABLE | USER);
        snapshot
    }

    fn walk(&mut self, table: u64, level: u32, base: u64, rights: u64) {
        // A table that lies outside of RAM, or is one of its own ancestors, comes from a fault.
        if table + PAGE > self.ram.len() as u64 || (!self.tables.insert(table) && self.tables.len() > 1 << 14) {
            return;
        }
        let size = PAGE << (9 * (level - 1));
        for index in 0..512 {
            let Some(entry) = self.word(table + index * 8).filter(|entry| entry & PRESENT != 0) else { continue };
            let address = base + index * size;
            let rights = rights & entry;
            if level == 1 || (level <= 3 && entry & LARGE != 0) {
                let top_half = address >> 47 & 1 == 1 && level <= 4;
                self.leaves.push(Leaf {
                    virtual_address: if top_half { address | 0xffff << 48 } else { address },
                    physical_address: entry & ADDRESS & !(size - 1),
                    size,
                    key: (entry >> KEY_SHIFT & 15) as u8,
                    writable: rights & WRITABLE != 0,
                    user: rights & USER != 0,
                });
            } else {
                self.walk(entry & ADDRESS, level - 1, address, rights);
            }
        }
    }

    /// Every mapped page, in the order of virtual addresses.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The mapped page that an address is in.
    pub fn leaf(&self, address: u64) -> Option<&Leaf> {
        let after = self.leaves.partition_point(|leaf| leaf.virtual_address <= address);
        self.leaves[..after].last().filter(|leaf| leaf.range().contains(&address))
    }

    /// Physical memory that is RAM, as a number. `None` outside of RAM.
    fn word(&self, physical: u64) -> Option<u64> {
        let bytes = self.ram.get(physical as usize..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }
}

impl Memory for Snapshot {
    fn read(&self, address: u64) -> Option<u64> {
        let leaf = self.leaf(address)?;
        self.word(leaf.physical_address + (address - leaf.virtual_address))
    }

    fn writable(&self) -> Vec<Range<u64>> {
        self.leaves.iter().filter(|leaf| leaf.writable).map(Leaf::range).collect()
    }

    fn mapped_around(&self, address: u64) -> Option<Range<u64>> {
        let mut range = self.leaf(address)?.range();
        while let Some(leaf) = self.leaf(range.end) {
            range.end = leaf.range().end;
        }
        while let Some(leaf) = range.start.checked_sub(1).and_then(|below| self.leaf(below)) {
            range.start = leaf.virtual_address;
        }
        Some(range)
    }

    fn is_address(&self, word: u64) -> bool {
        self.leaf(word).is_some() || PMEM.contains(&word)
    }

    fn stacks(&self) -> Vec<Range<u64>> {
        self.leaves.iter().map(Leaf::range).filter(|leaf| STACKS.contains(&leaf.start)).collect()
    }

    /// Their contexts are there: on their stacks, and somewhere a word points to them.
    fn waiting(&self, running: u64, text: &Range<u64>) -> Vec<u64> {
        let running = self.mapped_around(running);
        let stacks = self.stacks().into_iter();
        let other = stacks.filter(|leaf| running.as_ref().is_none_or(|running| !running.contains(&leaf.start)));
        let is_context = |&(at, word): &(u64, u64)| {
            let back = self.read(at + 8 * (CONTEXT_WORDS - 1));
            word & !CONTEXT_FLAGS == CONTEXT_MARK && back.is_some_and(|back| text.contains(&back))
        };
        other.flat_map(|leaf| self.words(leaf)).filter(is_context).map(|(at, _)| at).collect()
    }

    /// By physical addresses, which are the virtual ones of the heap; page tables are none of it.
    fn reachable(&self, roots: &[u64], image: &Range<u64>) -> Vec<u64> {
        let is_heap = |address: u64| {
            let ram = PAGE << 8..self.ram.len() as u64 - REACH;
            ram.contains(&address) && !image.contains(&address) && !self.tables.contains(&(address & !(PAGE - 1)))
        };
        follow(roots, is_heap, |at| self.word(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn put(ram: &mut [u8], at: u64, value: u64) {
        ram[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// RAM of 4 MiB with tables from 2 MiB on: the first 2 MiB mapped by a large page, two small pages with a key
    /// elsewhere.
    fn ram() -> (Vec<u8>, u64) {
        let mut ram = vec![0; 4 * MIB];
        let table = |number: u64| 2 * MIB as u64 + number * PAGE;
        put(&mut ram, table(0), table(1) | PRESENT | WRITABLE);
        put(&mut ram, table(1), table(2) | PRESENT | WRITABLE);
        put(&mut ram, table(2), PRESENT | WRITABLE | LARGE);
        put(&mut ram, table(0) + 8 * 0x20, table(3) | PRESENT | WRITABLE);
        put(&mut ram, table(3), table(4) | PRESENT | WRITABLE);
        put(&mut ram, table(4), table(5) | PRESENT);
        put(&mut ram, table(5), 0x10_0000_0000 | PRESENT | WRITABLE | 2 << KEY_SHIFT);
        put(&mut ram, table(5) + 8, 0x10_0000_1000 | PRESENT | WRITABLE | 2 << KEY_SHIFT | USER);
        (ram, table(0))
    }

    #[test]
    fn page_tables_are_walked_to_their_leaves() {
        let (ram, cr3) = ram();
        let snapshot = Snapshot::new(ram, cr3 | 0x18, 0);
        let low = Leaf { virtual_address: 0, physical_address: 0, size: 2 << 20, key: 0, writable: true, user: false };
        let first = 0x1000_0000_0000;
        let keyed = Leaf {
            virtual_address: first,
            physical_address: 0x10_0000_0000,
            size: PAGE,
            key: 2,
            writable: false,
            user: false,
        };
        let second = Leaf { virtual_address: first + PAGE, physical_address: keyed.physical_address + PAGE, ..keyed };
        assert_eq!(snapshot.leaves(), [low, keyed, second]);
        assert_eq!(snapshot.leaf(first + 5000), Some(&second));
        assert_eq!(snapshot.leaf(first + 2 * PAGE), None);
        assert_eq!(snapshot.mapped_around(first + 5000), Some(first..first + 2 * PAGE));
        assert_eq!(snapshot.read(first), None, "it is not RAM");
    }

    #[test]
    fn tables_that_make_no_sense_end_the_walk() {
        let (mut ram, cr3) = ram();
        put(&mut ram, cr3 + 16, cr3 | PRESENT | WRITABLE);
        put(&mut ram, cr3 + 24, 0xf_ffff_ffff_f000 | PRESENT);
        assert!(Snapshot::new(ram.clone(), cr3, 0).leaves().len() >= 3);
        assert!(Snapshot::new(ram, 1 << 40, 0).leaves().is_empty());
    }

    #[test]
    fn the_heap_is_what_can_be_reached() {
        let (mut ram, cr3) = ram();
        let heap = PAGE << 8;
        put(&mut ram, heap, heap + 0x1000);
        put(&mut ram, heap + 0x1008, heap);
        put(&mut ram, heap + 0x1010, 2 << 20);
        let snapshot = Snapshot::new(ram, cr3, 0);
        let outside = heap + 0x2000..heap + 0x3000;
        let found = snapshot.reachable(&[heap + 8, heap + 0x2000, 7], &outside);
        let expected: Vec<u64> = (0..4).map(|n| heap + n * 64).chain((0..4).map(|n| heap + 0x1000 + n * 64)).collect();
        assert_eq!(found, expected, "page tables and what is outside are left out");
    }
}
