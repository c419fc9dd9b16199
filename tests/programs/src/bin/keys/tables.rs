//! The page tables as the CPU sees them, walked here once more and without the library's help, since the library's own
//! walk is among what is tested. And the few control bits that the hardware tests change.

use std::arch::asm;

use libos::addr::VirtAddr;

/// A leaf entry, in place.
#[derive(Clone, Copy)]
pub(crate) struct Leaf {
    entry: *mut u64,
    /// Where its page begins.
    page: VirtAddr,
    /// The page's size in bytes.
    pub(crate) size: u64,
}

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
/// Bits 51:12: the address in an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const CR4_LA57: u64 = 1 << 12;
const CR0_WP: u64 = 1 << 16;

fn cr3() -> u64 {
    let value;
    // SAFETY: reading CR3 in ring 0 changes nothing.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

fn cr4() -> u64 {
    let value;
    // SAFETY: reading CR4 in ring 0 changes nothing.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

fn cr0() -> u64 {
    let value;
    // SAFETY: reading CR0 in ring 0 changes nothing.
    unsafe { asm!("mov {}, cr0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Whether this CPU's ring 0 respects read-only pages.
pub(crate) fn write_protect() -> bool {
    cr0() & CR0_WP != 0
}

/// Sets this CPU's CR0.WP. The caller has interrupts disabled, and sets it again before it enables them.
pub(crate) fn set_write_protect(on: bool) {
    let value = if on { cr0() | CR0_WP } else { cr0() & !CR0_WP };
    // SAFETY: only WP changes, and no code relies on a write to a read-only page faulting meanwhile.
    unsafe { asm!("mov cr0, {}", in(reg) value, options(nostack, preserves_flags)) };
}

/// The leaf that maps `address`; `None` if nothing does.
pub(crate) fn leaf(address: VirtAddr) -> Option<Leaf> {
    let mut table = cr3() & ADDRESS;
    let levels = if cr4() & CR4_LA57 != 0 { 5 } else { 4 };
    for level in (1..=levels).rev() {
        let size = 4096u64 << (9 * (level - 1));
        let entry = (table + address.as_u64() / size % 512 * 8) as *mut u64;
        // SAFETY: page tables lie in RAM, which is mapped at its physical address; entries are read whole.
        let value = unsafe { entry.read_volatile() };
        if value & PRESENT == 0 {
            return None;
        }
        if level == 1 || value & LARGE != 0 {
            return Some(Leaf { entry, page: address.align_down(size), size });
        }
        table = value & ADDRESS;
    }
    None
}

impl Leaf {
    fn value(self) -> u64 {
        // SAFETY: as in `leaf`; tables are not freed while a case runs.
        unsafe { self.entry.read_volatile() }
    }

    /// The protection key in bits 62:59.
    pub(crate) fn key(self) -> u8 {
        (self.value() >> 59 & 0xf) as u8
    }

    pub(crate) fn is_user(self) -> bool {
        self.value() & USER != 0
    }

    pub(crate) fn is_writable(self) -> bool {
        self.value() & WRITABLE != 0
    }

    /// Runs `body` while the page is a page of the other mode: a user page if it was a supervisor page, and the other
    /// way round. Only on a machine with one CPU.
    pub(crate) fn in_other_mode<R>(self, body: impl FnOnce() -> R) -> R {
        self.set(self.value() ^ USER);
        let result = body();
        self.set(self.value() ^ USER);
        result
    }

    /// Runs `body` while the page has another key. Only on a machine with one CPU.
    pub(crate) fn with_key<R>(self, key: u8, body: impl FnOnce() -> R) -> R {
        let before = self.value();
        self.set(before & !(0xf << 59) | u64::from(key) << 59);
        let result = body();
        self.set(before);
        result
    }

    fn set(self, value: u64) {
        // SAFETY: the entry stays a valid leaf for the same memory; this CPU is the only one and forgets what it had
        // cached.
        unsafe {
            self.entry.write_volatile(value);
            asm!("invlpg [{}]", in(reg) self.page.as_u64(), options(nostack, preserves_flags));
        }
    }
}
