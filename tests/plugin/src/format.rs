//! The format of a trace: a header, then events one after the other, then an end that says how many there were.
//!
//! A file without its end is of a machine that was killed, or of a plugin that failed; it is refused.

use std::fmt;

const MAGIC: [u8; 8] = *b"HFTRACE1";

const STORE: u8 = 1;
const STORE_NON_TEMPORAL: u8 = 2;
const WRITE_BACK: u8 = 3;
const FENCE: u8 = 4;
const SEND: u8 = 5;
const END: u8 = 6;

/// Something that the guest did, in program order. Offsets are in bytes from the start of persistent memory, and `rip`
/// is the address of the instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes stored.
    Store {
        /// Where the instruction is.
        rip: u64,
        /// Where the bytes are.
        offset: u64,
        /// What is there after the store; at most 255 bytes.
        bytes: Vec<u8>,
        /// Whether the store goes past the caches (MOVNTI and the like).
        non_temporal: bool,
    },
    /// The cache line at this offset written back (CLWB, CLFLUSHOPT, CLFLUSH).
    WriteBack {
        /// Where the instruction is.
        rip: u64,
        /// Some byte of the line.
        offset: u64,
    },
    /// A fence (SFENCE, MFENCE).
    Fence {
        /// Where the instruction is.
        rip: u64,
    },
    /// The program hands bytes to a descriptor that is none of the three standard ones: they may leave from now on.
    Send {
        /// The descriptor.
        descriptor: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

/// Why a trace cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Appends the header of a trace.
pub fn begin(into: &mut Vec<u8>) {
    into.extend(MAGIC);
}

/// Appends the end of a trace with this many events.
pub fn end(into: &mut Vec<u8>, events: u64) {
    into.push(END);
    into.extend(events.to_le_bytes());
}

impl Event {
    /// Appends the event.
    pub fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Event::Store { rip, offset, bytes, non_temporal } => {
                into.push(if *non_temporal { STORE_NON_TEMPORAL } else { STORE });
                into.extend(rip.to_le_bytes());
                into.extend(offset.to_le_bytes());
                into.push(bytes.len() as u8);
                into.extend(bytes);
            }
            Event::WriteBack { rip, offset } => {
                into.push(WRITE_BACK);
                into.extend(rip.to_le_bytes());
                into.extend(offset.to_le_bytes());
            }
            Event::Fence { rip } => {
                into.push(FENCE);
                into.extend(rip.to_le_bytes());
            }
            Event::Send { descriptor, bytes } => {
                into.push(SEND);
                into.extend(descriptor.to_le_bytes());
                into.extend((bytes.len() as u64).to_le_bytes());
                into.extend(bytes);
            }
        }
    }
}

/// Reads a whole trace.
///
/// # Errors
/// When it is none, is not complete, or was not written as it is read.
pub fn read(trace: &[u8]) -> Result<Vec<Event>, Unreadable> {
    let Some(rest) = trace.strip_prefix(&MAGIC) else {
        return Err(Unreadable("this is no trace, or one of another version of the plugin".into()));
    };
    let mut reader = Reader { rest };
    let mut events = Vec::new();
    loop {
        let cut = || Unreadable(format!("the trace is not complete: it ends after {} events", events.len()));
        match reader.event().ok_or_else(cut)? {
            Read::Event(event) => events.push(event),
            Read::End(number) if number == events.len() as u64 && reader.rest.is_empty() => return Ok(events),
            Read::End(_) | Read::Unknown => {
                return Err(Unreadable(format!("the trace is damaged behind event {}", events.len())));
            }
        }
    }
}

enum Read {
    Event(Event),
    End(u64),
    Unknown,
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn bytes(&mut self, count: usize) -> Option<&[u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?))
    }

    fn event(&mut self) -> Option<Read> {
        let kind = self.bytes(1)?[0];
        Some(Read::Event(match kind {
            STORE | STORE_NON_TEMPORAL => {
                let (rip, offset, count) = (self.number()?, self.number()?, self.bytes(1)?[0]);
                let bytes = self.bytes(usize::from(count))?.to_vec();
                Event::Store { rip, offset, bytes, non_temporal: kind == STORE_NON_TEMPORAL }
            }
            WRITE_BACK => Event::WriteBack { rip: self.number()?, offset: self.number()? },
            FENCE => Event::Fence { rip: self.number()? },
            SEND => {
                let (descriptor, count) = (self.number()?, self.number()?);
                Event::Send { descriptor, bytes: self.bytes(usize::try_from(count).ok()?)?.to_vec() }
            }
            END => return Some(Read::End(self.number()?)),
            _ => return Some(Read::Unknown),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<Event> {
        vec![
            Event::Store { rip: 0x20_0000, offset: 64, bytes: vec![1; 8], non_temporal: false },
            Event::Store { rip: 0x20_0004, offset: 71, bytes: vec![2], non_temporal: true },
            Event::WriteBack { rip: 0x20_0008, offset: 64 },
            Event::Fence { rip: 0x20_000c },
            Event::Send { descriptor: 7, bytes: b"+OK\r\n".to_vec() },
        ]
    }

    fn written() -> Vec<u8> {
        let mut trace = Vec::new();
        begin(&mut trace);
        events().iter().for_each(|event| event.encode(&mut trace));
        end(&mut trace, 5);
        trace
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&written()).unwrap(), events());
    }

    #[test]
    fn a_trace_that_is_cut_or_has_something_behind_its_end_is_refused() {
        let whole = written();
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
        let more = [&whole[..], &[0]].concat();
        assert!(read(&more).unwrap_err().to_string().contains("damaged"));
    }
}
