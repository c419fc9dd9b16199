//! What a page fault says.

use crate::addr::VirtAddr;

/// Bits of the error code (SDM volume 3A, figure 4-12).
const PROTECTION_VIOLATION: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const INSTRUCTION_FETCH: u64 = 1 << 4;
const PROTECTION_KEY: u64 = 1 << 5;

/// A page fault: who wanted what, and what stood against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// The address that was touched.
    pub address: VirtAddr,
    code: u64,
}

impl PageFault {
    /// The fault at this address with this error code.
    pub const fn new(address: VirtAddr, code: u64) -> Self {
        Self { address, code }
    }

    /// Whether it was a store.
    pub const fn is_write(self) -> bool {
        self.code & WRITE != 0
    }

    /// Whether a protection key denied it.
    pub const fn is_by_key(self) -> bool {
        self.code & PROTECTION_KEY != 0
    }

    /// Whether something is mapped there that does not permit it.
    pub const fn is_violation(self) -> bool {
        self.code & PROTECTION_VIOLATION != 0
    }

    /// What was wanted, in a word.
    pub const fn access(self) -> &'static str {
        if self.code & INSTRUCTION_FETCH != 0 {
            "execution"
        } else if self.is_write() {
            "write"
        } else {
            "read"
        }
    }

    /// Whether it was a store to a page that was there and not writable, and nothing else.
    pub const fn is_plain_write_violation(self) -> bool {
        self.code == PROTECTION_VIOLATION | WRITE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_as_the_manual_says() {
        let fault = |code| PageFault::new(VirtAddr::new(0x1000), code);
        assert_eq!(
            [0b00000, 0b00010, 0b10000, 0b10010].map(|code| fault(code).access()),
            ["read", "write", "execution", "execution"]
        );
        let by_key = fault(0b10_0011);
        assert!(by_key.is_by_key() && by_key.is_violation() && by_key.is_write());
        assert!(!fault(0b00_0011).is_by_key() && !fault(0b10_0010).is_violation() && !fault(0b10_0001).is_write());
    }
}
