//! What programs' descriptors refer to, apart from the ABI's numbers for it.
//!
//! Owns the table of open objects and readiness: what `poll` asks of an object, how an object says that the answer has
//! changed, and who sleeps until it does. What brings news from outside names itself as the `Source`, which `poll`
//! pumps. Never: what the objects are.
#![cfg_attr(not(target_os = "hermit"), allow(dead_code, reason = "on the host only the tests use this room"))]

mod counter;
mod io_slices;
#[cfg(target_os = "hermit")]
mod poll;
#[cfg(target_os = "hermit")]
pub mod pollers;
mod readiness;
#[cfg(target_os = "hermit")]
mod ready_set;
mod table;
#[cfg(target_os = "hermit")]
mod watch;

pub use counter::Counter;
pub use io_slices::{IoSlices, IoSlicesMut};
#[cfg(target_os = "hermit")]
pub(crate) use poll::{Source, poll, set_source};
pub use readiness::{Ready, Signal};
#[cfg(target_os = "hermit")]
pub use ready_set::{Event, Member, ReadySet};
pub use table::{Full, Table};
#[cfg(target_os = "hermit")]
pub use watch::Watch;
