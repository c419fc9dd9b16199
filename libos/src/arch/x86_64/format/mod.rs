//! What bits mean, as the manuals say it: pure arithmetic, tested on the host.

pub mod bank;
pub mod cache_types;
pub(crate) mod entry;
pub mod exception;
pub mod flags;
pub mod page_fault;
pub mod paging;
