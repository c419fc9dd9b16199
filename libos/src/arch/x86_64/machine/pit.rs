//! The programmable interval timer, whose frequency is known: the ruler for counters whose frequency is not.

use super::port;

/// The timer's frequency in Hz.
const FREQUENCY: u64 = 1_193_182;

/// How long a calibration lasts, in the timer's ticks: 20 ms.
const CALIBRATION_TICKS: u64 = FREQUENCY / 50;

/// How often each end of a calibration is read; the reading that took the shortest time counts.
const READINGS: usize = 16;

const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
const CONTROL: u16 = 0x61;

/// The frequency in Hz of the counter that `read` reads, measured over 20 ms. An interruption of the virtual CPU by its
/// host does not spoil it: both clocks are read together, and a pair between which much time passed is read again.
pub(super) fn frequency_of(read: impl Fn() -> u64) -> u64 {
    loop {
        start();
        let first = read_both(&read);
        // The host may have taken so long that the count comes to its end before.
        while elapsed() < first.ticks + CALIBRATION_TICKS && !has_expired() {}
        let last = read_both(&read);
        // After 55 ms the timer starts over, and its ticks mean nothing.
        if !has_expired() && last.ticks > first.ticks {
            stop();
            let counts = u128::from(last.count - first.count) * u128::from(FREQUENCY);
            return (counts / u128::from(last.ticks - first.ticks)) as u64;
        }
    }
}

/// The timer and the other counter at the same time.
#[derive(Clone, Copy)]
struct Reading {
    ticks: u64,
    count: u64,
}

fn read_both(read: &impl Fn() -> u64) -> Reading {
    let mut best = (u64::MAX, Reading { ticks: 0, count: 0 });
    for _ in 0..READINGS {
        let before = read();
        let ticks = elapsed();
        let after = read();
        if after - before < best.0 {
            best = (after - before, Reading { ticks, count: before + (after - before) / 2 });
        }
    }
    best.1
}

/// Starts channel 2 at its highest count.
fn start() {
    // SAFETY: channel 2 drives the speaker, which is kept off; nothing else uses it.
    unsafe {
        let control = port::inb(CONTROL) & !0b11;
        port::outb(CONTROL, control);
        // Channel 2, low byte then high byte, mode 0: the output rises at the end of the count.
        port::outb(COMMAND, 0b1011_0000);
        port::outb(CHANNEL_2, 0xff);
        port::outb(CHANNEL_2, 0xff);
        port::outb(CONTROL, control | 0b1);
    }
}

/// How many ticks have passed since [`start`].
fn elapsed() -> u64 {
    // SAFETY: as in `start`; latching the count changes nothing.
    let count = unsafe {
        port::outb(COMMAND, 0b1000_0000);
        u16::from_le_bytes([port::inb(CHANNEL_2), port::inb(CHANNEL_2)])
    };
    u64::from(u16::MAX - count)
}

/// Whether the count has come to its end.
fn has_expired() -> bool {
    // SAFETY: as in `start`.
    unsafe { port::inb(CONTROL) & 0b10_0000 != 0 }
}

fn stop() {
    // SAFETY: as in `start`.
    unsafe { port::outb(CONTROL, port::inb(CONTROL) & !0b11) };
}
