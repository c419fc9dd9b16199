//! Protection, as values: keys, the rights of a context to their pages, what keeps memory closed, what follows a fault.
//!
//! Pure arithmetic and words, tested on the host, below every other room. Never: a register, a page table or a device.

mod key;
mod permissions;
mod protection;
mod registers;

pub use key::{KeyAllocator, NoKeyLeft};
pub use libos_contract::policy::FaultPolicy;
pub use libos_contract::protection::{Protection, ProtectionChoice};
pub use libos_contract::rights::{Access, Key, Rights};
pub use permissions::Permissions;
pub use protection::{NoProtection, resolve_protection};
pub use registers::{KeyRegister, Registers};
