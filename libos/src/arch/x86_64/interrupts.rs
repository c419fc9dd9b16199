//! Interrupts: enabling them, and which handler runs for which vector.

use core::sync::atomic::{AtomicUsize, Ordering};

use libos_contract::vectors;

use super::apic::Command;
use super::hooks::hooks;
use super::io_apic::{IoApic, Trigger};
use super::percpu::{self, PerCpu};
use super::{apic, port, register_check, shootdown};
use crate::mm::DeviceMapError;
use crate::sync::{IrqLock, class};

const DEVICE_VECTORS: usize = (vectors::SPURIOUS - vectors::FIRST_DEVICE) as usize;

/// A device's handler: the address of a `fn(usize)`, 0 if there is none, and its argument.
struct Handler {
    function: AtomicUsize,
    argument: AtomicUsize,
}

static HANDLERS: [Handler; DEVICE_VECTORS] =
    [const { Handler { function: AtomicUsize::new(0), argument: AtomicUsize::new(0) } }; DEVICE_VECTORS];
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static IO_APICS: IrqLock<[Option<IoApic>; 4], class::IoApics> = IrqLock::new([const { None }; 4]);

/// Disables interrupts on this CPU; whether they were enabled.
pub fn disable() -> bool {
    let enabled = x86_64::instructions::interrupts::are_enabled();
    x86_64::instructions::interrupts::disable();
    enabled
}

/// Enables interrupts if `enabled`, which [`disable`] returned.
pub fn restore(enabled: bool) {
    if enabled {
        x86_64::instructions::interrupts::enable();
    }
}

/// Whether interrupts are enabled on this CPU.
pub fn are_enabled() -> bool {
    x86_64::instructions::interrupts::are_enabled()
}

/// Takes a free vector and runs `handler(argument)` in interrupt context, interrupts disabled, whenever it comes.
/// `None` when no vector is left.
pub fn allocate_vector(handler: fn(usize), argument: usize) -> Option<u8> {
    let place = ALLOCATED.fetch_add(1, Ordering::Relaxed);
    let slot = HANDLERS.get(place)?;
    slot.argument.store(argument, Ordering::Relaxed);
    slot.function.store(handler as usize, Ordering::Release);
    Some(vectors::FIRST_DEVICE + place as u8)
}

/// The address and the data that a device writes to raise this vector on this CPU (SDM volume 3A, section 11.11).
pub fn message_address_data(vector: u8) -> (u64, u32) {
    (0xfee0_0000 | u64::from(apic::id()) << 12, u32::from(vector))
}

/// Says where an I/O APIC is: its registers' physical address and the first global system interrupt that it serves.
pub fn add_io_apic(physical: u64, first_gsi: u32) -> Result<(), DeviceMapError> {
    let mut all = IO_APICS.lock();
    if let Some(free) = all.iter_mut().find(|slot| slot.is_none()) {
        *free = Some(IoApic::new(physical, first_gsi)?);
    }
    Ok(())
}

/// Routes a global system interrupt to a vector on this CPU; whether an I/O APIC serves it.
pub fn route_gsi(gsi: u32, vector: u8, level: bool, active_low: bool) -> bool {
    let trigger = Trigger { level, active_low };
    IO_APICS.lock().iter_mut().flatten().any(|io_apic| io_apic.route(gsi, vector, apic::id(), trigger))
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

/// Interrupts every other CPU even if its interrupts are disabled; the handler stops it if the machine is failing.
pub(crate) fn stop_others() {
    let own = percpu::this().id;
    for cpu in percpu::online().filter(|cpu| cpu.id != own) {
        send(cpu, Command::NonMaskable);
    }
}

/// Sends a non-maskable interrupt to the CPU with this number, which may be the calling one; whether there is such a
/// CPU.
pub fn send_nmi(cpu: u32) -> bool {
    let target = percpu::online().find(|candidate| candidate.id == cpu);
    target.inspect(|target| send(target, Command::NonMaskable)).is_some()
}

fn send(cpu: &PerCpu, command: Command) {
    let enabled = disable();
    apic::send(cpu.apic_id.load(Ordering::Acquire), command);
    restore(enabled);
}

/// Runs the handler of an interrupt, then tells the local APIC that it was served.
pub(super) fn dispatch(vector: u8) {
    match vector {
        vectors::SPURIOUS => return,
        vectors::TIMER => (hooks().timer)(),
        vectors::RESCHEDULE => percpu::this().reschedule.store(true, Ordering::Relaxed),
        vectors::SHOOTDOWN => shootdown::serve(),
        vectors::REGISTERS => register_check::serve(),
        _ => {
            let slot = vector.checked_sub(vectors::FIRST_DEVICE).and_then(|place| HANDLERS.get(usize::from(place)));
            let function = slot.map_or(0, |slot| slot.function.load(Ordering::Acquire));
            if let (Some(slot), true) = (slot, function != 0) {
                // SAFETY: only `allocate_vector` stores there, and what it stores is a `fn(usize)`.
                let handler: fn(usize) = unsafe { core::mem::transmute(function) };
                handler(slot.argument.load(Ordering::Relaxed));
            }
        }
    }
    apic::end_of_interrupt();
}

/// Masks the two 8259 controllers, after moving their vectors out of the way of exceptions.
pub(super) fn mask_legacy_controller() {
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
