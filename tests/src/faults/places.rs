//! Places in a guest image that faults need to know.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::debugger::{Debugger, Result};
use crate::elf::{Elf, Symbol};
use crate::gdb::Register;

/// How many instructions each CPU is followed when the working set is looked for.
const STEPS: usize = 250;
/// How long a step may take before the CPU counts as one that waits for an interrupt.
const STEP_PATIENCE: Duration = Duration::from_millis(250);

/// Places in a guest image.
#[derive(Debug)]
pub struct Places {
    /// The code.
    pub text: Range<u64>,
    /// The variables, initialised or not.
    pub variables: Range<u64>,
    /// The whole image.
    pub image: Range<u64>,
    /// Where functions begin, in order.
    pub functions: Vec<u64>,
    /// Where a byte or word is taken by compare-and-exchange, as locks are.
    pub locks: Vec<u64>,
    /// `memcpy`, `memmove` and the copy to and from persistent memory: in the guest one function under three names.
    pub copies: Vec<u64>,
    /// The allocator's functions: `__rust_alloc(size, align)` and `__rust_dealloc(pointer, size, align)`.
    pub allocate: u64,
    /// See above.
    pub free: u64,
    /// Where the guest ends the machine: the power is switched off, or a status goes out through the debug-exit port.
    pub exits: Vec<u64>,
}

impl Places {
    /// Those of a program of Linux whose process has it `bias` further up than its file says. It copies by `copies`.
    pub fn of_process(elf: &Elf, bias: u64, copies: Vec<u64>) -> Self {
        let up = |range: &Range<u64>| range.start + bias..range.end + bias;
        let (text, data, bss) = (elf.section(".text"), elf.section(".data"), elf.section(".bss"));
        let functions: BTreeSet<u64> =
            elf.symbols().iter().filter(|symbol| symbol.is_function).map(|symbol| symbol.range.start + bias).collect();
        Self {
            text: up(&text.range),
            variables: up(&(data.range.start..bss.range.end)),
            image: up(&(text.range.start..bss.range.end)),
            functions: functions.into_iter().collect(),
            locks: compare_and_exchange(&text.bytes, text.range.start + bias),
            copies,
            allocate: one(elf, "___rust_alloc") + bias,
            free: one(elf, "___rust_dealloc") + bias,
            // Its end is seen otherwise.
            exits: Vec::new(),
        }
    }

    /// Looks for them. An image that does not have them fails.
    pub fn find(elf: &Elf) -> Self {
        let (text, data, bss) = (elf.section(".text"), elf.section(".data"), elf.section(".bss"));
        let functions: BTreeSet<u64> =
            elf.symbols().iter().filter(|symbol| symbol.is_function).map(|symbol| symbol.range.start).collect();
        Self {
            text: text.range.clone(),
            variables: data.range.start..bss.range.end,
            image: text.range.start..bss.range.end,
            functions: functions.into_iter().collect(),
            locks: compare_and_exchange(&text.bytes, text.range.start),
            copies: vec![elf.address("dax_copy")],
            allocate: one(elf, "___rust_alloc"),
            free: one(elf, "___rust_dealloc"),
            exits: std::iter::once(one(elf, "drivers5power3off"))
                .chain(debug_exits(&text.bytes, text.range.start))
                .collect(),
        }
    }

    /// The function that an address is in: where it begins.
    fn function(&self, address: u64) -> Option<u64> {
        let after = self.functions.partition_point(|&start| start <= address);
        self.functions[..after].last().copied().filter(|_| self.text.contains(&address))
    }
}

/// The symbol whose name ends so.
fn one(elf: &Elf, end: &str) -> u64 {
    let found: Option<&Symbol> = elf.symbols().iter().find(|symbol| symbol.name.ends_with(end));
    found.unwrap_or_else(|| panic!("the image has no function {end}")).range.start
}

/// Where `lock cmpxchg` stands in code: F0, perhaps a REX prefix, 0F B0 or 0F B1.
fn compare_and_exchange(code: &[u8], start: u64) -> Vec<u64> {
    let is_lock =
        |code: &[u8]| matches!(code, [0xf0, 0x0f, 0xb0 | 0xb1, ..] | [0xf0, 0x40..=0x4f, 0x0f, 0xb0 | 0xb1, ..]);
    code.windows(5).zip(start..).filter(|(code, _)| is_lock(code)).map(|(_, address)| address).collect()
}

/// Where code loads the number of QEMU's debug-exit port into DX (66 BA imm16).
fn debug_exits(code: &[u8], start: u64) -> Vec<u64> {
    code.windows(4).zip(start..).filter(|(code, _)| *code == [0x66, 0xba, 0xf4, 0x00]).map(|(_, at)| at).collect()
}

/// The functions that a guest under load is found in: the candidates for where a fault is injected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingSet {
    /// Where they begin, in order.
    pub functions: Vec<u64>,
}

impl WorkingSet {
    /// Stops what runs under load so often, and follows each CPU or thread that does something for a while, and those
    /// of `waiting` even if they wait.
    ///
    /// # Errors
    /// When the guest cannot be followed.
    pub fn sample(debugger: &mut dyn Debugger, places: &Places, samples: usize, waiting: &[u32]) -> Result<Self> {
        let mut functions = BTreeSet::new();
        for _ in 0..samples {
            for cpu in debugger.cpus()? {
                if waiting.contains(&cpu) || !debugger.is_idle(cpu)? {
                    functions.extend(trail(debugger, cpu, STEPS)?.into_iter().filter_map(|rip| places.function(rip)));
                }
            }
            debugger.resume()?;
            if debugger.wait(Duration::from_millis(3))?.is_none() {
                debugger.halt()?;
            }
        }
        Ok(Self { functions: functions.into_iter().collect() })
    }
}

/// Lets a CPU execute `steps` instructions, fewer if it begins to wait for an interrupt, and returns where they were.
pub fn trail(debugger: &mut dyn Debugger, cpu: u32, steps: usize) -> Result<Vec<u64>> {
    debugger.select(cpu)?;
    let mut trail = vec![debugger.register(Register::RIP)?];
    for _ in 0..steps {
        if debugger.try_step(cpu, STEP_PATIENCE)?.is_none() {
            break;
        }
        debugger.select(cpu)?;
        trail.push(debugger.register(Register::RIP)?);
    }
    Ok(trail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_found_by_their_instruction() {
        let code = [0x90, 0xf0, 0x0f, 0xb0, 0x1d, 0, 0xf0, 0x48, 0x0f, 0xb1, 0x0b, 0xf0, 0x0f, 0xc1, 0x0b, 0, 0];
        assert_eq!(compare_and_exchange(&code, 100), [101, 106]);
        assert_eq!(debug_exits(&[0x66, 0x66, 0xba, 0xf4, 0, 0xef], 10), [11]);
    }
}
