//! SIGBUS: a page of a device's file that cannot be had, which is no error that a load or a store could return.

use core::fmt;

use libos_contract::report::FAULT;

use super::frame::Frame;
use super::report;
use super::{stray, system};
use crate::devices::OpenDevice;

/// Why the kernel has no page (`siginfo_t`): its memory has failed.
const MEMORY_FAILED: i32 = 4;

/// Why a page cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The memory that holds it has failed.
    Memory,
    /// The file is only so long by now.
    Shrunk(u64),
    /// Something else; on a sparse file, a full disk.
    NoRoom,
}

impl Reason {
    /// For a signal with this code, about the byte at `offset` of a file of this length, if that is known.
    fn new(code: i32, offset: u64, file_length: Option<u64>) -> Self {
        match file_length {
            _ if code == MEMORY_FAILED => Self::Memory,
            // What is mapped of the last page is there to its end.
            Some(length) if offset >= length.next_multiple_of(1 << 12) => Self::Shrunk(length),
            _ => Self::NoRoom,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("the memory there has failed"),
            Self::Shrunk(length) => write!(
                f,
                "somebody has made the file shorter while it was open, and it ends at {length:#x}. What was there is lost"
            ),
            Self::NoRoom => f.write_str(
                "a page of it cannot be had: most likely its disk is full. Make room there and start again; what was \
                 acknowledged is in the file",
            ),
        }
    }
}

/// Says which file it was, and where, and ends the process by the signal.
pub(super) fn no_page(frame: &Frame<'_>, device: OpenDevice) -> ! {
    let offset = frame.address().wrapping_sub(device.addresses().start as u64);
    let reason = Reason::new(frame.info().si_code, offset, system::file_length(device.file()));
    let (name, kind) = (device.name(), stray::kind(frame));
    report::last(frame, format_args!("{FAULT}{kind} of {} at offset {offset:#x}: {reason}", name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_its_end_a_file_has_shrunk() {
        assert_eq!(Reason::new(2, 0x3000, Some(0x2345)), Reason::Shrunk(0x2345));
        assert_eq!(Reason::new(2, 0x2fff, Some(0x2345)), Reason::NoRoom);
        assert_eq!(Reason::new(2, 0x3000, None), Reason::NoRoom);
        assert_eq!(Reason::new(MEMORY_FAILED, 0x3000, Some(0)), Reason::Memory);
    }
}
