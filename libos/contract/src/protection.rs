//! What keeps persistent memory closed, and what whoever boots an image may ask for.

use core::fmt;
use core::str::FromStr;

use crate::words::{self, Unknown};

/// The mechanism that keeps persistent memory closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// Protection keys for supervisor pages, register IA32_PKRS (Intel SDM volume 3A, section 4.6.2).
    #[default]
    Pks,
    /// Protection keys for user pages, register PKRU, for machines without PKS: they apply to ring 0 too, so persistent
    /// memory is mapped as user pages (same section).
    Pku,
    /// No protection: the control group of experiments. Said loudly at boot.
    None,
}

impl Protection {
    /// Its word on command lines and in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pks => "pks",
            Self::Pku => "pku",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What the person who boots the image asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProtectionChoice {
    /// The best that the CPU has: PKS, else PKU. Never none: running unprotected is only done on request.
    #[default]
    Auto,
    /// This one and no other.
    Only(Protection),
}

impl ProtectionChoice {
    /// Every choice.
    pub const ALL: [Self; 4] =
        [Self::Auto, Self::Only(Protection::Pks), Self::Only(Protection::Pku), Self::Only(Protection::None)];

    /// Its word on command lines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Only(protection) => protection.word(),
        }
    }
}

impl From<Protection> for ProtectionChoice {
    fn from(protection: Protection) -> Self {
        Self::Only(protection)
    }
}

impl fmt::Display for ProtectionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for ProtectionChoice {
    type Err = Unknown<Self>;

    fn from_str(word: &str) -> Result<Self, Unknown<Self>> {
        words::read("protection", &Self::ALL, Self::word, word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn words_are_read_back_as_they_are_written() {
        for choice in ProtectionChoice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        for word in ["", "PKS", "pks ", "pkz"] {
            assert!(word.parse::<ProtectionChoice>().is_err());
        }
        assert_eq!("".parse::<ProtectionChoice>().unwrap_err().to_string(), "protection is auto, pks, pku or none");
    }
}
