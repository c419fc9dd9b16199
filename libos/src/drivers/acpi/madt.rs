//! Interrupt controllers and processors (MADT; ACPI 6.5, section 5.2.12).

use alloc::vec::Vec;

use super::bytes::{address_32_at, address_64_at, u8_at, u16_at, u32_at};
use super::{AcpiError, Signature};
use crate::addr::PhysAddr;

/// The content of the MADT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Madt {
    /// Processors.
    pub cpus: Vec<Cpu>,
    /// Where the local APIC's registers are.
    pub local_apic_address: PhysAddr,
    /// PCAT_COMPAT: the machine has 8259s as well.
    pub has_8259: bool,
    /// I/O APICs.
    pub io_apics: Vec<IoApic>,
    /// Interrupt source overrides.
    pub overrides: Vec<Override>,
    /// Local APIC pins that are wired to NMI.
    pub local_nmis: Vec<LocalNmi>,
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its local APIC's (or x2APIC's) id.
    pub apic_id: u32,
    /// Its ACPI processor UID, which [`LocalNmi`] refers to.
    pub uid: u32,
    /// Ready for use. One that is not may be absent.
    pub enabled: bool,
}

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its id.
    pub id: u8,
    /// Where its registers are.
    pub address: PhysAddr,
    /// The GSI of its first input.
    pub gsi_base: u32,
}

/// When an interrupt line is asserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// As is usual on its bus.
    Bus,
    /// When high.
    High,
    /// When low.
    Low,
}

/// How an interrupt line signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// As is usual on its bus.
    Bus,
    /// By an edge.
    Edge,
    /// By a level.
    Level,
}

/// An ISA interrupt that arrives elsewhere, or otherwise, than the ISA bus would have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// ISA interrupt number.
    pub source: u8,
    /// The global system interrupt that it arrives at.
    pub gsi: u32,
    /// When it is asserted.
    pub polarity: Polarity,
    /// How it signals.
    pub trigger: Trigger,
}

/// A pin of local APICs that is wired to NMI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalNmi {
    /// The processor's UID; `None` means all of them.
    pub uid: Option<u32>,
    /// LINT0 or LINT1.
    pub lint: u8,
    /// When it is asserted.
    pub polarity: Polarity,
    /// How it signals.
    pub trigger: Trigger,
}

/// Offset of the first entry.
const ENTRIES: usize = 44;
const PCAT_COMPAT: u32 = 1;
const CPU_ENABLED: u32 = 1;

impl Madt {
    pub(super) fn parse(table: &[u8]) -> Result<Self, AcpiError> {
        let too_short = AcpiError::Length(Signature::MADT, table.len() as u32);
        let mut rest = table.get(ENTRIES..).ok_or(too_short)?;
        let mut madt = Self {
            local_apic_address: address_32_at(table, 36).ok_or(too_short)?,
            has_8259: u32_at(table, 40).ok_or(too_short)? & PCAT_COMPAT != 0,
            cpus: Vec::new(),
            io_apics: Vec::new(),
            overrides: Vec::new(),
            local_nmis: Vec::new(),
        };
        while !rest.is_empty() {
            let bad = AcpiError::Entry(Signature::MADT, table.len() - rest.len());
            let length = rest.get(1).copied().map(usize::from).filter(|length| *length >= 2).ok_or(bad)?;
            let (entry, next) = rest.split_at_checked(length).ok_or(bad)?;
            madt.add(entry).ok_or(bad)?;
            rest = next;
        }
        Ok(madt)
    }

    /// Takes in one entry; `None` if it is shorter than its type. Types that we have no use for are passed over.
    fn add(&mut self, entry: &[u8]) -> Option<()> {
        match entry[0] {
            0 => self.cpus.push(Cpu {
                uid: u8_at(entry, 2)?.into(),
                apic_id: u8_at(entry, 3)?.into(),
                enabled: u32_at(entry, 4)? & CPU_ENABLED != 0,
            }),
            1 => self.io_apics.push(IoApic {
                id: u8_at(entry, 2)?,
                address: address_32_at(entry, 4)?,
                gsi_base: u32_at(entry, 8)?,
            }),
            2 => {
                let (polarity, trigger) = signalling(u16_at(entry, 8)?);
                let (source, gsi) = (u8_at(entry, 3)?, u32_at(entry, 4)?);
                self.overrides.push(Override { source, gsi, polarity, trigger });
            }
            4 => {
                let (polarity, trigger) = signalling(u16_at(entry, 3)?);
                let uid = Some(u8_at(entry, 2)?).filter(|uid| *uid != u8::MAX).map(u32::from);
                self.local_nmis.push(LocalNmi { uid, lint: u8_at(entry, 5)?, polarity, trigger });
            }
            5 => self.local_apic_address = address_64_at(entry, 4)?,
            9 => self.cpus.push(Cpu {
                apic_id: u32_at(entry, 4)?,
                enabled: u32_at(entry, 8)? & CPU_ENABLED != 0,
                uid: u32_at(entry, 12)?,
            }),
            10 => {
                let (polarity, trigger) = signalling(u16_at(entry, 2)?);
                let uid = Some(u32_at(entry, 4)?).filter(|uid| *uid != u32::MAX);
                self.local_nmis.push(LocalNmi { uid, lint: u8_at(entry, 8)?, polarity, trigger });
            }
            _ => {}
        }
        Some(())
    }
}

/// The MPS INTI flags (ACPI 6.5, table 5.26). The reserved encodings mean nothing, so the bus decides.
fn signalling(flags: u16) -> (Polarity, Trigger) {
    let polarity = match flags & 0b11 {
        0b01 => Polarity::High,
        0b11 => Polarity::Low,
        _ => Polarity::Bus,
    };
    let trigger = match flags >> 2 & 0b11 {
        0b01 => Trigger::Edge,
        0b11 => Trigger::Level,
        _ => Trigger::Bus,
    };
    (polarity, trigger)
}
