//! How much the library says of what it does.

use core::fmt;
use core::str::FromStr;

use crate::words::{self, Unknown};

/// What is said on the console: all of this level, and of those before it. What has gone wrong is said at each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum LogLevel {
    /// Only what is wrong.
    Warn,
    /// What the machine has, too: devices, addresses, protection.
    #[default]
    Info,
    /// And each step to it: tables of the firmware, functions of the PCI bus, queues, threads.
    Debug,
}

impl LogLevel {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::Warn, Self::Info, Self::Debug];

    /// Its word on command lines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for LogLevel {
    type Err = Unknown<Self>;

    fn from_str(word: &str) -> Result<Self, Unknown<Self>> {
        words::read("the log level", &Self::ALL, Self::word, word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn words_are_read_back_as_they_are_written() {
        for level in LogLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!("Debug".parse::<LogLevel>().is_err());
        assert_eq!("".parse::<LogLevel>().unwrap_err().to_string(), "the log level is warn, info or debug");
    }
}
