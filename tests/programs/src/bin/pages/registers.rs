//! What the audit sees when a register that protects is changed past the library, on each CPU.

use std::arch::asm;
use std::num::NonZeroU32;

use libos::arch::percpu;
use libos::dax::{AuditError, Device, Protection, Rights, audit};
use libos::task;

use crate::guest::check;

const IA32_PKRS: u32 = 0x6e1;
const CR0_WP: u64 = 1 << 16;
const CR4_PKE: u64 = 1 << 22;
const CR4_PKS: u64 = 1 << 24;
/// Every key open.
const OPEN: Rights = Rights::from_bits(0);

pub(crate) fn run(device: &'static Device) {
    let protection = device.protection();
    check("the-audit-sees-registers-that-were-changed-past-the-library", || {
        let last = percpu::online_count() as u32 - 1;
        for cpu in [0, last] {
            go_to(cpu);
            set_rights(protection, OPEN);
            go_to(last - cpu);
            let seen = audit();
            go_to(cpu);
            set_rights(protection, Rights::CLOSED);
            let expected = AuditError::WrongRights { cpu, holds: OPEN, should_hold: Rights::CLOSED };
            assert_eq!(seen, Err(expected));

            change_cr4(protection, false);
            go_to(last - cpu);
            let seen = audit();
            go_to(cpu);
            change_cr4(protection, true);
            assert_eq!(seen, Err(AuditError::KeysOff { cpu }));

            change_cr0(false);
            go_to(last - cpu);
            let seen = audit();
            go_to(cpu);
            change_cr0(true);
            assert_eq!(seen, Err(AuditError::WriteProtectOff { cpu }));
            assert!(audit().is_ok());
        }
        // Inside a grant the register holds what the grant has put there.
        device.read_lock().unwrap().write(|_| assert!(audit().is_ok())).unwrap();
        let this = NonZeroU32::new(task::current_id()).expect("a thread runs this");
        assert!(task::pin(this, None));
    });
}

fn go_to(cpu: u32) {
    let this = NonZeroU32::new(task::current_id()).expect("a thread runs this");
    assert!(task::pin(this, Some(cpu)));
}

fn set_rights(protection: Protection, rights: Rights) {
    // SAFETY: the register exists, since it protects. What is open meanwhile is touched by nobody.
    unsafe {
        match protection {
            Protection::Pks => asm!("wrmsr", in("ecx") IA32_PKRS, in("eax") rights.bits(), in("edx") 0),
            _ => asm!("wrpkru", in("ecx") 0, in("eax") rights.bits(), in("edx") 0),
        }
    }
}

fn change_cr4(protection: Protection, on: bool) {
    let bit = if protection == Protection::Pks { CR4_PKS } else { CR4_PKE };
    // SAFETY: the bit only says whether keys are looked at; it is put back before anybody relies on it.
    unsafe {
        let mut register: u64;
        asm!("mov {}, cr4", out(reg) register);
        register = if on { register | bit } else { register & !bit };
        asm!("mov cr4, {}", in(reg) register);
    }
}

fn change_cr0(write_protect: bool) {
    // SAFETY: as for CR4.
    unsafe {
        let mut register: u64;
        asm!("mov {}, cr0", out(reg) register);
        register = if write_protect { register | CR0_WP } else { register & !CR0_WP };
        asm!("mov cr0, {}", in(reg) register);
    }
}
