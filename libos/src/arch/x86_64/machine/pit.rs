//! The programmable interval timer, whose frequency is known: the ruler for counters whose frequency is not.

use super::port;

/// The timer's frequency in Hz.
const FREQUENCY: u64 = 1_193_182;

/// How many of the timer's ticks a measurement takes: 5 ms, and longer ones for machines on which those are inexact.
const LENGTHS: [u16; 5] = [5966, 5966, 23_864, 23_864, 59_659];

/// One part in so many may be unsure of a measurement that is exact enough.
const EXACT: u64 = 5000;

const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
const CONTROL: u16 = 0x61;

/// What the timer has measured.
#[derive(Clone, Copy, Debug)]
pub struct Frequencies {
    /// The counter's, in Hz.
    pub counter: u64,
    /// How much more or less that may be, in Hz.
    pub unsure: u64,
    /// The other counter's.
    pub other: u64,
}

/// The frequencies of two counters, measured at once. Both ends of a measurement lie between readings of the first
/// counter, so it is known how exact it is. Where the host has interrupted the virtual CPU at an end, it is done again.
pub(super) fn frequencies(counter: impl Fn() -> u64, other: impl Fn() -> u64) -> Frequencies {
    let mut best: Option<Frequencies> = None;
    for ticks in LENGTHS {
        let measured = measure(ticks, &counter, &other);
        if best.is_none_or(|best| measured.unsure < best.unsure) {
            best = Some(measured);
        }
        if measured.unsure <= measured.counter / EXACT {
            break;
        }
    }
    best.unwrap_or(Frequencies { counter: 1, unsure: 1, other: 1 })
}

/// Measures while the timer ticks so often.
fn measure(ticks: u16, counter: &impl Fn() -> u64, other: &impl Fn() -> u64) -> Frequencies {
    let start = start(ticks, counter);
    let (other_first, at_first) = (other(), counter());
    // Before the last look at which the output was low, and before the one at which it was high.
    let mut looked = [start[0], counter()];
    while !has_expired() {
        looked = [looked[1], counter()];
    }
    let end = counter();
    let (other_last, at_last) = (other(), counter());
    let began = start[0] + (start[1] - start[0]) / 2;
    let unsure = (start[1] - start[0]) + (end - looked[0]);
    let per_second = |counts: u64| (u128::from(counts) * u128::from(FREQUENCY) / u128::from(ticks)) as u64;
    let frequency = per_second(looked[1] - began).max(1);
    let others = u128::from(other_last.saturating_sub(other_first)) * u128::from(frequency);
    Frequencies {
        counter: frequency,
        unsure: per_second(unsure) / 2,
        other: (others / u128::from((at_last - at_first).max(1))) as u64,
    }
}

/// Starts channel 2; what the counter showed before and after. In mode 0 the count begins with its last byte, and the
/// output rises at its end and stays high.
fn start(ticks: u16, counter: &impl Fn() -> u64) -> [u64; 2] {
    let [low, high] = ticks.to_le_bytes();
    // SAFETY: channel 2 drives the speaker, which is kept off; nothing else uses it.
    unsafe {
        port::outb(CONTROL, port::inb(CONTROL) & !0b11 | 0b1);
        port::outb(COMMAND, 0b1011_0000);
        port::outb(CHANNEL_2, low);
        let before = counter();
        port::outb(CHANNEL_2, high);
        [before, counter()]
    }
}

/// Whether the count has come to its end.
fn has_expired() -> bool {
    // SAFETY: as in `start`.
    unsafe { port::inb(CONTROL) & 0b10_0000 != 0 }
}
