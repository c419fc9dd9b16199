//! Tables captured from QEMU, and a physical memory to put them into.

use std::vec::Vec;

use super::PhysicalMemory;
use crate::addr::PhysAddr;

/// The bytes of a `.hex` file: pairs of digits, and comments from `#` to the end of the line.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| line.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8))
        .collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub fn rsdp() -> Vec<u8> {
    hex(include_str!("fixtures/rsdp.hex"))
}

pub fn facp() -> Vec<u8> {
    hex(include_str!("fixtures/facp.hex"))
}

pub fn apic() -> Vec<u8> {
    hex(include_str!("fixtures/apic.hex"))
}

pub fn apic_3_cpus() -> Vec<u8> {
    hex(include_str!("fixtures/apic-3cpus.hex"))
}

pub fn nfit() -> Vec<u8> {
    hex(include_str!("fixtures/nfit.hex"))
}

pub fn nfit_unarmed() -> Vec<u8> {
    hex(include_str!("fixtures/nfit-unarmed.hex"))
}

/// A DSDT that holds the captured piece.
pub fn dsdt() -> Vec<u8> {
    table(b"DSDT", &hex(include_str!("fixtures/dsdt-sleep.hex")))
}

/// A table with this content after its header.
pub fn table(signature: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut table = signature.to_vec();
    table.extend_from_slice(&(36 + content.len() as u32).to_le_bytes());
    table.resize(36, 0);
    table.extend_from_slice(content);
    seal(&mut table, 9);
    table
}

/// Makes `bytes` add up to zero by the byte at `at`.
pub fn seal(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
}

/// Pieces of physical memory by their addresses; the rest is unreadable.
#[derive(Clone, Default)]
pub struct FakeMemory(pub Vec<(PhysAddr, Vec<u8>)>);

impl PhysicalMemory for FakeMemory {
    fn bytes(&self, address: PhysAddr, length: usize) -> Option<&[u8]> {
        self.0.iter().find_map(|(base, bytes)| {
            let offset = usize::try_from(address.as_u64().checked_sub(base.as_u64())?).ok()?;
            bytes.get(offset..offset.checked_add(length)?)
        })
    }
}

/// A machine with these tables. The root pointer stands in the BIOS area; with `xsdt` it is one of revision 2.
pub fn machine(tables: &[Vec<u8>], xsdt: bool) -> FakeMemory {
    let mut memory = FakeMemory::default();
    let mut root = Vec::new();
    for (address, table) in (0x0fe0_0000u64..).step_by(0x10000).zip(tables) {
        let mut table = table.clone();
        if table.starts_with(b"FACP") {
            table[40..44].copy_from_slice(&DSDT.to_le_bytes()[..4]);
            table[140..148].copy_from_slice(&DSDT.to_le_bytes());
            seal(&mut table, 9);
        }
        if table.starts_with(b"DSDT") {
            memory.0.push((PhysAddr::new(DSDT), table));
            continue;
        }
        let entry = address.to_le_bytes();
        root.extend_from_slice(if xsdt { &entry } else { &entry[..4] });
        memory.0.push((PhysAddr::new(address), table));
    }
    let mut pointer = rsdp();
    if xsdt {
        pointer[15] = 2;
        pointer[16..20].fill(0);
        pointer[20..24].copy_from_slice(&36u32.to_le_bytes());
        pointer[24..32].copy_from_slice(&ROOT.to_le_bytes());
        pointer[32..36].fill(0);
    } else {
        pointer[16..20].copy_from_slice(&ROOT.to_le_bytes()[..4]);
    }
    seal(&mut pointer[..20], 8);
    seal(&mut pointer[..36], 32);
    let mut bios_area = std::vec![0; 0x2_0000];
    bios_area[RSDP_OFFSET..RSDP_OFFSET + 36].copy_from_slice(&pointer);
    memory.0.push((PhysAddr::new(ROOT), table(if xsdt { b"XSDT" } else { b"RSDT" }, &root)));
    memory.0.push((PhysAddr::new(0xe_0000), bios_area));
    memory
}

const ROOT: u64 = 0x0ffe_227b;
const DSDT: u64 = 0x0ffd_f040;
const RSDP_OFFSET: usize = 0x1_59e0;

/// Where [`machine`] puts the root pointer.
pub const RSDP: PhysAddr = PhysAddr::new(0xe_0000 + RSDP_OFFSET as u64);
