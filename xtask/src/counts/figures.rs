//! What is counted.

use std::ops::{AddAssign, Index, IndexMut};

use iced_x86::{Code, Instruction, Mnemonic, OpKind};

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Instructions; of a string instruction each repetition is one.
    Instructions,
    /// Blocks of QEMU's translation.
    Blocks,
    /// Calls of functions.
    Calls,
    /// Loads and stores, as QEMU splits them.
    Accesses,
    /// Loads and stores that were a device's: a hypervisor leaves the guest for each.
    DeviceAccesses,
    /// WRMSR and WRPKRU. While the store serves, only the registers of protection keys are written by them.
    KeyWrites,
    /// CLWB, CLFLUSHOPT, CLFLUSH.
    WriteBacks,
    /// SFENCE, MFENCE.
    Fences,
    /// Stores past the caches.
    StreamedStores,
    /// Instructions with a LOCK prefix, written or implied.
    Locked,
    /// STI.
    Unmasked,
    /// Ends of interrupts and exceptions.
    Traps,
    /// HLT.
    Halts,
    /// RDTSC, RDTSCP.
    ClockReads,
    /// Frames that the network card has received.
    FramesIn,
    /// Frames that it has sent.
    FramesOut,
}

impl Figure {
    /// All of them, in order.
    pub const ALL: [Self; 16] = [
        Self::Instructions,
        Self::Blocks,
        Self::Calls,
        Self::Accesses,
        Self::DeviceAccesses,
        Self::KeyWrites,
        Self::WriteBacks,
        Self::Fences,
        Self::StreamedStores,
        Self::Locked,
        Self::Unmasked,
        Self::Traps,
        Self::Halts,
        Self::ClockReads,
        Self::FramesIn,
        Self::FramesOut,
    ];

    /// What it is called, in tables and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Blocks => "blocks",
            Self::Calls => "calls",
            Self::Accesses => "memory accesses",
            Self::DeviceAccesses => "device accesses (exits)",
            Self::KeyWrites => "key-register writes",
            Self::WriteBacks => "cache lines written back",
            Self::Fences => "fences",
            Self::StreamedStores => "stores past the caches",
            Self::Locked => "locked instructions",
            Self::Unmasked => "interrupts enabled (sti)",
            Self::Traps => "interrupts and exceptions",
            Self::Halts => "halts",
            Self::ClockReads => "clock reads (rdtsc)",
            Self::FramesIn => "frames received",
            Self::FramesOut => "frames sent",
        }
    }

    /// What an instruction counts as besides an instruction.
    pub fn of(instruction: &Instruction) -> Option<Self> {
        Some(match instruction.mnemonic() {
            Mnemonic::Wrmsr | Mnemonic::Wrpkru => Self::KeyWrites,
            Mnemonic::Clwb | Mnemonic::Clflushopt | Mnemonic::Clflush => Self::WriteBacks,
            Mnemonic::Sfence | Mnemonic::Mfence => Self::Fences,
            Mnemonic::Movnti | Mnemonic::Movntps | Mnemonic::Movntpd | Mnemonic::Movntdq => Self::StreamedStores,
            Mnemonic::Vmovntps | Mnemonic::Vmovntpd | Mnemonic::Vmovntdq => Self::StreamedStores,
            Mnemonic::Sti => Self::Unmasked,
            Mnemonic::Hlt => Self::Halts,
            Mnemonic::Rdtsc | Mnemonic::Rdtscp => Self::ClockReads,
            _ if instruction.code() == Code::Iretq => Self::Traps,
            _ if instruction.has_lock_prefix() => Self::Locked,
            // With memory it locks by itself.
            Mnemonic::Xchg if instruction.op0_kind() == OpKind::Memory => Self::Locked,
            _ => return None,
        })
    }
}

/// A number for each figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures([u64; Figure::ALL.len()]);

impl Index<Figure> for Figures {
    type Output = u64;

    fn index(&self, figure: Figure) -> &u64 {
        &self.0[figure as usize]
    }
}

impl IndexMut<Figure> for Figures {
    fn index_mut(&mut self, figure: Figure) -> &mut u64 {
        &mut self.0[figure as usize]
    }
}

impl AddAssign<&Self> for Figures {
    fn add_assign(&mut self, other: &Self) {
        for (mine, its) in self.0.iter_mut().zip(other.0) {
            *mine += its;
        }
    }
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions};

    use super::*;

    #[test]
    fn every_figure_is_at_its_place() {
        for (place, figure) in Figure::ALL.into_iter().enumerate() {
            assert_eq!(figure as usize, place);
        }
    }

    #[test]
    fn instructions_count_as_what_they_are() {
        for (code, figure) in [
            (&[0x0f, 0x30][..], Some(Figure::KeyWrites)),
            (&[0x0f, 0x01, 0xef], Some(Figure::KeyWrites)),
            (&[0x66, 0x0f, 0xae, 0x32], Some(Figure::WriteBacks)),
            (&[0x0f, 0xae, 0xf8], Some(Figure::Fences)),
            (&[0x48, 0x0f, 0xc3, 0x07], Some(Figure::StreamedStores)),
            (&[0xf0, 0x48, 0xff, 0x02], Some(Figure::Locked)),
            (&[0x48, 0x87, 0x02], Some(Figure::Locked)),
            (&[0x48, 0x87, 0xc2], None),
            (&[0xfb], Some(Figure::Unmasked)),
            (&[0x48, 0xcf], Some(Figure::Traps)),
            (&[0xf4], Some(Figure::Halts)),
            (&[0x0f, 0x31], Some(Figure::ClockReads)),
            (&[0x90], None),
        ] {
            let instruction = Decoder::with_ip(64, code, 0, DecoderOptions::NONE).decode();
            assert_eq!(Figure::of(&instruction), figure, "{code:x?}");
        }
    }
}
