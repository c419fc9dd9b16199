//! Linux in a machine: Debian's kernel in QEMU, with a first file system in RAM of what is put into it. Nothing of it
//! is installed on this computer.
//!
//! For what this computer cannot do by itself: processors with protection keys, NVDIMMs, kernels that may panic; and
//! for a Linux that is the same everywhere. [`packages`] gets Debian's packages, of the kernel's the [`modules`] that
//! are needed, [`initrd`] makes the file system of them, of programs of this computer and of a script, and [`machine`]
//! boots it, and brings back what the script prints and its exit status.

pub mod initrd;
pub mod machine;
mod modules;
mod packages;

pub use initrd::Initrd;
pub use machine::{Hardware, Machine};
pub use packages::{kernel, mke2fs, redis, unpacked};

/// A function of the shell: `namespace REGION KIND DRIVER` makes a region of the NVDIMMs a `pfn` (a disk that can be
/// mapped directly, of the driver `nd_pmem`) or a `dax` (one device, of `dax_pmem`).
pub const NAMESPACE: &str = include_str!("namespace.sh");
