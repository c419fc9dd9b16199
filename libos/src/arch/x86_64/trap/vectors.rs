//! Which handler runs for which interrupt.

use core::sync::atomic::{AtomicUsize, Ordering};

use libos_contract::vectors;

use super::hooks::hooks;
use super::io_apic::{IoApic, Trigger};
use crate::addr::PhysAddr;
use crate::arch::x86_64::machine::{apic, percpu, register_check, shootdown};
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
pub fn message_address_data(vector: u8) -> (PhysAddr, u32) {
    (PhysAddr::new(0xfee0_0000 | u64::from(apic::id()) << 12), u32::from(vector))
}

/// Says where an I/O APIC is: its registers' physical address and the first global system interrupt that it serves.
pub fn add_io_apic(physical: PhysAddr, first_gsi: u32) -> Result<(), DeviceMapError> {
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

/// Runs the handler of an interrupt, then tells the local APIC that it was served.
#[inline]
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
