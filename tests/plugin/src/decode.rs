//! Which instructions matter, and what they do.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Register};

/// What an instruction does besides its stores, which QEMU shows by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes the cache line at this address back.
    WriteBack(Address),
    /// Orders stores and write-backs.
    Fence,
    /// Does what cannot be followed: a write-back at an address that is not made of general registers.
    Unknown,
}

/// An address: the sum of a displacement and of registers, by their numbers (0 is RAX, 15 is R15), the second one times
/// its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    displacement: u64,
    base: Option<u8>,
    index: Option<(u8, u64)>,
}

impl Address {
    /// The address with these values of the registers.
    pub fn evaluate(&self, register: impl Fn(u8) -> u64) -> u64 {
        let base = self.base.map_or(0, &register);
        let index = self.index.map_or(0, |(number, scale)| register(number).wrapping_mul(scale));
        self.displacement.wrapping_add(base).wrapping_add(index)
    }

    /// The memory operand of an instruction; `None` if it needs more than general registers.
    fn of(instruction: &Instruction) -> Option<Self> {
        if !matches!(instruction.memory_segment(), Register::DS | Register::SS | Register::ES | Register::CS) {
            return None;
        }
        let number = |register: Register| match register {
            Register::None | Register::RIP => Some(None),
            register if register.is_gpr64() => Some(Some(register.number() as u8)),
            _ => None,
        };
        let (base, index) = (number(instruction.memory_base())?, number(instruction.memory_index())?);
        let index = index.map(|index| (index, u64::from(instruction.memory_index_scale())));
        // Relative to RIP, it is the address already.
        Some(Self { displacement: instruction.memory_displacement64(), base, index })
    }
}

/// An instruction of 64-bit code.
pub fn decode(code: &[u8], rip: u64) -> Instruction {
    Decoder::with_ip(64, code, rip, DecoderOptions::NONE).decode()
}

/// What an instruction does, if it matters.
///
/// Instructions with a LOCK prefix order stores and write-backs, too, and some are between any two others: a program
/// whose fence is missing would seldom be found out if they counted. Nobody relies on them for persistence, so they do
/// not.
pub fn action(instruction: &Instruction) -> Option<Action> {
    match instruction.code() {
        Code::Clwb_m8 | Code::Clflushopt_m8 | Code::Clflush_m8 => {
            Some(Address::of(instruction).map_or(Action::Unknown, Action::WriteBack))
        }
        Code::Sfence | Code::Mfence => Some(Action::Fence),
        _ => None,
    }
}

/// Whether an instruction stores past the caches.
pub fn is_non_temporal(instruction: &Instruction) -> bool {
    matches!(
        instruction.code(),
        Code::Movnti_m32_r32
            | Code::Movnti_m64_r64
            | Code::Movntps_m128_xmm
            | Code::Movntpd_m128_xmm
            | Code::Movntdq_m128_xmm
            | Code::VEX_Vmovntps_m128_xmm
            | Code::VEX_Vmovntps_m256_ymm
            | Code::VEX_Vmovntpd_m128_xmm
            | Code::VEX_Vmovntpd_m256_ymm
            | Code::VEX_Vmovntdq_m128_xmm
            | Code::VEX_Vmovntdq_m256_ymm
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_back(code: &[u8]) -> u64 {
        // Each register has a value that tells which it is.
        match action(&decode(code, 0x20_0000)) {
            Some(Action::WriteBack(address)) => address.evaluate(|number| 0x1000 * (u64::from(number) + 1)),
            other => panic!("{code:x?}: {other:?}"),
        }
    }

    #[test]
    fn write_backs_and_their_addresses_are_told() {
        assert_eq!(write_back(&[0x66, 0x0f, 0xae, 0x32]), 0x3000, "clwb [rdx]");
        assert_eq!(write_back(&[0x66, 0x41, 0x0f, 0xae, 0x70, 0xc0]), 0x9000 - 0x40, "clwb [r8 - 0x40]");
        assert_eq!(write_back(&[0x66, 0x0f, 0xae, 0x3a]), 0x3000, "clflushopt [rdx]");
        assert_eq!(write_back(&[0x0f, 0xae, 0x3c, 0xc8]), 0x1000 + 8 * 0x2000, "clflush [rax + 8*rcx]");
        assert_eq!(write_back(&[0x0f, 0xae, 0x3d, 0x10, 0, 0, 0]), 0x20_0017, "clflush [rip + 0x10]");
    }

    #[test]
    fn fences_are_told_from_their_neighbours() {
        assert_eq!(action(&decode(&[0x0f, 0xae, 0xf8], 0)), Some(Action::Fence), "sfence");
        assert_eq!(action(&decode(&[0x0f, 0xae, 0xf0], 0)), Some(Action::Fence), "mfence");
        for (code, name) in [
            (&[0x0f, 0xae, 0xe8][..], "lfence"),
            (&[0x0f, 0xae, 0x32], "xsaveopt [rdx]"),
            (&[0xf0, 0x48, 0xff, 0x02], "lock inc [rdx]"),
            (&[0x90], "nop"),
        ] {
            assert_eq!(action(&decode(code, 0)), None, "{name}");
        }
        // clwb fs:[rdx]
        assert_eq!(action(&decode(&[0x64, 0x66, 0x0f, 0xae, 0x32], 0)), Some(Action::Unknown));
    }

    #[test]
    fn stores_past_the_caches_are_told() {
        assert!(is_non_temporal(&decode(&[0x48, 0x0f, 0xc3, 0x07], 0)), "movnti [rdi], rax");
        assert!(is_non_temporal(&decode(&[0x66, 0x0f, 0xe7, 0x07], 0)), "movntdq [rdi], xmm0");
        assert!(!is_non_temporal(&decode(&[0x0f, 0x11, 0x07], 0)), "movups [rdi], xmm0");
    }
}
