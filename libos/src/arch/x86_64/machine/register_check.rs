//! What every CPU's registers say about protection, for the audit.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::registers::control::{Cr0, Cr0Flags};

use super::percpu::{self, MAX_CPUS};
use super::{interrupts, key_rights};
use crate::keys::{KeyRegister, Registers, Rights};

/// What each CPU has answered: [`ANSWERED`], [`WRITE_PROTECT`], [`KEYS_ON`], and what its register holds above.
static ANSWERS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
const ANSWERED: u64 = 1 << 0;
const WRITE_PROTECT: u64 = 1 << 1;
const KEYS_ON: u64 = 1 << 2;
const HOLDS: u32 = 32;

/// Shows `see` the registers of every CPU: this one's as they are in the calling thread, and all as they are in an
/// interrupt's handler, where everything is to be closed. While interrupts are disabled, only this one's. One at a
/// time: two would mix their answers.
pub fn with_registers(mut see: impl FnMut(Registers)) {
    let enabled = interrupts::disable();
    see(here());
    interrupts::restore(enabled);
    if !enabled {
        return;
    }
    for cpu in percpu::online() {
        ANSWERS[cpu.id as usize].store(0, Ordering::Relaxed);
        interrupts::ask_for_registers(cpu);
    }
    for cpu in percpu::online() {
        let answer = loop {
            let answer = ANSWERS[cpu.id as usize].load(Ordering::Acquire);
            if answer & ANSWERED != 0 {
                break answer;
            }
            core::hint::spin_loop();
        };
        let keys = key_rights::protects().then(|| KeyRegister {
            on: answer & KEYS_ON != 0,
            holds: Rights::from_bits((answer >> HOLDS) as u32),
            should_hold: Rights::CLOSED,
        });
        see(Registers { cpu: cpu.id, write_protect: answer & WRITE_PROTECT != 0, keys });
    }
}

/// This CPU's registers. Interrupts are disabled.
fn here() -> Registers {
    Registers {
        cpu: percpu::this().id,
        write_protect: Cr0::read().contains(Cr0Flags::WRITE_PROTECT),
        keys: key_rights::register_here(),
    }
}

/// The interrupt's handler.
pub(in crate::arch) fn serve() {
    let Registers { cpu, write_protect, keys } = here();
    let mut answer = ANSWERED;
    if write_protect {
        answer |= WRITE_PROTECT;
    }
    if let Some(keys) = keys {
        answer |= if keys.on { KEYS_ON } else { 0 } | u64::from(keys.holds.bits()) << HOLDS;
    }
    ANSWERS[cpu as usize].store(answer, Ordering::Release);
}
