//! The fixed hardware's registers (FADT; ACPI 6.5, sections 4.8 and 5.2.9).

use core::ops::Range;

use super::bytes::{address_32_at, address_64_at, u8_at, u16_at, u32_at, u64_at};
use super::{AcpiError, Signature};
use crate::addr::PhysAddr;

/// The fixed hardware. All of it is in I/O ports: no PC has it in memory, and what a table places there is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fadt {
    /// Where the DSDT is, if there is one.
    pub dsdt: Option<PhysAddr>,
    /// The system control interrupt: an ISA interrupt where there are 8259s, else a GSI. See `AcpiInfo::sci_route`.
    pub sci_interrupt: u16,
    /// Port and value that hand the fixed hardware from the firmware to us, unless it is ours already.
    pub acpi_enable: Option<(u16, u8)>,
    /// PM1a and PM1b event registers.
    pub pm1_event: [Option<EventBlock>; 2],
    /// PM1a and PM1b control ports (16 bits wide).
    pub pm1_control: [Option<u16>; 2],
    /// The enable halves of GPE0 and GPE1: byte ports, one bit per event.
    pub gpe_enable: [Range<u16>; 2],
    /// The power-management timer (3.579545 MHz).
    pub pm_timer: Option<PmTimer>,
    /// Whether the power button is fixed hardware (a PM1 event), and not a device that needs AML.
    pub fixed_power_button: bool,
    /// How to reset the machine.
    pub reset: Option<Reset>,
    /// The CMOS register that holds the century.
    pub century: Option<u8>,
}

/// A pair of 16-bit event registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventBlock {
    /// Port of the status register; writing a 1 clears that bit.
    pub status: u16,
    /// Port of the enable register.
    pub enable: u16,
}

/// The power-management timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// 32-bit port.
    pub port: u16,
    /// Counter width: 24 or 32 bits.
    pub bits: u8,
}

/// The reset register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// 8-bit port.
    pub port: u16,
    /// What to write.
    pub value: u8,
}

// Flags at offset 112.
const CONTROL_METHOD_POWER_BUTTON: u32 = 1 << 4;
const TIMER_IS_32_BIT: u32 = 1 << 8;
const RESET_REGISTER_SUPPORTED: u32 = 1 << 10;
const HARDWARE_REDUCED: u32 = 1 << 20;

/// The length of ACPI 1.0's FADT, the shortest there is.
const SHORTEST: usize = 116;

impl Fadt {
    pub(super) fn parse(table: &[u8]) -> Result<Self, AcpiError> {
        if table.len() < SHORTEST {
            return Err(AcpiError::Length(Signature::FADT, table.len() as u32));
        }
        // Every offset below `SHORTEST` exists; later ones may not.
        let byte = |offset| u8_at(table, offset).unwrap_or(0);
        let half = |offset| u16_at(table, offset).unwrap_or(0);
        let word = |offset| u32_at(table, offset).unwrap_or(0);

        let flags = word(112);
        let fixed = flags & HARDWARE_REDUCED == 0;
        // A block of `length` ports, by its extended address if there is one in I/O space, else by the 32-bit one.
        let block = |extended: usize, legacy: usize, length: u8| -> Option<u16> {
            let port = io_address(table, extended).or(Some(word(legacy).into())).filter(|_| fixed)?;
            let port = u16::try_from(port).ok().filter(|port| *port != 0 && length != 0)?;
            port.checked_add(length.into()).map(|_end| port)
        };
        let (event_length, control_length) = (byte(88), byte(89));
        let event = |extended, legacy| {
            let status = block(extended, legacy, event_length).filter(|_| event_length >= 4)?;
            Some(EventBlock { status, enable: status + u16::from(event_length / 2) })
        };
        let control = |extended, legacy| block(extended, legacy, control_length).filter(|_| control_length >= 2);
        let gpe = |extended, legacy, length: u8| {
            let half = u16::from(length / 2);
            block(extended, legacy, length).map_or(0..0, |port| port + half..port + 2 * half)
        };
        let bits = if flags & TIMER_IS_32_BIT == 0 { 24 } else { 32 };
        let smi_command = u16::try_from(word(48)).unwrap_or(0);
        let reset_port = io_address(table, 116).and_then(|port| u16::try_from(port).ok());
        Ok(Self {
            dsdt: [address_64_at(table, 140), address_32_at(table, 40)]
                .into_iter()
                .flatten()
                .find(|address| *address != PhysAddr::ZERO),
            sci_interrupt: half(46),
            acpi_enable: (fixed && smi_command != 0 && byte(52) != 0).then_some((smi_command, byte(52))),
            pm1_event: [event(148, 56), event(160, 60)],
            pm1_control: [control(172, 64), control(184, 68)],
            gpe_enable: [gpe(220, 80, byte(92)), gpe(232, 84, byte(93))],
            pm_timer: block(208, 76, byte(91)).filter(|_| byte(91) >= 4).map(|port| PmTimer { port, bits }),
            fixed_power_button: fixed && flags & CONTROL_METHOD_POWER_BUTTON == 0,
            reset: reset_port
                .filter(|_| flags & RESET_REGISTER_SUPPORTED != 0 && table.len() > 128)
                .map(|port| Reset { port, value: byte(128) }),
            century: Some(byte(108)).filter(|register| *register != 0),
        })
    }
}

/// The address in a generic address structure, if it is in I/O space and not 0.
fn io_address(table: &[u8], offset: usize) -> Option<u64> {
    const SYSTEM_IO: u8 = 1;
    u8_at(table, offset).filter(|space| *space == SYSTEM_IO)?;
    u64_at(table, offset + 4).filter(|address| *address != 0)
}
