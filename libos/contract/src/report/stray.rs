//! The headline of a stray access.

use core::fmt;

use crate::policy::FaultPolicy;

/// What denied an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The device's key.
    Key,
    /// The page is write-protected.
    WriteProtected,
    /// No page of a device is executable.
    NotExecutable,
    /// The device has gone away, and nothing is mapped there.
    Gone,
}

impl Denial {
    /// Its words in a sentence, with a comma; none for a key, of which the sentence tells the number.
    const fn words(self) -> &'static str {
        match self {
            Self::Key => "",
            Self::WriteProtected => "where pages are write-protected, ",
            Self::NotExecutable => "where no page is executable, ",
            Self::Gone => "which has gone away, ",
        }
    }
}

/// A stray access to a device: what its report begins with.
#[derive(Clone, Copy, Debug)]
pub struct Stray<'a> {
    /// `read`, `write` or `jump`.
    pub kind: &'a str,
    /// The device's name.
    pub device: &'a str,
    /// Where in the device.
    pub offset: u64,
    /// Where in memory.
    pub address: u64,
    /// The device's key; 0 without one.
    pub key: u8,
    /// What denied it.
    pub denial: Denial,
    /// How many bytes it was about to touch from there on, if that is known.
    pub length: Option<u64>,
    /// Whether the device's handler asked in vain to try again.
    pub retried: bool,
    /// The policy in force.
    pub policy: FaultPolicy,
}

impl fmt::Display for Stray<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, device, offset, address, key, .. } = self;
        let denied = self.denial.words();
        write!(f, "stray {kind} of {device} at offset {offset:#x} (address {address:#018x}, key {key}), {denied}")?;
        if let Some(length) = self.length {
            write!(f, "{length} bytes from there on, ")?;
        }
        if self.retried {
            f.write_str("its handler asked to try again but has changed nothing, ")?;
        }
        write!(f, "policy {}", self.policy)
    }
}

/// What follows a stray access: what its report's headline ends with.
#[derive(Clone, Copy)]
pub enum Consequence<'a> {
    /// This stopped: the `machine`, or the `process`.
    Stopped(&'a str),
    /// The same, and why the policy's own consequence was not possible.
    StoppedSince(&'a str, &'a dyn fmt::Display),
    /// The thread that did it ended.
    ThreadEnded,
    /// The access was let through.
    LetThrough,
}

impl fmt::Debug for Consequence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Consequence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(what) => write!(f, "{what} stopped"),
            Self::StoppedSince(what, reason) => write!(f, "{what} stopped, since {reason}"),
            Self::ThreadEnded => f.write_str("thread ended"),
            Self::LetThrough => f.write_str("let through once, reported once for this place in the code"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const STRAY: Stray<'_> = Stray {
        kind: "write",
        device: "pmem0",
        offset: 0x12_3440,
        address: 0x1001_0012_3440,
        key: 1,
        denial: Denial::Key,
        length: None,
        retried: false,
        policy: FaultPolicy::Strict,
    };

    #[test]
    fn a_headline_names_the_place_the_key_and_the_policy() {
        assert_eq!(
            STRAY.to_string(),
            "stray write of pmem0 at offset 0x123440 (address 0x0000100100123440, key 1), policy strict"
        );
    }

    #[test]
    fn what_is_known_besides_stands_before_the_policy() {
        let stray = Stray { denial: Denial::WriteProtected, length: Some(64), retried: true, ..STRAY };
        let text = stray.to_string();
        let rest = text.strip_prefix("stray write of pmem0 at offset 0x123440 (address 0x0000100100123440, key 1), ");
        assert_eq!(
            rest,
            Some(
                "where pages are write-protected, 64 bytes from there on, its handler asked to try again but has \
                 changed nothing, policy strict"
            )
        );
    }

    #[test]
    fn each_consequence_has_its_words() {
        assert_eq!(Consequence::Stopped("machine").to_string(), "machine stopped");
        assert_eq!(Consequence::StoppedSince("process", &"it is so").to_string(), "process stopped, since it is so");
        assert_eq!(Consequence::ThreadEnded.to_string(), "thread ended");
        assert!(Consequence::LetThrough.to_string().starts_with("let through once"));
    }
}
