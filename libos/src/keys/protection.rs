//! What keeps persistent memory closed, and how the boot chooses it.

use core::fmt;
use core::str::FromStr;

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

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pks => "pks",
            Self::Pku => "pku",
            Self::None => "none",
        })
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

/// A word that names no protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProtection;

impl fmt::Display for UnknownProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("protection is auto, pks, pku or none")
    }
}

impl core::error::Error for UnknownProtection {}

impl FromStr for ProtectionChoice {
    type Err = UnknownProtection;

    fn from_str(word: &str) -> Result<Self, UnknownProtection> {
        Ok(match word {
            "auto" => Self::Auto,
            "pks" => Self::Only(Protection::Pks),
            "pku" => Self::Only(Protection::Pku),
            "none" => Self::Only(Protection::None),
            _ => return Err(UnknownProtection),
        })
    }
}

/// What the CPU cannot do and was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoProtection {
    choice: ProtectionChoice,
    has_pks: bool,
    has_pku: bool,
}

impl fmt::Display for NoProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.choice {
            ProtectionChoice::Auto => {
                "this CPU has no protection keys, neither for supervisor pages (PKS) nor for user pages (PKU)"
            }
            ProtectionChoice::Only(Protection::Pku) => "this CPU has no protection keys for user pages (PKU)",
            ProtectionChoice::Only(_) => "this CPU has no protection keys for supervisor pages (PKS)",
        })?;
        f.write_str(", so nothing could guard persistent memory; run on one that has them (under QEMU: -cpu max)")?;
        if self.has_pks || self.has_pku {
            let other = if self.has_pks { Protection::Pks } else { Protection::Pku };
            write!(f, ", give protection={other} or protection=auto to use what this one has")?;
        }
        f.write_str(", or give protection=none to run without protection")
    }
}

impl ProtectionChoice {
    /// What protects on a CPU with these features.
    pub fn resolve(self, has_pks: bool, has_pku: bool) -> Result<Protection, NoProtection> {
        match self {
            Self::Auto | Self::Only(Protection::Pks) if has_pks => Ok(Protection::Pks),
            Self::Auto | Self::Only(Protection::Pku) if has_pku => Ok(Protection::Pku),
            Self::Only(Protection::None) => Ok(Protection::None),
            _ => Err(NoProtection { choice: self, has_pks, has_pku }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const FEATURES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

    #[test]
    fn auto_takes_pks_then_pku_and_never_none() {
        let resolved = FEATURES.map(|(pks, pku)| ProtectionChoice::Auto.resolve(pks, pku).ok());
        assert_eq!(resolved, [None, Some(Protection::Pku), Some(Protection::Pks), Some(Protection::Pks)]);
    }

    #[test]
    fn what_was_asked_for_is_used_or_refused() {
        for (pks, pku) in FEATURES {
            for (asked, there) in [(Protection::Pks, pks), (Protection::Pku, pku), (Protection::None, true)] {
                let resolved = ProtectionChoice::Only(asked).resolve(pks, pku);
                assert_eq!(resolved.ok(), there.then_some(asked));
            }
        }
    }

    #[test]
    fn a_refusal_names_the_ways_on() {
        let neither = ProtectionChoice::Auto.resolve(false, false).unwrap_err().to_string();
        assert!(neither.contains("-cpu max") && neither.contains("protection=none"), "{neither}");
        assert!(!neither.contains("protection=auto"), "{neither}");
        let other = ProtectionChoice::Only(Protection::Pks).resolve(false, true).unwrap_err().to_string();
        assert!(other.contains("(PKS)") && other.contains("protection=pku"), "{other}");
    }
}
