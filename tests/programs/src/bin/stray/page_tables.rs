//! The page tables as any code in ring 0 can see and change them: from CR3 on, through the identity mapping of RAM.
//!
//! What is done here is wrong on purpose, or prepares a shape that needs an unusual mapping. A table that is added is a
//! static of this program, whose physical address is its address.

use std::arch::asm;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const KEY: u64 = 0xf << 59;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// CR4.LA57: there are five levels.
const FIVE_LEVELS: u64 = 1 << 12;

#[repr(align(4096))]
struct Page([AtomicU64; 512]);

/// Pages that become tables, or what they map.
static SPARE: [Page; 5] = [const { Page([const { AtomicU64::new(0) }; 512]) }; 5];
static SPARE_USED: AtomicUsize = AtomicUsize::new(0);

fn spare() -> u64 {
    let page = &SPARE[SPARE_USED.fetch_add(1, Ordering::Relaxed)];
    page.0.as_ptr().addr() as u64
}

/// The root table's address and its level.
fn root() -> (u64, u32) {
    let (cr3, cr4): (u64, u64);
    // SAFETY: reading the control registers changes nothing.
    unsafe { asm!("mov {}, cr3", "mov {}, cr4", out(reg) cr3, out(reg) cr4, options(nomem, nostack)) };
    (cr3 & ADDRESS, if cr4 & FIVE_LEVELS == 0 { 4 } else { 5 })
}

/// The size of what one entry at this level covers, in bytes.
fn coverage(level: u32) -> u64 {
    4096 << (9 * (level - 1))
}

fn entry(table: u64, at: u64, level: u32) -> &'static AtomicU64 {
    let place = at / coverage(level) % 512;
    // SAFETY: `table` is the physical address of a page table, which lies in RAM, is mapped there and is never freed
    // here.
    unsafe { &*((table + place * 8) as *const AtomicU64) }
}

/// The entry that maps the address, or the first one on the way that is not present, and its level.
fn find(at: u64) -> (&'static AtomicU64, u32) {
    let (mut table, mut level) = root();
    loop {
        let found = entry(table, at, level);
        let value = found.load(Ordering::Relaxed);
        if level == 1 || value & PRESENT == 0 || value & LARGE != 0 {
            return (found, level);
        }
        table = value & ADDRESS;
        level -= 1;
    }
}

/// The physical address that this address leads to.
fn physical(at: u64) -> u64 {
    let (leaf, level) = find(at);
    let size = coverage(level);
    (leaf.load(Ordering::Relaxed) & ADDRESS & !(size - 1)) + at % size
}

/// Forgets what the CPU has cached of the tables.
fn flush() {
    // SAFETY: the same tables as before; what they map changes only for addresses of this program's own choice.
    unsafe { asm!("mov {root}, cr3", "mov cr3, {root}", root = out(reg) _, options(nostack)) };
}

/// Maps one page of ordinary memory, data without a key.
fn map(at: u64, target: u64) {
    loop {
        let (missing, level) = find(at);
        assert_eq!(missing.load(Ordering::Relaxed), 0, "something is mapped at {at:#x}");
        if level == 1 {
            missing.store(target & ADDRESS | PRESENT | WRITABLE | NO_EXECUTE, Ordering::SeqCst);
            return flush();
        }
        missing.store(spare() | PRESENT | WRITABLE | USER, Ordering::SeqCst);
    }
}

/// Maps a page of ordinary memory just before this address, so that an access can begin where it may.
pub(crate) fn map_page_before(at: usize) {
    map(at as u64 - 4096, spare());
}

/// Maps the frame of this address once more, in a part of the address space that nobody uses, without a key; where.
pub(crate) fn make_alias(at: usize) -> usize {
    const NOWHERE: u64 = 0x7f00_0000_0000;
    map(NOWHERE, physical(at as u64));
    NOWHERE as usize + at % 4096
}

/// What a search has found.
pub(crate) struct Mappings {
    /// How many leaves map the frame.
    pub(crate) count: u32,
    /// How many of them carry no key.
    pub(crate) keyless: u32,
    /// Where the frame's byte is, by a mapping without a key if there is one.
    pub(crate) best: usize,
}

/// Every way to the byte at this address, from CR3 on.
pub(crate) fn mappings_of(at: usize) -> Mappings {
    let mut found = Mappings { count: 0, keyless: 0, best: at };
    let (table, level) = root();
    search(table, level, 0, physical(at as u64), &mut found);
    found
}

fn search(table: u64, level: u32, base: u64, wanted: u64, found: &mut Mappings) {
    for place in 0..512 {
        let (size, start) = (coverage(level), base + place * coverage(level));
        let value = entry(table, start, level).load(Ordering::Relaxed);
        if value & PRESENT == 0 {
            continue;
        }
        if level > 1 && value & LARGE == 0 {
            search(value & ADDRESS, level - 1, start, wanted, found);
            continue;
        }
        let physical = value & ADDRESS & !(size - 1);
        if (physical..physical + size).contains(&wanted) {
            found.count += 1;
            if value & KEY == 0 {
                found.keyless += 1;
                found.best = (start + (wanted - physical)) as usize;
            }
        }
    }
}
