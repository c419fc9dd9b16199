//! The power button: a fixed event of the PM1 registers, signalled by the system control interrupt.

use core::sync::atomic::{AtomicBool, Ordering};

use super::PowerError;
use crate::arch::port::{inw, outb, outw};
use crate::arch::vectors;
use crate::drivers::acpi::{AcpiInfo, EventBlock, Fadt};
use crate::kprintln;
use crate::sync::Once;
use crate::task::{self, WaitQueue};

/// The power button's bit in the PM1 status and enable registers.
const PWRBTN: u16 = 1 << 8;

/// The PM1 event registers.
static EVENTS: Once<[Option<EventBlock>; 2]> = Once::new();
/// The button has been pressed.
static REQUESTED: AtomicBool = AtomicBool::new(false);
/// The program knows about the button: what a press means is its affair.
static ATTENDED: AtomicBool = AtomicBool::new(false);
/// Threads that wait for the button.
static PRESSED: WaitQueue = WaitQueue::for_outside();
/// What ends a program that does not know about the button.
static UNATTENDED: Once<fn()> = Once::new();

/// Blocks until a shutdown is requested by the power button. Returns at once if it has been, however often it is
/// called.
///
/// A program that calls this, or [`shutdown_requested`], decides by itself what to do about a press; any other program
/// is ended by it.
pub fn wait_for_shutdown() {
    ATTENDED.store(true, Ordering::SeqCst);
    wait();
}

/// Whether a shutdown has been requested by the power button.
pub fn shutdown_requested() -> bool {
    ATTENDED.store(true, Ordering::SeqCst);
    REQUESTED.load(Ordering::SeqCst)
}

fn wait() {
    PRESSED.wait(|| REQUESTED.load(Ordering::SeqCst).then_some(()));
}

/// Listens to the button.
pub fn init(acpi: &AcpiInfo, unattended: fn()) -> Result<(), PowerError> {
    if !acpi.fadt.fixed_power_button || acpi.fadt.pm1_event[0].is_none() {
        return Err(PowerError::NoButton);
    }
    let events = EVENTS.call_once(|| acpi.fadt.pm1_event);
    UNATTENDED.call_once(|| unattended);
    mask_general_events(&acpi.fadt);
    let vector = vectors::allocate_vector(on_system_control_interrupt, 0).ok_or(PowerError::NoInterrupt)?;
    let route = acpi.sci_route();
    if !vectors::route_gsi(route.gsi, vector, route.level, route.active_low) {
        return Err(PowerError::NoInterrupt);
    }
    for block in events.iter().flatten() {
        // Whatever happened before, such as the press that started the machine, is not for us.
        take_events(block);
        // SAFETY: a PM1 enable port of the FADT; the handler is in place.
        unsafe { outw(block.enable, PWRBTN) };
    }
    task::spawn_kernel("power", end_unattended);
    Ok(())
}

/// Ends the program at a press, unless it attends to the button itself.
fn end_unattended() {
    wait();
    if let (false, Some(end)) = (ATTENDED.load(Ordering::SeqCst), UNATTENDED.get()) {
        kprintln!("holdfast: the power button was pressed: shutting down");
        end();
    }
}

/// Runs in interrupt context.
fn on_system_control_interrupt(_argument: usize) {
    let events = EVENTS.get().into_iter().flatten().flatten().fold(0, |events, block| events | take_events(block));
    if events & PWRBTN != 0 {
        REQUESTED.store(true, Ordering::SeqCst);
        PRESSED.wake_all();
    }
}

/// The events that have happened; they are cleared by this, so that the interrupt line is released.
fn take_events(block: &EventBlock) -> u16 {
    // SAFETY: a PM1 status port of the FADT; writing back what was read clears just that.
    unsafe {
        let events = inw(block.status);
        outw(block.status, events);
        events
    }
}

/// Keeps every general-purpose event from raising the system control interrupt: handling one needs AML.
fn mask_general_events(fadt: &Fadt) {
    for port in fadt.gpe_enable.iter().cloned().flatten() {
        // SAFETY: a GPE enable port of the FADT; writing 0 only stops interrupts.
        unsafe { outb(port, 0) };
    }
}
