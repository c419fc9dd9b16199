//! The registers of the machine-check architecture (SDM volume 3B, section 16.3).

use x86_64::registers::model_specific::Msr;

use crate::arch::x86_64::format::bank::Bank;

const IA32_MCG_CAP: u32 = 0x179;
const IA32_MCG_STATUS: u32 = 0x17a;
const IA32_MCG_CTL: u32 = 0x17b;
const IA32_MC0_CTL: u32 = 0x400;

/// IA32_MCG_CAP: how many banks there are.
const BANKS: u64 = 0xff;
/// IA32_MCG_CAP: IA32_MCG_CTL is there.
const HAS_CONTROL: u64 = 1 << 8;
/// IA32_MCG_CAP: the status of a bank says what software can recover from.
const SOFTWARE_RECOVERY: u64 = 1 << 24;
/// IA32_MCG_STATUS: the interrupted context can be restarted.
const RESTARTABLE: u64 = 1 << 0;

fn read(register: u32) -> u64 {
    // SAFETY: reading a machine-check register changes nothing. Callers name only those that IA32_MCG_CAP says are
    // there, and that one is there on every CPU that can raise the exception.
    unsafe { Msr::new(register).read() }
}

/// The registers of a bank: control, status, address and misc, one after the other.
fn bank_register(bank: u32, register: u32) -> u32 {
    IA32_MC0_CTL + 4 * bank + register
}

fn banks() -> u32 {
    (read(IA32_MCG_CAP) & BANKS) as u32
}

/// Lets every bank report what it finds.
///
/// # Safety
/// The CPU has the machine-check architecture (CPUID.1:EDX.MCA), and its handler is in place or stops the machine.
pub(super) unsafe fn enable() {
    // SAFETY: all ones enable every kind of report (SDM volume 3B, section 16.3); the registers exist, as IA32_MCG_CAP
    // says.
    unsafe {
        if read(IA32_MCG_CAP) & HAS_CONTROL != 0 {
            Msr::new(IA32_MCG_CTL).write(u64::MAX);
        }
        for bank in 0..banks() {
            Msr::new(bank_register(bank, 0)).write(u64::MAX);
        }
    }
}

/// Whether the context that a machine check has interrupted can be restarted.
pub(in crate::arch) fn is_restartable() -> bool {
    read(IA32_MCG_STATUS) & RESTARTABLE != 0
}

/// Whether the banks of this CPU say what software can recover from.
pub(in crate::arch) fn recovers_in_software() -> bool {
    read(IA32_MCG_CAP) & SOFTWARE_RECOVERY != 0
}

/// The banks that hold an error.
pub(in crate::arch) fn errors() -> impl Iterator<Item = Bank> {
    (0..banks()).filter_map(|bank| {
        let status = read(bank_register(bank, 1));
        let found = Bank { status, address: 0, misc: 0 };
        if !found.is_valid() {
            return None;
        }
        let address = if found.has_address() { read(bank_register(bank, 2)) } else { 0 };
        let misc = if found.has_misc() { read(bank_register(bank, 3)) } else { 0 };
        Some(Bank { address, misc, ..found })
    })
}

/// Forgets what the banks hold, and ends the machine check, which has been handled.
pub(in crate::arch) fn clear() {
    for bank in 0..banks() {
        // SAFETY: writing 0 is how a bank's status is cleared; the bank exists.
        unsafe { Msr::new(bank_register(bank, 1)).write(0) };
    }
    // SAFETY: clears MCIP, so that the next machine check is one and not a shutdown; the handling of this one is done.
    unsafe { Msr::new(IA32_MCG_STATUS).write(0) };
}
