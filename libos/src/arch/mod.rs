//! The machine. One folder for each architecture; the rest of the library names only what is re-exported here.

mod x86_64;

pub use x86_64::format::bank;
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::machine::{CpuLocal, cpu_local};
#[cfg(target_os = "hermit")]
pub use x86_64::machine::{
    cpu, dax_copy, entropy, interrupts, key_rights, paging, percpu, port, register_check, shootdown, switch, timer, tsc,
};
#[cfg(target_os = "hermit")]
pub use x86_64::start::{pvh, smp};
#[cfg(target_os = "hermit")]
pub use x86_64::trap::{self, backtrace, init_interrupts, init_traps, vectors};
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::trap::{Hooks, init_stacks, interrupted, set_hooks, single_step};
