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
#[cfg(target_os = "hermit")]
mod handler;
#[cfg(target_os = "hermit")]
mod interface;
#[cfg(target_os = "hermit")]
mod lifecycle;
pub mod media;
#[cfg(target_os = "hermit")]
mod owners;
#[cfg(target_os = "hermit")]
mod panic;
mod policy;
#[cfg(target_os = "hermit")]
mod record;
#[cfg(target_os = "hermit")]
mod write_protect;

#[cfg(target_os = "hermit")]
pub use audit::audit;
pub use audit::{Audit, AuditError, Region, check, check_registers};
#[cfg(target_os = "hermit")]
pub(crate) use device::is_device_address;
#[cfg(target_os = "hermit")]
pub use device::{Device, devices};
#[cfg(target_os = "hermit")]
pub use fault::fault_count;
#[cfg(target_os = "hermit")]
pub use grant::{ReadGrant, ReadLock, WriteGrant};
#[cfg(target_os = "hermit")]
pub use handler::{Fault, FaultAction, FaultHandler};
#[cfg(target_os = "hermit")]
pub use lifecycle::{AttachError, RetireError};
#[cfg(target_os = "hermit")]
pub(crate) use lifecycle::{PmemRange, register, retire_all};
#[cfg(target_os = "hermit")]
pub(crate) use owners::write_rights;
#[cfg(target_os = "hermit")]
pub use panic::end_grants;
#[cfg(target_os = "hermit")]
pub(crate) use panic::install as end_grants_at_panics;
pub use policy::{fault_policy, set_fault_policy};
#[cfg(target_os = "hermit")]
pub(crate) use record::{
    leave_section_of, leave_sections_of_thread, write_of_handlers as write_grants_of_handlers,
    write_of_thread as write_grants_of_thread,
};

pub use pmem_medium::{Counters, Gone, Load, LoadError, Medium, OutOfRange, Store, WriteError, WriteProtectError};

pub use crate::keys::{
    Access, FaultPolicy, Key, KeyAllocator, KeyRegister, NoKeyLeft, NoProtection, Protection, ProtectionChoice,
    Registers, Rights,
};
