//! What a machine has to have, and what of it is used.

/// The most CPUs that are used.
pub const MAX_CPUS: usize = 64;
/// The least RAM of a machine, in bytes, beside what the boot loader puts there (the image, the host's files): with
/// less, what serves fifty clients does not fit.
pub const LEAST_RAM: u64 = 14 << 20;
