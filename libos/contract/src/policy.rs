//! What follows a stray access.

use core::fmt;
use core::str::FromStr;

use crate::words::{self, Unknown};

/// What to do with a stray access to persistent memory that no handler has dealt with. In no case is anything stored
/// that was not permitted, except under [`Self::Relaxed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum FaultPolicy {
    /// Report it and stop the machine.
    #[default]
    Strict,
    /// Report it and end the thread that did it; the others go on. Where that would not be safe, as [`Self::Strict`].
    EndThread,
    /// Report it once for each place in the code, let this one access through, and close again.
    Relaxed,
}

impl FaultPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Strict, Self::EndThread, Self::Relaxed];

    /// Its word on command lines and in `CONFIG SET`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::EndThread => "end-thread",
            Self::Relaxed => "relaxed",
        }
    }
}

impl fmt::Display for FaultPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for FaultPolicy {
    type Err = Unknown<Self>;

    fn from_str(word: &str) -> Result<Self, Unknown<Self>> {
        words::read("the fault policy", &Self::ALL, Self::word, word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn words_are_read_back_as_they_are_written() {
        for policy in FaultPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for word in ["", "Strict", "strict ", "end_thread", "lax"] {
            assert!(word.parse::<FaultPolicy>().is_err());
        }
        assert_eq!(
            "".parse::<FaultPolicy>().unwrap_err().to_string(),
            "the fault policy is strict, end-thread or relaxed"
        );
    }
}
