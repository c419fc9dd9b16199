//! Power: off, and the power button.
//!
//! Owns the fixed hardware of the FADT: PM1 event and control registers, the enable halves of the GPE blocks.
//! Never: decides what a press means. A program that waits for it does; for any other program [`init`]'s caller says
//! what ends it.

mod button;

use core::fmt;
use core::time::Duration;

use crate::arch::port::{inw, outb, outw};
use crate::drivers::acpi::{AcpiInfo, Fadt, SleepType};
use crate::sync::Once;
use crate::{halt, kprintln, time};

pub use button::{shutdown_requested, wait_for_shutdown};

/// PM1 control: the system control interrupt is ours (ACPI mode).
const SCI_EN: u16 = 1 << 0;
/// PM1 control: where the sleep type goes.
const SLP_TYP_SHIFT: u16 = 10;
const SLP_TYP: u16 = 0b111 << SLP_TYP_SHIFT;
/// PM1 control: enter the sleep state now.
const SLP_EN: u16 = 1 << 13;

/// How long the firmware may take to hand the fixed hardware over (ACPI 6.5, section 4.8.3.2.1 names no limit).
const ENABLE_TIMEOUT: Duration = Duration::from_secs(3);

/// The hardware, once [`init`] has taken it over.
static HARDWARE: Once<(Fadt, Option<SleepType>)> = Once::new();

/// Why the power button does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerError {
    /// The machine has no fixed power button.
    NoButton,
    /// The firmware does not hand the fixed hardware over.
    NotHandedOver,
    /// There is no free interrupt vector, or no I/O APIC that serves the button's interrupt.
    NoInterrupt,
}

impl fmt::Display for PowerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoButton => "power: the machine has no fixed power button",
            Self::NotHandedOver => "power: the firmware does not hand over the ACPI registers",
            Self::NoInterrupt => "power: no way for the power button's interrupt",
        })
    }
}

impl core::error::Error for PowerError {}

/// Takes over the fixed hardware and listens to the power button. `unattended` ends the program when the button is
/// pressed and nobody has ever called [`wait_for_shutdown`] or [`shutdown_requested`]; it runs in a thread of its own.
///
/// Switching off works after this even if it returns an error.
pub fn init(acpi: &AcpiInfo, unattended: fn()) -> Result<(), PowerError> {
    HARDWARE.call_once(|| (acpi.fadt.clone(), acpi.s5));
    enable_acpi(&acpi.fadt)?;
    button::init(acpi, unattended)
}

/// Switches the fixed hardware from the firmware's hands (SMM) into ours, if that is still to do.
fn enable_acpi(fadt: &Fadt) -> Result<(), PowerError> {
    let Some(control) = fadt.pm1_control[0] else {
        return Err(PowerError::NoButton);
    };
    // SAFETY: a PM1 control port of the FADT; reading it changes nothing.
    let enabled = || unsafe { inw(control) } & SCI_EN != 0;
    if enabled() {
        return Ok(());
    }
    let (port, value) = fadt.acpi_enable.ok_or(PowerError::NotHandedOver)?;
    // SAFETY: the FADT's way to ask the firmware for ACPI mode; firmware keeps to its own memory.
    unsafe { outb(port, value) };
    let deadline = time::now() + ENABLE_TIMEOUT;
    while !enabled() {
        if time::now() > deadline {
            return Err(PowerError::NotHandedOver);
        }
        core::hint::spin_loop();
    }
    Ok(())
}

/// Ends the machine with an exit status for QEMU: 0 switches it off (ACPI S5), so that QEMU exits with 0; any other
/// goes out through the debug-exit port, so that QEMU exits with `2 * status + 1`. A status outside `0..=127` becomes
/// 127. Callable from any context. Nothing is drained or flushed: that is the caller's.
pub fn exit(status: i32) -> ! {
    match u8::try_from(status).ok().filter(|status| *status < 128) {
        Some(0) => off(),
        status => halt::exit(status.unwrap_or(127)),
    }
}

/// Switches the machine off (ACPI S5). Callable from any context. Where that is impossible it says why and ends as
/// failed.
pub fn off() -> ! {
    if let Some((fadt, Some(types))) = HARDWARE.get() {
        // Every register gets its sleep type first, and only then the order to go to sleep.
        for enter in [0, SLP_EN] {
            for (port, sleep_type) in fadt.pm1_control.iter().zip([types.pm1a, types.pm1b]) {
                let Some(port) = *port else { continue };
                // SAFETY: a PM1 control port of the FADT. The other bits stay as they are; the machine ends here.
                unsafe {
                    let rest = inw(port) & !(SLP_TYP | SLP_EN);
                    outw(port, rest | u16::from(sleep_type) << SLP_TYP_SHIFT | enter);
                }
            }
        }
        // The machine goes on for a moment: QEMU notices the request at its next event.
        let deadline = time::now() + ENABLE_TIMEOUT;
        while time::now() < deadline {
            core::hint::spin_loop();
        }
    }
    kprintln!("holdfast: the machine cannot be switched off: its firmware names no way into S5");
    halt::exit(1)
}
