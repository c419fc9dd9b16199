//! The registers of an x86-64 CPU, in the order of QEMU's target description (`i386-64bit.xml`).

use std::fmt;
use std::ops::Range;

/// A register that can be changed, by its number in the target description.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Register(u8);

const GENERAL: [&str; 16] =
    ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
const AFTER: [&str; 17] = [
    "rip",
    "rflags",
    "cs",
    "ss",
    "ds",
    "es",
    "fs",
    "gs",
    "fs_base",
    "gs_base",
    "kernel_gs_base",
    "cr0",
    "cr2",
    "cr3",
    "cr4",
    "cr8",
    "efer",
];
/// The numbers of the x87's registers, of its control registers, and of the vector registers.
const X87: Range<u8> = 33..41;
const X87_CONTROL: Range<u8> = 41..49;
const VECTOR: Range<u8> = 49..65;
const MXCSR: u8 = 65;

impl Register {
    /// The instruction pointer.
    pub const RIP: Self = Self(16);
    /// The flags.
    pub const RFLAGS: Self = Self(17);
    /// The accumulator.
    pub const RAX: Self = Self(0);
    /// The counter.
    pub const RCX: Self = Self(2);
    /// The third argument of a function.
    pub const RDX: Self = Self(3);
    /// The second argument of a function.
    pub const RSI: Self = Self(4);
    /// The first argument of a function.
    pub const RDI: Self = Self(5);
    /// The frame pointer.
    pub const RBP: Self = Self(6);
    /// The stack pointer.
    pub const RSP: Self = Self(7);
    /// Control bits, the one that makes ring 0 heed read-only pages among them.
    pub const CR0: Self = Self(27);
    /// The page tables' root.
    pub const CR3: Self = Self(29);
    /// Control bits, those that turn protection keys on among them.
    pub const CR4: Self = Self(30);

    /// The sixteen general registers, the stack pointer among them.
    pub fn general() -> impl Iterator<Item = Self> {
        (0..GENERAL.len() as u8).map(Self)
    }

    /// The vector registers XMM0 to XMM15.
    pub fn vector() -> impl Iterator<Item = Self> {
        VECTOR.map(Self)
    }

    /// The number in the target description.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The width in bytes.
    pub fn size(self) -> usize {
        match self.0 {
            17..24 => 4,
            n if X87.contains(&n) => 10,
            n if X87_CONTROL.contains(&n) || n == MXCSR => 4,
            n if VECTOR.contains(&n) => 16,
            _ => 8,
        }
    }

    fn offset(self) -> usize {
        (0..self.0).map(|number| Self(number).size()).sum()
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = usize::from(self.0);
        match self.0 {
            0..16 => f.write_str(GENERAL[number]),
            16..33 => f.write_str(AFTER[number - GENERAL.len()]),
            n if X87.contains(&n) => write!(f, "st{}", n - X87.start),
            n if VECTOR.contains(&n) => write!(f, "xmm{}", n - VECTOR.start),
            MXCSR => f.write_str("mxcsr"),
            n => write!(f, "x87 control register {}", n - X87_CONTROL.start),
        }
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All registers of one CPU at one time.
#[derive(Clone, PartialEq, Eq)]
pub struct Registers(Vec<u8>);

impl Registers {
    /// How many bytes the stub sends.
    pub(super) const LENGTH: usize = 608;

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        // A stub that gives more registers puts them behind these.
        Some(Self(bytes.get(..Self::LENGTH)?.to_vec()))
    }

    /// Registers with these values, each cut to its width.
    pub fn of(mut value: impl FnMut(Register) -> u128) -> Self {
        let bytes = |register: Register| value(register).to_le_bytes().into_iter().take(register.size());
        Self((0..=MXCSR).map(Register).flat_map(bytes).collect())
    }

    /// The value of a register, zero-extended.
    pub fn wide(&self, register: Register) -> u128 {
        let bytes = &self.0[register.offset()..][..register.size()];
        bytes.iter().rev().fold(0, |value, &byte| value << 8 | u128::from(byte))
    }

    /// The value of a register of at most 64 bits; the low 64 of a wider one.
    pub fn get(&self, register: Register) -> u64 {
        self.wide(register) as u64
    }

    /// The instruction pointer.
    pub fn rip(&self) -> u64 {
        self.get(Register::RIP)
    }

    /// The stack pointer.
    pub fn rsp(&self) -> u64 {
        self.get(Register::RSP)
    }
}

impl fmt::Debug for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = (0..=MXCSR).map(Register).map(|register| (register, format!("{:#x}", self.wide(register))));
        f.debug_map().entries(named).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registers_fill_the_packet() {
        assert_eq!(Register(MXCSR).offset() + 4, Registers::LENGTH);
        assert_eq!(Register::RIP.offset(), 128);
        assert_eq!(Register::CR4.offset(), 128 + 8 + 7 * 4 + 3 * 8 + 3 * 8);
    }

    #[test]
    fn values_are_little_endian_and_have_names() {
        let mut bytes = vec![0; Registers::LENGTH];
        bytes[Register::RDX.offset()..][..2].copy_from_slice(&[0x34, 0x12]);
        let xmm15 = Register::vector().last().unwrap();
        bytes[xmm15.offset() + 15] = 0x80;
        let registers = Registers::parse(&bytes).unwrap();
        assert_eq!(registers.get(Register::RDX), 0x1234);
        assert_eq!(registers.wide(xmm15), 0x80 << 120);
        assert_eq!(Registers::parse(&bytes[1..]), None);
        let names: Vec<String> =
            Register::general().chain([Register::RIP, Register::CR4]).map(|r| r.to_string()).collect();
        assert_eq!(names.join(" "), "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip cr4");
        assert_eq!(xmm15.to_string(), "xmm15");
    }
}
