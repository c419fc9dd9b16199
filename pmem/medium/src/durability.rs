//! What survives once a fence has returned, and what makes it survive.

use core::fmt;

/// What stored bytes are sure to survive, once they were written back and a fence has returned. Each kind has what
/// those before it have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing: they stay with whoever stored them, or there are no stores.
    None,
    /// The end of the process, by whatever way, and not a loss of power.
    Process,
    /// A loss of power.
    Power,
}

impl Durability {
    /// Its word on command lines and in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What makes stored bytes durable: what a fence does, and whose promise it is.
///
/// A *persistence domain* is where bytes have to have come to survive a loss of power (SNIA NVM Programming Model).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DurableBy {
    /// Nothing. The medium keeps no stores.
    Nothing,
    /// The kernel's memory, which has them as soon as they are stored, and as long as it has power.
    Memory,
    /// A system call, by which the kernel brings them to the disk: `fdatasync`.
    Sync,
    /// Persistent memory whose domain begins at the memory controller (ADR, asynchronous DRAM refresh): cache lines are
    /// written back, and a fence waits for them.
    Adr,
    /// Persistent memory whose domain has the processor's caches too (eADR): a fence alone.
    Eadr,
}

impl DurableBy {
    /// Its word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Memory => "memory",
            Self::Sync => "sync",
            Self::Adr => "adr",
            Self::Eadr => "eadr",
        }
    }

    /// What is survived by it.
    pub const fn durability(self) -> Durability {
        match self {
            Self::Nothing => Durability::None,
            Self::Memory => Durability::Process,
            Self::Sync | Self::Adr | Self::Eadr => Durability::Power,
        }
    }
}

impl fmt::Display for DurableBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_what_those_before_it_have() {
        assert!(Durability::None < Durability::Process && Durability::Process < Durability::Power);
        for (by, survives) in [
            (DurableBy::Nothing, Durability::None),
            (DurableBy::Memory, Durability::Process),
            (DurableBy::Sync, Durability::Power),
            (DurableBy::Adr, Durability::Power),
            (DurableBy::Eadr, Durability::Power),
        ] {
            assert_eq!(by.durability(), survives, "{by}");
        }
    }
}
