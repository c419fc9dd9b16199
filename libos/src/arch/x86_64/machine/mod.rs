//! What one CPU does: ports, registers, time counters, its interrupt controller, switches, shootdowns.
//!
//! Below memory and locks: it maps nothing, and waits for nobody but CPUs that answer an interrupt. Where the registers
//! of the interrupt controller are in memory, their mapped address is handed in.

pub(in crate::arch) mod apic;
pub mod calibration;
pub mod cpu;
mod cpu_local;
pub mod dax_copy;
pub(crate) mod debug_exit;
pub mod entropy;
pub(in crate::arch) mod fpu;
pub mod interrupts;
pub mod key_rights;
pub(in crate::arch) mod machine_check;
pub(in crate::arch) mod memory_functions;
pub mod paging;
mod per_thread;
pub mod percpu;
mod pit;
pub mod port;
pub mod register_check;
pub mod shootdown;
pub mod switch;
pub mod timer;
pub(crate) mod tls;
pub mod tsc;

pub(crate) use cpu_local::{CpuLocal, cpu_local};
pub(crate) use per_thread::{PerThread, ThreadHead, current as current_thread, per_thread, thread_id};
