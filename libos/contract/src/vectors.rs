//! The interrupt vectors that the library gives to itself; a trace names interrupts by them.

/// The local APIC timer's.
pub const TIMER: u8 = 0x20;
/// Another CPU asks this one to choose a thread.
pub const RESCHEDULE: u8 = 0x21;
/// Another CPU asks this one to forget translations.
pub const SHOOTDOWN: u8 = 0x22;
/// Another CPU asks this one what its registers hold.
pub const REGISTERS: u8 = 0x23;
/// The first for devices.
pub const FIRST_DEVICE: u8 = 0x30;
/// Of spurious interrupts, which want no end-of-interrupt.
pub const SPURIOUS: u8 = 0xff;
