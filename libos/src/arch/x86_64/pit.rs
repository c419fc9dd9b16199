//! The programmable interval timer, whose frequency is known: the ruler for counters whose frequency is not.

use super::port;

/// The timer's frequency in Hz.
const FREQUENCY: u32 = 1_193_182;

/// How many calibration intervals make a second.
pub const CALIBRATIONS_PER_SECOND: u64 = 100;

const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
const CONTROL: u16 = 0x61;

/// Waits for one calibration interval, 10 ms, by polling channel 2.
pub fn wait_calibration_interval() {
    let count = FREQUENCY / CALIBRATIONS_PER_SECOND as u32;
    // SAFETY: channel 2 drives the speaker, which is kept off; nothing else uses it.
    unsafe {
        let control = port::inb(CONTROL) & !0b10;
        port::outb(CONTROL, control & !0b1);
        // Channel 2, low byte then high byte, mode 0: the output rises at the end of the count.
        port::outb(COMMAND, 0b1011_0000);
        port::outb(CHANNEL_2, count as u8);
        port::outb(CHANNEL_2, (count >> 8) as u8);
        port::outb(CONTROL, control | 0b1);
        while port::inb(CONTROL) & 0b10_0000 == 0 {}
        port::outb(CONTROL, control & !0b1);
    }
}
