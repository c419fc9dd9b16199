//! What a bank of the machine-check architecture says, as pure arithmetic: Intel SDM volume 3B, sections 16.3.2.2 to
//! 16.3.2.4 and 16.6.

use core::ops::Range;

use crate::addr::{AddrRange, PhysAddr};

/// The registers of one bank, as they were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bank {
    /// IA32_MCi_STATUS.
    pub status: u64,
    /// IA32_MCi_ADDR. Means something only if the status says so.
    pub address: u64,
    /// IA32_MCi_MISC, likewise.
    pub misc: u64,
}

/// What follows from a bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is empty, the error was corrected, or nobody has consumed it and its place is not known.
    Nothing,
    /// This memory is not readable any more. Whoever was interrupted can go on, provided that the
    /// processor's context can be restarted.
    Unreadable(Range<PhysAddr>),
    /// The machine cannot go on, for this reason.
    Stop(&'static str),
}

const VALID: u64 = 1 << 63;
const OVERFLOW: u64 = 1 << 62;
const UNCORRECTED: u64 = 1 << 61;
const MISC_VALID: u64 = 1 << 59;
const ADDRESS_VALID: u64 = 1 << 58;
const CONTEXT_CORRUPT: u64 = 1 << 57;
const SIGNALLED: u64 = 1 << 56;
const ACTION_REQUIRED: u64 = 1 << 55;

/// The address mode of IA32_MCi_MISC for physical addresses, bits 8:6.
const PHYSICAL: u64 = 2;
/// Errors of more than 2^30 bytes are not one range of a module that fails.
const LARGEST: u64 = 30;

impl Bank {
    /// Whether it holds an error.
    pub fn is_valid(&self) -> bool {
        self.status & VALID != 0
    }

    /// Whether IA32_MCi_ADDR means something; without that it need not be there.
    pub fn has_address(&self) -> bool {
        self.status & ADDRESS_VALID != 0
    }

    /// Whether IA32_MCi_MISC means something, likewise.
    pub fn has_misc(&self) -> bool {
        self.status & MISC_VALID != 0
    }

    /// Whether the interrupted instruction cannot be repeated, for it would consume the error again.
    pub fn is_consumed(&self) -> bool {
        let consumed = VALID | UNCORRECTED | SIGNALLED | ACTION_REQUIRED;
        self.status & consumed == consumed
    }

    /// What follows from it, on a CPU that recovers from errors in software (IA32_MCG_CAP.MCG_SER_P).
    pub fn verdict(&self) -> Verdict {
        let is = |bits: u64| self.status & bits == bits;
        if !is(VALID | UNCORRECTED) {
            return Verdict::Nothing;
        }
        if is(CONTEXT_CORRUPT) {
            return Verdict::Stop("the processor's context is corrupt (PCC)");
        }
        if is(OVERFLOW) {
            return Verdict::Stop("there was another error in the same bank, which is not known (OVER)");
        }
        if !(self.has_address() && self.has_misc()) {
            let nobody_consumed = self.status & (SIGNALLED | ACTION_REQUIRED) == 0;
            return if nobody_consumed { Verdict::Nothing } else { Verdict::Stop("its place is not known") };
        }
        // At least the line; never less than is unreadable.
        let shift = (self.misc & 0x3f).max(6);
        if self.misc >> 6 & 7 != PHYSICAL || shift > LARGEST {
            return Verdict::Stop("its place is not a physical address");
        }
        let start = PhysAddr::new(self.address).align_down(1 << shift);
        Verdict::Unreadable(Range::of(start, 1 << shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error in consumed data, as QEMU's monitor injects it: `mce 0 1 0xbd80000000000134 7 ADDRESS 0x8c`.
    const CONSUMED: Bank = Bank { status: 0xbd80_0000_0000_0134, address: 0x1_0000_1abc, misc: 0x8c };

    #[test]
    fn an_error_with_a_place_is_the_range_that_it_says() {
        let unreadable = |start, end| Verdict::Unreadable(PhysAddr::new(start)..PhysAddr::new(end));
        assert_eq!(CONSUMED.verdict(), unreadable(0x1_0000_1000, 0x1_0000_2000));
        assert!(CONSUMED.is_consumed());
        let line = Bank { misc: 0x86, ..CONSUMED };
        assert_eq!(line.verdict(), unreadable(0x1_0000_1a80, 0x1_0000_1ac0));
        let less_than_a_line = Bank { misc: 0x80, ..CONSUMED };
        assert_eq!(less_than_a_line.verdict(), line.verdict());
        let optional = Bank { status: CONSUMED.status & !ACTION_REQUIRED, ..CONSUMED };
        assert_eq!(optional.verdict(), CONSUMED.verdict());
        assert!(!optional.is_consumed());
    }

    #[test]
    fn what_is_corrected_or_empty_is_nothing() {
        for status in [0, CONSUMED.status & !VALID, CONSUMED.status & !UNCORRECTED] {
            let bank = Bank { status, ..CONSUMED };
            assert_eq!(bank.verdict(), Verdict::Nothing);
            assert!(!bank.is_consumed());
        }
        // As QEMU tells the other CPUs of an error of one.
        assert_eq!(Bank { status: VALID | UNCORRECTED, address: 0, misc: 0 }.verdict(), Verdict::Nothing);
    }

    #[test]
    fn what_cannot_be_contained_stops() {
        let stops = |bank: Bank| assert!(matches!(bank.verdict(), Verdict::Stop(_)), "{bank:x?}");
        stops(Bank { status: CONSUMED.status | CONTEXT_CORRUPT, ..CONSUMED });
        stops(Bank { status: CONSUMED.status | OVERFLOW, ..CONSUMED });
        stops(Bank { status: CONSUMED.status & !ADDRESS_VALID, ..CONSUMED });
        stops(Bank { status: CONSUMED.status & !MISC_VALID, ..CONSUMED });
        stops(Bank { misc: 0x0c, ..CONSUMED });
        stops(Bank { misc: 0xbf, ..CONSUMED });
        stops(Bank { status: 0xb200_0000_0000_0000, address: 0, misc: 0 });
    }
}
