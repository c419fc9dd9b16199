//! What a CPU makes of the tables: a walk written from the manual (SDM volume 3A, section 4.5) and not from the code
//! that is tested, with every bit by its number.

use super::*;

/// How an access at some address ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) physical: PhysAddr,
    pub(super) writable: bool,
    pub(super) executable: bool,
    pub(super) user: bool,
    /// PAT, PCD and PWT.
    pub(super) memory_type: u64,
    pub(super) key: u64,
    pub(super) encrypted: bool,
}

/// Walks as a CPU does whose CR3 is `root`; `None` is a page fault, a panic is a reserved bit.
pub(super) fn walk(tables: &Tables, root: PhysAddr, levels: u32, address: VirtAddr) -> Option<Seen> {
    let address = address.as_u64();
    let bits = 12 + 9 * levels;
    let upper = (address as i64) >> (bits - 1);
    assert!(upper == 0 || upper == -1, "a general-protection fault");
    let (mut writable, mut user, mut no_execute) = (true, true, false);
    let mut table = root;
    for level in (1..=levels).rev() {
        let shift = 12 + 9 * (level - 1);
        let entry = tables.table(table).get((address >> shift & 511) as usize).bits();
        if entry & 1 == 0 {
            return None;
        }
        writable &= entry >> 1 & 1 == 1;
        user &= entry >> 2 & 1 == 1;
        no_execute |= entry >> 63 & 1 == 1;
        let large = level > 1 && entry >> 7 & 1 == 1;
        assert!(!large || level <= 3, "bit 7 is reserved in the higher tables");
        if level > 1 && !large {
            table = phys(entry & 0x000f_ffff_ffff_f000 & !(1 << C_BIT));
            continue;
        }
        let pat = if large { entry >> 12 & 1 } else { entry >> 7 & 1 };
        let frame = entry & 0x000f_ffff_ffff_f000 & !(1 << C_BIT) & !if large { 1 << 12 } else { 0 };
        assert_eq!(frame & ((1 << shift) - 1), 0, "reserved bits of a large page");
        return Some(Seen {
            physical: phys(frame | address & ((1 << shift) - 1)),
            writable,
            executable: !no_execute,
            user,
            memory_type: pat << 2 | entry >> 3 & 3,
            key: entry >> 59 & 15,
            encrypted: entry >> C_BIT & 1 == 1,
        });
    }
    unreachable!("the lowest level has leaves")
}
