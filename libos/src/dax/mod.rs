//! Direct access to persistent memory, closed by default.
//!
//! Owns: each pmem device's single mapping, its protection key, the scoped grants that open it, and what happens when
//! something touches it without one. Never: what is stored in the memory (that is the `pmem` crate's), and never a Rust
//! reference into it.
//!
//! Two things are kept apart, as in Linux's `dax_read_lock`: `Device::read_lock` is *liveness* (the device cannot go
//! away under its holder), and a grant taken inside it is *permission*.

mod audit;
#[cfg(target_os = "hermit")]
mod device;
#[cfg(target_os = "hermit")]
pub(crate) mod fault;
#[cfg(target_os = "hermit")]
mod grant;
mod keys;
mod rights;

#[cfg(target_os = "hermit")]
pub use audit::audit;
pub use audit::{Audit, AuditError, Region, check};
#[cfg(target_os = "hermit")]
pub use device::{Device, DeviceGone, devices};
#[cfg(target_os = "hermit")]
pub(crate) use device::{overlaps, register, retire_all};
#[cfg(target_os = "hermit")]
pub use fault::fault_count;
#[cfg(target_os = "hermit")]
pub use grant::{OutOfRange, ReadGrant, ReadLock, WriteGrant, grant_counts};
pub use keys::{Key, KeyAllocator, NoKeyLeft};
pub use rights::{Access, Rights};

use core::fmt;

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
