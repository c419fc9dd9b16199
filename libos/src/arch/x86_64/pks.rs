//! Protection keys for supervisor pages: the only code that writes IA32_PKRS (SDM volume 3A, section 4.6.2).
//!
//! Each CPU remembers what its register holds, so that equal values are not written again (a write costs hundreds of
//! cycles at least, and flushes the TLB under QEMU). The memory is marked *unknown* before each write and set after it: an
//! NMI that lands between the two reads the register instead of trusting a value that is no longer or not yet true. Linux's
//! series set the memory first, and an NMI in that window ran with the interrupted context's rights.
//!
//! WRMSR to IA32_PKRS is not serialising, but later accesses do not run, even speculatively, before it takes effect, as
//! with WRPKRU.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use x86_64::registers::control::{Cr4, Cr4Flags};

use super::percpu::{self, PerCpu};
use crate::dax::Rights;

const IA32_PKRS: u32 = 0x6e1;

/// The mark for "the register's value is not known"; no 32-bit value is equal to it.
pub(super) const UNKNOWN: u64 = u64::MAX;

static ENABLED: AtomicBool = AtomicBool::new(false);
static WRITES: AtomicU64 = AtomicU64::new(0);
static SKIPPED: AtomicU64 = AtomicU64::new(0);

/// Closes every key on this CPU, then turns protection keys on.
///
/// # Safety
/// The CPU has PKS. Called with interrupts disabled, once on each CPU, before any keyed page is mapped.
pub unsafe fn enable() {
    write_register(Rights::CLOSED);
    // SAFETY: the CPU has PKS; all pages that are mapped so far have key 0, which stays open.
    unsafe { Cr4::update(|flags| *flags |= Cr4Flags::PROTECTION_KEY_SUPERVISOR) };
    // Translations that were cached before the bit was set may be unchecked; reloading CR3 drops them.
    let (frame, flags) = x86_64::registers::control::Cr3::read();
    // SAFETY: the same tables as before.
    unsafe { x86_64::registers::control::Cr3::write(frame, flags) };
    percpu::this().pkrs.store(u64::from(Rights::CLOSED.bits()), Ordering::Relaxed);
    ENABLED.store(true, Ordering::Relaxed);
}

fn write_register(rights: Rights) {
    // SAFETY: the register exists (`ENABLED`, or `enable`'s contract). The value changes only what this context may do
    // with keyed pages. The block counts as one that accesses memory, so the compiler moves no access across it.
    unsafe {
        asm!("wrmsr", in("ecx") IA32_PKRS, in("eax") rights.bits(), in("edx") 0, options(nostack, preserves_flags))
    };
}

fn read_register() -> Rights {
    let (low, _high): (u32, u32);
    // SAFETY: the register exists (as above); reading it changes nothing.
    unsafe { asm!("rdmsr", in("ecx") IA32_PKRS, out("eax") low, out("edx") _high, options(nostack, preserves_flags)) };
    Rights::from_bits(low)
}

fn known(cpu: &PerCpu) -> Option<Rights> {
    let value = cpu.pkrs.load(Ordering::Relaxed);
    (value != UNKNOWN).then(|| Rights::from_bits(value as u32))
}

/// Sets this CPU's register. Interrupts are disabled, so that the CPU cannot change below us.
fn set(cpu: &PerCpu, rights: Rights) {
    if known(cpu) == Some(rights) {
        SKIPPED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    cpu.pkrs.store(UNKNOWN, Ordering::Relaxed);
    write_register(rights);
    cpu.pkrs.store(u64::from(rights.bits()), Ordering::Relaxed);
    WRITES.fetch_add(1, Ordering::Relaxed);
}

/// The rights of the running context.
pub fn current() -> Rights {
    if !ENABLED.load(Ordering::Relaxed) {
        return Rights::CLOSED;
    }
    // The register itself: right even if the thread moves to another CPU meanwhile.
    read_register()
}

/// Replaces the running context's rights by what `change` makes of them; the rights before.
pub fn update(change: impl FnOnce(Rights) -> Rights) -> Rights {
    if !ENABLED.load(Ordering::Relaxed) {
        return Rights::CLOSED;
    }
    let enabled = super::interrupts::disable();
    let cpu = percpu::this();
    let before = known(cpu).unwrap_or_else(read_register);
    set(cpu, change(before));
    super::interrupts::restore(enabled);
    before
}

/// On a switch: the rights of the thread that leaves. Interrupts are disabled.
pub(crate) fn save() -> Rights {
    current()
}

/// On a switch: loads the rights of the thread that comes. Interrupts are disabled.
pub(crate) fn load(rights: Rights) {
    if ENABLED.load(Ordering::Relaxed) {
        set(percpu::this(), rights);
    }
}

/// In a saved value: the CPU's memory of its register was marked unknown when the trap came.
const WAS_UNKNOWN: u64 = 1 << 32;

/// On trap entry: closes all keys. Returns what [`leave_trap`] needs, the interrupted context's rights in the low 32 bits.
pub(super) fn enter_trap() -> u64 {
    if !ENABLED.load(Ordering::Relaxed) {
        return u64::from(Rights::CLOSED.bits());
    }
    let cpu = percpu::this();
    let known = known(cpu);
    let interrupted = known.unwrap_or_else(read_register);
    set(cpu, Rights::CLOSED);
    u64::from(interrupted.bits()) | if known.is_none() { WAS_UNKNOWN } else { 0 }
}

/// On trap exit: gives the interrupted context its rights back. If the trap came in the middle of a write, the mark is put
/// back too: the write is still under way.
pub(super) fn leave_trap(saved: u64) {
    if !ENABLED.load(Ordering::Relaxed) {
        return;
    }
    let cpu = percpu::this();
    set(cpu, Rights::from_bits(saved as u32));
    if saved & WAS_UNKNOWN != 0 {
        cpu.pkrs.store(UNKNOWN, Ordering::Relaxed);
    }
}

/// How often the register was written, and how often a write was skipped because it held the value already.
pub fn counts() -> (u64, u64) {
    (WRITES.load(Ordering::Relaxed), SKIPPED.load(Ordering::Relaxed))
}
