//! How the machine starts: the first instructions, what the boot loader tells, and the other CPUs.

mod entry;
pub mod pvh;
pub mod smp;
