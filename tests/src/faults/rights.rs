//! The register that holds the rights of protection keys, seen from outside.
//!
//! QEMU's stub shows neither IA32_PKRS nor PKRU. But the guest's code has instructions that read and write them, and
//! these can be executed, one step at a time, and recognised when they are about to be.

use std::time::Duration;

use libos_contract::rights::Rights;
use xtask::qemu::Protection;

use crate::elf::Elf;
use crate::gdb::{Gdb, Register, Result, StepMode};

const IA32_PKRS: u64 = 0x6e1;
const WRMSR: &[u8] = &[0x0f, 0x30];
const RDMSR: &[u8] = &[0x0f, 0x32];
const WRPKRU: &[u8] = &[0x0f, 0x01, 0xef];
const RDPKRU: &[u8] = &[0x0f, 0x01, 0xee];

/// How long the one instruction may take.
const STEP_PATIENCE: Duration = Duration::from_secs(2);
const IDLE_PATIENCE: Duration = Duration::from_millis(50);

/// The places in a guest image that read and write one of the two registers.
#[derive(Clone, Debug)]
pub struct RightsRegister {
    number: u64,
    read: Vec<u64>,
    read_code: &'static [u8],
    write: Vec<u64>,
}

impl RightsRegister {
    /// The register that this protection uses; `None` without protection.
    pub fn find(elf: &Elf, protection: Protection) -> Option<Self> {
        let (number, read_code, write_code) = match protection {
            Protection::Pku => (0, RDPKRU, WRPKRU),
            Protection::None => return None,
            _ => (IA32_PKRS, RDMSR, WRMSR),
        };
        Some(Self { number, read: places(elf, read_code), read_code, write: places(elf, write_code) })
    }

    /// Where the register may be written. Some of these places write other registers, or are in the middle of an
    /// instruction.
    pub fn write_places(&self) -> &[u64] {
        &self.write
    }

    /// The value that the selected CPU is about to write to the register; `None` if it is about to do something else.
    pub fn about_to_write(&self, gdb: &mut Gdb) -> Result<Option<Rights>> {
        let registers = gdb.registers()?;
        let writes = self.write.contains(&registers.rip()) && registers.get(Register::RCX) & 0xffff_ffff == self.number;
        Ok(writes.then(|| Rights::from_bits(registers.get(Register::RAX) as u32)))
    }

    /// The register's value on this CPU, which is selected then: the CPU executes one of the guest's own instructions
    /// that read it, and then has all its registers back. `None` if no such instruction is as it was in the image,
    /// or the CPU waits with its interrupts off and executes nothing.
    pub fn value(&self, gdb: &mut Gdb, cpu: u32) -> Result<Option<Rights>> {
        gdb.select(cpu)?;
        let before = gdb.registers()?;
        for &place in &self.read {
            if gdb.read(place, self.read_code.len())? != self.read_code {
                continue;
            }
            gdb.set_step_mode(StepMode::ALONE)?;
            gdb.set_register(Register::RIP, place.into())?;
            gdb.set_register(Register::RCX, self.number.into())?;
            // One that waits executes something only if there is work for it already.
            let patience = if gdb.is_idle(cpu)? { IDLE_PATIENCE } else { STEP_PATIENCE };
            let stepped = gdb.try_step(cpu, patience)?.is_some();
            gdb.select(cpu)?;
            let after = gdb.registers()?;
            for register in [Register::RAX, Register::RCX, Register::RDX, Register::RIP] {
                gdb.set_register(register, before.wide(register))?;
            }
            if stepped && after.rip() == place + self.read_code.len() as u64 {
                return Ok(Some(Rights::from_bits(after.get(Register::RAX) as u32)));
            }
            break;
        }
        Ok(None)
    }
}

/// Every place in the image's code that has these bytes.
fn places(elf: &Elf, code: &[u8]) -> Vec<u64> {
    let text = elf.section(".text");
    let found = text.bytes.windows(code.len()).zip(text.range.start..).filter(|(bytes, _)| *bytes == code);
    found.map(|(_, address)| address).collect()
}
