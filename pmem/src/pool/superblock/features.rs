//! Features: what a program has to know of a pool besides its version, as bits.

use crate::error::Error;

/// To read: the pool has values of other types than *string*.
pub(crate) const TYPED: u64 = 1 << 0;

/// The bits of a superblock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Who does not know one of these cannot read the pool.
    pub to_read: u64,
    /// Who does not know one of these can read the pool, and must not write to it.
    pub to_write: u64,
}

impl Features {
    /// Those that this program knows. Version 1 has none.
    const fn known(version: u32) -> Features {
        match version {
            1 => Features { to_read: 0, to_write: 0 },
            _ => Features { to_read: TYPED, to_write: 0 },
        }
    }

    pub(super) fn check_readable(&self, version: u32) -> Result<(), Error> {
        match self.to_read & !Self::known(version).to_read {
            0 => Ok(()),
            bits => Err(Error::UnknownFeatures { bits }),
        }
    }

    pub(super) fn check_writable(&self, version: u32) -> Result<(), Error> {
        match self.to_write & !Self::known(version).to_write {
            0 => Ok(()),
            bits => Err(Error::UnknownFeaturesToWrite { bits }),
        }
    }
}
