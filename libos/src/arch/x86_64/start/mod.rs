//! How the machine starts: the first instructions, what the boot loader tells, and the other CPUs.

mod entry;
mod pvh;
pub(crate) mod smp;

pub use pvh::StartInfo;
