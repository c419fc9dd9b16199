//! What the culprit was permitted before, and how it came to where it strayed.

use core::fmt;

/// How many of its last grants a thread remembers.
pub const REMEMBERED: usize = 8;

/// Before the rights of whoever was running.
pub const RIGHTS: &str = "  rights ";
/// The line before the last grants of a thread.
pub const LAST_GRANTS: &str = "  last grants:";
/// The line before the last grants of a CPU's trap handlers.
pub const LAST_GRANTS_OF_HANDLERS: &str = "  last grants of this cpu's handlers:";
/// The line before the frames.
pub const BACKTRACE: &str = "  backtrace:";

/// One of the last grants.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// Its place: 1 for the last one.
    pub place: usize,
    /// `read` or `write`.
    pub access: &'a str,
    /// The device's name.
    pub device: &'a str,
    /// When it began, in nanoseconds since the boot.
    pub began: u64,
    /// When it ended, unless it is still open.
    pub ended: Option<u64>,
    /// The return address of whoever asked for it.
    pub caller: u64,
}

impl fmt::Display for Grant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, access, device, began, caller, .. } = *self;
        write!(f, "    #{place} {access} of {device} from {} ", Seconds(began))?;
        match self.ended {
            None => f.write_str("on, still open")?,
            Some(ended) => write!(f, "to {}", Seconds(ended))?,
        }
        write!(f, ", taken at {caller:#018x}")
    }
}

/// A moment, or a span, of so many nanoseconds: in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09} s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// A frame of the backtrace.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its number: 0 is an interrupted instruction, the others are return addresses.
    pub depth: usize,
    /// The address.
    pub address: u64,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    #{} {:#018x}", self.depth, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_grant_is_a_line_with_its_span_and_its_taker() {
        let grant = Grant {
            place: 1,
            access: "write",
            device: "pmem0",
            began: 391_965_344,
            ended: Some(1_392_117_901),
            caller: 0x20_5590,
        };
        assert_eq!(
            grant.to_string(),
            "    #1 write of pmem0 from 0.391965344 s to 1.392117901 s, taken at 0x0000000000205590"
        );
        let open = Grant { ended: None, ..grant };
        assert!(open.to_string().contains(" from 0.391965344 s on, still open, taken at "));
    }

    #[test]
    fn a_frame_is_a_line_with_its_number() {
        assert_eq!(Frame { depth: 2, address: 0x20_55a6 }.to_string(), "    #2 0x00000000002055a6");
    }
}
