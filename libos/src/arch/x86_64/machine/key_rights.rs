//! The protection-key registers: the only code that writes IA32_PKRS or PKRU (SDM volume 3A, section 4.6.2).
//!
//! With PKS, keys apply to supervisor pages and the register is the MSR IA32_PKRS. With PKU they apply to user pages,
//! to whoever touches them, ring 0 included: pmem is then mapped as user pages, and the register is PKRU. Both have the
//! same bits, and at most one is in use. PKRU is left out of XCR0, so that no XRSTOR changes it.
//!
//! Each CPU remembers what its register holds, so that equal values are not written again: under QEMU's TCG each write
//! drops all of the virtual CPU's translations (`tlb_flush` in its `helper_wrmsr` and `helper_wrpkru`). What a write of
//! IA32_PKRS costs on hardware nobody has published. The memory is marked *unknown* before each write and set
//! after it: an NMI that lands between the two reads the register instead of trusting a value that is no longer or not
//! yet true. Linux's series set the memory first, and an NMI in that window ran with the interrupted context's rights.
//!
//! WRMSR to IA32_PKRS is not serialising, but later accesses do not run, even speculatively, before it takes effect, as
//! with WRPKRU.

use core::arch::asm;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use x86_64::registers::control::{Cr3, Cr4, Cr4Flags};

use super::percpu::{self, PerCpu};
use crate::keys::{Access, Key, KeyRegister, Protection, Rights};

const IA32_PKRS: u32 = 0x6e1;

/// The mark for "the register's value is not known"; no 32-bit value is equal to it.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// The register in use: [`NO_REGISTER`], [`PKRS`] or [`PKRU`].
static REGISTER: AtomicU8 = AtomicU8::new(NO_REGISTER);
const NO_REGISTER: u8 = 0;
const PKRS: u8 = 1;
const PKRU: u8 = 2;

/// Why the register is set.
#[derive(Clone, Copy)]
enum Cause {
    /// A grant begins or ends.
    Grant,
    /// A trap begins or ends.
    Trap,
    /// Another thread comes.
    Switch,
}

/// How often the register was written for each [`Cause`], and how often it held the value already.
static WRITES: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
static SKIPPED: AtomicU64 = AtomicU64::new(0);

/// Chooses the register for all CPUs and turns the boot CPU's protection keys on, all but key 0 closed.
///
/// # Safety
/// The CPUs have what `protection` needs. Called once, on the boot CPU, with interrupts disabled, before any keyed page
/// is mapped.
pub unsafe fn enable(protection: Protection) {
    let register = match protection {
        Protection::None => return,
        Protection::Pks => PKRS,
        Protection::Pku => PKRU,
    };
    // SAFETY: forwarded to the caller.
    unsafe { turn_on(register) };
    REGISTER.store(register, Ordering::Relaxed);
}

/// Turns another CPU's protection keys on, as the boot CPU has them.
///
/// # Safety
/// Called once on each other CPU, with interrupts disabled, before it touches any keyed page.
pub(in crate::arch) unsafe fn enable_here() {
    if let Some(register) = register() {
        // SAFETY: the register is in use, and the CPUs of a machine have the same features; the rest is the caller's.
        unsafe { turn_on(register) };
    }
}

/// # Safety
/// The CPU has the register; interrupts are disabled and this CPU has touched no keyed page.
unsafe fn turn_on(register: u8) {
    if register == PKRS {
        // It can be written before keys are on, and so is never on with anything open.
        write_register(register, Rights::CLOSED);
    }
    // SAFETY: the CPU has the feature; all that is touched before the next statement has key 0, which stays open.
    unsafe { Cr4::update(|flags| *flags |= enabling_bit(register)) };
    write_register(register, Rights::CLOSED);
    // Translations that were cached before the bit was set may be unchecked; reloading CR3 drops them.
    let (frame, flags) = Cr3::read();
    // SAFETY: the same tables as before.
    unsafe { Cr3::write(frame, flags) };
    percpu::this().key_rights.store(u64::from(Rights::CLOSED.bits()), Ordering::Relaxed);
}

/// The bit of CR4 without which a register is not looked at.
fn enabling_bit(register: u8) -> Cr4Flags {
    match register {
        PKRS => Cr4Flags::PROTECTION_KEY_SUPERVISOR,
        _ => Cr4Flags::PROTECTION_KEY_USER,
    }
}

/// The register in use, if any.
#[inline]
fn register() -> Option<u8> {
    let register = REGISTER.load(Ordering::Relaxed);
    (register != NO_REGISTER).then_some(register)
}

#[inline]
fn write_register(register: u8, rights: Rights) {
    // SAFETY: the register exists (`enable`'s contract). The value changes only what this context may do with keyed
    // pages. The block counts as one that accesses memory, so the compiler moves no access across it.
    unsafe {
        if register == PKRS {
            asm!("wrmsr", in("ecx") IA32_PKRS, in("eax") rights.bits(), in("edx") 0, options(nostack, preserves_flags));
        } else {
            asm!("wrpkru", in("ecx") 0, in("eax") rights.bits(), in("edx") 0, options(nostack, preserves_flags));
        }
    }
}

fn read_register(register: u8) -> Rights {
    let (low, _high): (u32, u32);
    // SAFETY: the register exists (as above); reading it changes nothing.
    unsafe {
        if register == PKRS {
            asm!("rdmsr", in("ecx") IA32_PKRS, out("eax") low, out("edx") _high, options(nostack, preserves_flags));
        } else {
            asm!("rdpkru", in("ecx") 0, out("eax") low, out("edx") _high, options(nostack, preserves_flags));
        }
    }
    Rights::from_bits(low)
}

