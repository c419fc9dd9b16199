//! Interrupts: enabling them, and sending them to other CPUs.

use core::sync::atomic::Ordering;

use libos_contract::vectors;

use super::apic::{self, Command};
use super::percpu::{self, PerCpu};
use super::port;

/// Disables interrupts on this CPU; whether they were enabled.
#[inline]
pub fn disable() -> bool {
    let enabled = x86_64::instructions::interrupts::are_enabled();
    x86_64::instructions::interrupts::disable();
    enabled
}

/// Enables interrupts if `enabled`, which [`disable`] returned.
#[inline]
pub fn restore(enabled: bool) {
    if enabled {
        x86_64::instructions::interrupts::enable();
    }
}

/// Whether interrupts are enabled on this CPU.
pub fn are_enabled() -> bool {
    x86_64::instructions::interrupts::are_enabled()
}

/// Asks another CPU to choose again which thread it runs.
pub(crate) fn ask_to_reschedule(cpu: &PerCpu) {
    percpu::this().counters.calls.add(1);
    send(cpu, Command::Fixed(vectors::RESCHEDULE));
}

/// Interrupts another CPU to make it look for shootdown requests.
pub(super) fn ask_to_shoot_down(cpu: &PerCpu) {
    send(cpu, Command::Fixed(vectors::SHOOTDOWN));
}

/// Asks a CPU, which may be the calling one, what its registers hold.
pub(super) fn ask_for_registers(cpu: &PerCpu) {
    send(cpu, Command::Fixed(vectors::REGISTERS));
}

/// Interrupts every other CPU even if its interrupts are disabled; the handler stops it if the machine is failing. How
/// many they are.
pub(crate) fn stop_others() -> u32 {
    let own = percpu::this().id;
    let others = percpu::online().filter(|cpu| cpu.id != own);
    others.inspect(|other| send(other, Command::NonMaskable)).count() as u32
}

/// Sends a non-maskable interrupt to the CPU with this number, which may be the calling one; whether there is such a
/// CPU.
#[cfg(feature = "testing")]
pub fn send_nmi(cpu: u32) -> bool {
    let target = percpu::online().find(|candidate| candidate.id == cpu);
    target.inspect(|target| send(target, Command::NonMaskable)).is_some()
}

fn send(cpu: &PerCpu, command: Command) {
    let enabled = disable();
    apic::send(cpu.apic_id.load(Ordering::Acquire), command);
    restore(enabled);
}

/// Masks the two 8259 controllers, after moving their vectors out of the way of exceptions.
pub(in crate::arch) fn mask_legacy_controller() {
    // ICW1 to ICW4 as every PC expects, then all lines masked.
    let sequence: [(u16, u8); 10] = [
        (0x20, 0x11),
        (0xa0, 0x11),
        (0x21, 0xf0),
        (0xa1, 0xf8),
        (0x21, 0x04),
        (0xa1, 0x02),
        (0x21, 0x01),
        (0xa1, 0x01),
        (0x21, 0xff),
        (0xa1, 0xff),
    ];
    for (port, value) in sequence {
        // SAFETY: the controllers' registers; masking them only silences interrupts that nobody handles.
        unsafe { port::outb(port, value) };
    }
}
