//! What has happened until now, and which defect is planted.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// How connections have ended, and what there was beside them.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections that were accepted.
    pub begun: AtomicU64,
    /// Connections that nobody serves any more, and whose threads were joined.
    pub ended: AtomicU64,
    /// They carried all that they should, and it was right.
    pub whole: AtomicU64,
    /// They ended early, and their clients had said that they might.
    pub cut: AtomicU64,
    /// They ended before they said what they wanted.
    pub empty: AtomicU64,
    /// They carried a byte that was never sent.
    pub wrong: AtomicU64,
    /// They ended early though they should not.
    pub short: AtomicU64,
    /// Threads that were spawned, and joined.
    pub threads: AtomicU64,
}

/// The counts of this program.
pub static COUNTS: Counts = Counts {
    begun: AtomicU64::new(0),
    ended: AtomicU64::new(0),
    whole: AtomicU64::new(0),
    cut: AtomicU64::new(0),
    empty: AtomicU64::new(0),
    wrong: AtomicU64::new(0),
    short: AtomicU64::new(0),
    threads: AtomicU64::new(0),
};

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("begun", &self.begun),
            ("ended", &self.ended),
            ("whole", &self.whole),
            ("cut", &self.cut),
            ("empty", &self.empty),
            ("wrong", &self.wrong),
            ("short", &self.short),
            ("threads", &self.threads),
        ];
        for (place, (name, count)) in fields.into_iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{name}={}", count.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}

/// A defect that the driver must find: the control of the experiment. It shows in some of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Plant {
    /// None.
    Nothing,
    /// The handle of a connection's thread is forgotten.
    Handle,
    /// A buffer is never freed.
    Buffer,
    /// A byte of the stream to the client is left out.
    Byte,
}

static PLANTED: AtomicU8 = AtomicU8::new(Plant::Nothing as u8);
static PLANTABLE: AtomicU64 = AtomicU64::new(0);

/// A defect shows in each of this many connections.
const SHOWS: u64 = 8;

impl Plant {
    /// The defect of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "handle" => Self::Handle,
            "buffer" => Self::Buffer,
            "byte" => Self::Byte,
            _ => return None,
        })
    }

    /// From now on the program has this defect.
    pub fn plant(self) {
        PLANTED.store(self as u8, Ordering::Relaxed);
    }

    /// Whether this defect is planted, and shows now.
    pub fn shows(self) -> bool {
        PLANTED.load(Ordering::Relaxed) == self as u8 && PLANTABLE.fetch_add(1, Ordering::Relaxed).is_multiple_of(SHOWS)
    }
}