#[inline]
fn known(cpu: &PerCpu) -> Option<Rights> {
    let value = cpu.key_rights.load(Ordering::Relaxed);
    (value != UNKNOWN).then(|| Rights::from_bits(value as u32))
}

/// Sets this CPU's register. Interrupts are disabled, so that the CPU cannot change below us.
#[inline]
fn set(register: u8, cpu: &PerCpu, rights: Rights, cause: Cause) {
    if known(cpu) == Some(rights) {
        SKIPPED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    cpu.key_rights.store(UNKNOWN, Ordering::Relaxed);
    write_register(register, rights);
    cpu.key_rights.store(u64::from(rights.bits()), Ordering::Relaxed);
    WRITES[cause as usize].fetch_add(1, Ordering::Relaxed);
}

/// The rights of the running context.
pub fn current() -> Rights {
    // The register itself: right even if the thread moves to another CPU meanwhile.
    register().map_or(Rights::CLOSED, read_register)
}

/// The rights that the library has given the running context, on a switch: what somebody has written to the register
/// past it is not taken along. Interrupts are disabled.
#[inline]
pub(crate) fn given() -> Rights {
    register().map_or(Rights::CLOSED, |register| known(percpu::this()).unwrap_or_else(|| read_register(register)))
}

/// What this CPU remembers of its register; `None` while that is not known (a write is under way) or nothing protects.
/// For tests, which compare it with [`current`].
#[cfg(feature = "testing")]
pub fn remembered() -> Option<Rights> {
    register()?;
    let enabled = super::interrupts::disable();
    let remembered = known(percpu::this());
    super::interrupts::restore(enabled);
    remembered
}

/// Whether keys protect.
pub(super) fn protects() -> bool {
    register().is_some()
}

/// What this CPU's register holds and should; `None` if none protects. Interrupts are disabled.
pub(super) fn register_here() -> Option<KeyRegister> {
    let register = register()?;
    let known = known(percpu::this());
    let on = Cr4::read().contains(enabling_bit(register));
    // RDPKRU does not exist while keys are off.
    let holds = if on || register == PKRS { read_register(register) } else { Rights::CLOSED };
    Some(KeyRegister { on, holds, should_hold: known.unwrap_or(holds) })
}

/// Whether any CPU remembers rights to this key, for checks: right only for a key that nobody opens meanwhile.
pub(crate) fn is_open_on_any_cpu(key: Key) -> bool {
    percpu::online().filter_map(known).any(|rights| rights.access(key.number()) != Access::Closed)
}

/// Replaces the running context's rights by what `change` makes of them, past all grants; the rights before. For tests.
///
/// # Safety
/// What is opened here is open to every stray store of this thread until it is closed here again: the caller makes none
/// but those that it means to.
#[cfg(feature = "testing")]
pub unsafe fn force(change: impl FnOnce(Rights) -> Rights) -> Rights {
    update(change)
}

/// Replaces the running context's rights by what `change` makes of them; the rights before.
#[inline]
pub(crate) fn update(change: impl FnOnce(Rights) -> Rights) -> Rights {
    let Some(register) = register() else { return Rights::CLOSED };
    let enabled = super::interrupts::disable();
    let cpu = percpu::this();
    let before = known(cpu).unwrap_or_else(|| read_register(register));
    set(register, cpu, change(before), Cause::Grant);
    super::interrupts::restore(enabled);
    before
}

/// On a switch: loads the rights of the thread that comes. Interrupts are disabled.
#[inline]
pub(crate) fn load(rights: Rights) {
    if let Some(register) = register() {
        set(register, percpu::this(), rights, Cause::Switch);
    }
}

/// In a saved value: the CPU's memory of its register was marked unknown when the trap came.
const WAS_UNKNOWN: u64 = 1 << 32;

/// On trap entry: closes all keys. Returns what [`leave_trap`] needs, the interrupted context's rights in the low 32
/// bits.
#[inline]
pub(in crate::arch) fn enter_trap() -> u64 {
    let Some(register) = register() else { return u64::from(Rights::CLOSED.bits()) };
    let cpu = percpu::this();
    let known = known(cpu);
    let interrupted = known.unwrap_or_else(|| read_register(register));
    set(register, cpu, Rights::CLOSED, Cause::Trap);
    u64::from(interrupted.bits()) | if known.is_none() { WAS_UNKNOWN } else { 0 }
}

/// On trap exit: gives the interrupted context its rights back. If the trap came in the middle of a write, the mark is
/// put back too: the write is still under way.
#[inline]
pub(in crate::arch) fn leave_trap(saved: u64) {
    let Some(register) = register() else { return };
    let cpu = percpu::this();
    set(register, cpu, Rights::from_bits(saved as u32), Cause::Trap);
    if saved & WAS_UNKNOWN != 0 {
        cpu.key_rights.store(UNKNOWN, Ordering::Relaxed);
    }
}

/// Counts of what was done to the register on all CPUs since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes because a grant began or ended.
    pub grants: u64,
    /// Writes because a trap came while something was open, and because it left.
    pub traps: u64,
    /// Writes because a thread with other rights came.
    pub switches: u64,
    /// Writes that were left out because the register held the value already.
    pub skipped: u64,
}

impl Counts {
    /// All writes.
    pub fn writes(&self) -> u64 {
        self.grants + self.traps + self.switches
    }
}

/// How often the register was written, and why.
pub fn counts() -> Counts {
    let writes = |cause: Cause| WRITES[cause as usize].load(Ordering::Relaxed);
    Counts {
        grants: writes(Cause::Grant),
        traps: writes(Cause::Trap),
        switches: writes(Cause::Switch),
        skipped: SKIPPED.load(Ordering::Relaxed),
    }
}
