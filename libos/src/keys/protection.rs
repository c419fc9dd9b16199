//! How the boot chooses what keeps persistent memory closed.

use core::fmt;

use libos_contract::protection::{Protection, ProtectionChoice};

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

/// What protects on a CPU with these features.
pub fn resolve_protection(choice: ProtectionChoice, has_pks: bool, has_pku: bool) -> Result<Protection, NoProtection> {
    match choice {
        ProtectionChoice::Auto | ProtectionChoice::Only(Protection::Pks) if has_pks => Ok(Protection::Pks),
        ProtectionChoice::Auto | ProtectionChoice::Only(Protection::Pku) if has_pku => Ok(Protection::Pku),
        ProtectionChoice::Only(Protection::None) => Ok(Protection::None),
        _ => Err(NoProtection { choice, has_pks, has_pku }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const FEATURES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

    #[test]
    fn auto_takes_pks_then_pku_and_never_none() {
        let resolved = FEATURES.map(|(pks, pku)| resolve_protection(ProtectionChoice::Auto, pks, pku).ok());
        assert_eq!(resolved, [None, Some(Protection::Pku), Some(Protection::Pks), Some(Protection::Pks)]);
    }

    #[test]
    fn what_was_asked_for_is_used_or_refused() {
        for (pks, pku) in FEATURES {
            for (asked, there) in [(Protection::Pks, pks), (Protection::Pku, pku), (Protection::None, true)] {
                let resolved = resolve_protection(ProtectionChoice::Only(asked), pks, pku);
                assert_eq!(resolved.ok(), there.then_some(asked));
            }
        }
    }

    #[test]
    fn a_refusal_names_the_ways_on() {
        let neither = resolve_protection(ProtectionChoice::Auto, false, false).unwrap_err().to_string();
        assert!(neither.contains("-cpu max") && neither.contains("protection=none"), "{neither}");
        assert!(!neither.contains("protection=auto"), "{neither}");
        let other = resolve_protection(ProtectionChoice::Only(Protection::Pks), false, true).unwrap_err().to_string();
        assert!(other.contains("(PKS)") && other.contains("protection=pku"), "{other}");
    }
}
