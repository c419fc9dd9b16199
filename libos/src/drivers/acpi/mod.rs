//! ACPI's static tables, read once at boot into [`AcpiInfo`].
//!
//! Owns: finding the tables, verifying lengths and checksums, and the typed content of the FADT, the MADT and the
//! `\_S5_` package. Never: writes a register, interprets AML, or keeps a reference into firmware memory. Everything but
//! `init` works on byte slices and is tested on the host; no content of a table can make it panic or loop.

mod aml;
pub mod bytes;
mod fadt;
mod madt;
mod table;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;

use crate::addr::PhysAddr;

pub use aml::SleepType;
pub use fadt::{EventBlock, Fadt, PmTimer, Reset};
pub use madt::{Cpu, IoApic, LocalNmi, Madt, Override, Polarity, Trigger};
pub use table::{PhysicalMemory, Signature};

/// What the firmware says about the machine.
#[derive(Clone, Debug)]
pub struct AcpiInfo {
    /// Every processor that the MADT lists, the unusable ones too.
    pub cpus: Vec<Cpu>,
    /// Where the local APIC's registers are (xAPIC mode).
    pub local_apic_address: PhysAddr,
    /// Whether the machine also has 8259 interrupt controllers, which must be masked (MADT, PCAT_COMPAT).
    pub has_8259: bool,
    /// The I/O APICs.
    pub io_apics: Vec<IoApic>,
    /// ISA interrupts that do not arrive where, or how, the ISA bus would have it.
    pub overrides: Vec<Override>,
    /// Local APIC pins that are wired to NMI.
    pub local_nmis: Vec<LocalNmi>,
    /// The fixed hardware.
    pub fadt: Fadt,
    /// What puts the machine into S5 (off), if the DSDT says it where we can read it.
    pub s5: Option<SleepType>,
    /// A copy of the NFIT, for [`super::nfit::parse`], if the machine has one.
    pub nfit: Option<Vec<u8>>,
}

/// How an interrupt line reaches an I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Global system interrupt.
    pub gsi: u32,
    /// Level-triggered, else edge-triggered.
    pub level: bool,
    /// Asserted when low, else when high.
    pub active_low: bool,
}

/// Why the tables cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcpiError {
    /// No root pointer where the caller said, nor in the BIOS area.
    NoRootPointer,
    /// Firmware memory at this address cannot be read.
    Unreadable(PhysAddr),
    /// A table's length field cannot be right.
    Length(Signature, u32),
    /// The bytes of a table do not add up to zero.
    Checksum(Signature),
    /// A table carries another signature than the pointer to it promises: expected, found.
    Signature(Signature, Signature),
    /// A table that every ACPI machine has is missing.
    Missing(Signature),
    /// An entry of a table is cut short or has an impossible length, at this offset.
    Entry(Signature, usize),
}

impl fmt::Display for AcpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRootPointer => write!(f, "ACPI: no root pointer (RSDP) found"),
            Self::Unreadable(address) => write!(f, "ACPI: cannot read firmware memory at {address:#x}"),
            Self::Length(table, length) => write!(f, "ACPI: table {table}: impossible length {length}"),
            Self::Checksum(table) => write!(f, "ACPI: table {table}: wrong checksum"),
            Self::Signature(wanted, found) => write!(f, "ACPI: found table {found} where {wanted} should be"),
            Self::Missing(table) => write!(f, "ACPI: table {table} is missing"),
            Self::Entry(table, offset) => write!(f, "ACPI: table {table}: bad entry at offset {offset}"),
        }
    }
}

impl core::error::Error for AcpiError {}

impl AcpiInfo {
    /// Reads the tables through `memory`, from the root pointer at `rsdp`, or else from one found in the BIOS area.
    pub fn read(memory: &impl PhysicalMemory, rsdp: Option<PhysAddr>) -> Result<Self, AcpiError> {
        let root = table::Root::find(memory, rsdp)?;
        let require = |signature| root.table(signature)?.ok_or(AcpiError::Missing(signature));
        let fadt = Fadt::parse(require(Signature::FADT)?)?;
        let madt = Madt::parse(require(Signature::MADT)?)?;
        let s5 = match fadt.dsdt {
            None => None,
            Some(address) => aml::find_s5(table::read(memory, address, Signature::DSDT)?),
        };
        let nfit = root.table(Signature::NFIT)?.map(<[u8]>::to_vec);
        Ok(Self {
            cpus: madt.cpus,
            local_apic_address: madt.local_apic_address,
            has_8259: madt.has_8259,
            io_apics: madt.io_apics,
            overrides: madt.overrides,
            local_nmis: madt.local_nmis,
            fadt,
            s5,
            nfit,
        })
    }

    /// Where the ISA interrupt `irq` arrives: as the MADT overrides it, else as the ISA bus has it (identity, edge,
    /// high).
    pub fn isa_route(&self, irq: u8) -> Route {
        self.route(irq, Route { gsi: irq.into(), level: false, active_low: false })
    }

    /// Where the system control interrupt arrives: as the MADT overrides it, else level and active low (ACPI 6.5,
    /// section 5.2.9).
    pub fn sci_route(&self) -> Route {
        let default = Route { gsi: self.fadt.sci_interrupt.into(), level: true, active_low: true };
        match u8::try_from(self.fadt.sci_interrupt) {
            Ok(irq) if self.has_8259 => self.route(irq, default),
            _ => default, // Without 8259s the FADT's field is a GSI already.
        }
    }

    fn route(&self, irq: u8, default: Route) -> Route {
        match self.overrides.iter().find(|entry| entry.source == irq) {
            None => default,
            Some(entry) => Route {
                gsi: entry.gsi,
                level: match entry.trigger {
                    Trigger::Bus => default.level,
                    trigger => trigger == Trigger::Level,
                },
                active_low: match entry.polarity {
                    Polarity::Bus => default.active_low,
                    polarity => polarity == Polarity::Low,
                },
            },
        }
    }
}

/// Reads the machine's tables. `rsdp` is where the root pointer is, if the boot protocol told it.
#[cfg(target_os = "hermit")]
pub fn init(rsdp: Option<PhysAddr>) -> Result<AcpiInfo, AcpiError> {
    struct Firmware;
    impl PhysicalMemory for Firmware {
        fn bytes(&self, address: PhysAddr, length: usize) -> Option<&[u8]> {
            crate::mm::map_firmware(address, length).ok()
        }
    }
    AcpiInfo::read(&Firmware, rsdp)
}
