//! How a guest ends: the exit status, and the way on which it reaches the host.
//!
//! After success (0) a guest powers off by ACPI. Any other status, 1 to 127, it writes to QEMU's `isa-debug-exit`
//! device, and QEMU exits with twice the status plus 1.

/// The port of the `isa-debug-exit` device.
pub const DEBUG_PORT: u16 = 0xf4;

/// A panic, as `std` programs have it elsewhere.
pub const PANIC: u8 = 101;
/// An exception that nothing handles.
pub const FATAL_EXCEPTION: u8 = 102;
/// A stray access to persistent memory.
pub const PROTECTION_FAULT: u8 = 103;
/// The machine or the command line do not allow to boot.
pub const BOOT_REFUSED: u8 = 104;
