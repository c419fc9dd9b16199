//! What is agreed on with the device (section 5.1.3), and what follows from it.

pub const CSUM: u64 = 1 << 0;
pub const GUEST_CSUM: u64 = 1 << 1;
pub const MAC: u64 = 1 << 5;
pub const GUEST_TSO4: u64 = 1 << 7;
pub const GUEST_TSO6: u64 = 1 << 8;
pub const MRG_RXBUF: u64 = 1 << 15;
pub const STATUS: u64 = 1 << 16;

/// What the driver accepts of what the device offers. Large receives come with all that they need, or not at all:
/// without merged buffers each buffer would have to hold 64 KiB, and the device may not offer them without checksums.
pub const fn wanted(offered: u64) -> u64 {
    let usual = CSUM | GUEST_CSUM | MAC | STATUS;
    let needed = MRG_RXBUF | GUEST_CSUM;
    let large = offered & needed == needed && offered & (GUEST_TSO4 | GUEST_TSO6) != 0;
    offered & if large { usual | MRG_RXBUF | GUEST_TSO4 | GUEST_TSO6 } else { usual }
}

/// Which work the device takes off the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// It completes the checksums of frames that are sent.
    pub transmit: bool,
    /// It says of received frames whether their checksums are right.
    pub receive: bool,
    /// It gives TCP segments that follow each other as one frame of up to 64 KiB, in as many buffers as that takes.
    pub large: bool,
}

impl Offload {
    /// What follows from the features that were agreed on.
    pub const fn of(agreed: u64) -> Self {
        Self { transmit: agreed & CSUM != 0, receive: agreed & GUEST_CSUM != 0, large: agreed & MRG_RXBUF != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_receives_are_wanted_with_all_they_need_or_not_at_all() {
        let usual = CSUM | GUEST_CSUM | MAC | STATUS;
        for tso in [GUEST_TSO4, GUEST_TSO6, GUEST_TSO4 | GUEST_TSO6] {
            let all = usual | MRG_RXBUF | tso;
            assert_eq!(wanted(all), all);
            assert_eq!(Offload::of(all), Offload { transmit: true, receive: true, large: true });
            for missing in [MRG_RXBUF, GUEST_CSUM, tso] {
                assert_eq!(wanted(all & !missing), usual & !missing);
            }
        }
        // QEMU's user network.
        assert_eq!(wanted(MAC | STATUS | MRG_RXBUF), MAC | STATUS);
        assert_eq!(Offload::of(wanted(MAC | STATUS | MRG_RXBUF)), Offload::default());
        // Everything: nothing that the driver does not know.
        assert_eq!(wanted(u64::MAX), usual | MRG_RXBUF | GUEST_TSO4 | GUEST_TSO6);
    }
}
