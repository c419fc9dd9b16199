//! The frequencies of the boot CPU's counters: of the time-stamp counter, and of the local APIC's timer.

use core::fmt;

use super::pit::{self, Frequencies};
use super::{apic, cpu, tsc};

/// The frequency of the time-stamp counter, as it was found.
#[derive(Clone, Copy, Debug)]
pub struct CounterFrequency {
    hertz: u64,
    /// How much more or less it may be; `None`, if CPUID says it.
    unsure: Option<u64>,
}

impl fmt::Display for CounterFrequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} MHz, ", self.hertz / 1_000_000, self.hertz / 1000 % 1000)?;
        match self.unsure {
            Some(unsure) => write!(f, "within {} kHz by the interval timer", unsure.div_ceil(1000)),
            None => f.write_str("by CPUID"),
        }
    }
}

/// Finds the frequencies of both, with which time begins: from CPUID where it says so, else by one comparison with the
/// interval timer. The local APIC is enabled.
pub(in crate::arch) fn calibrate() -> CounterFrequency {
    let epoch = tsc::read();
    let known = tsc::frequency_by_cpuid();
    let counts = !cpu::has_tsc_deadline();
    if let Some(hertz) = known
        && !counts
    {
        tsc::set_frequency(hertz, epoch);
        apic::start_timer(0);
        return CounterFrequency { hertz, unsure: None };
    }
    let timer = || if counts { apic::timer_count() } else { 0 };
    let Frequencies { counter, unsure, other } = pit::frequencies(tsc::read, timer);
    let found = CounterFrequency { hertz: known.unwrap_or(counter), unsure: known.is_none().then_some(unsure) };
    tsc::set_frequency(found.hertz, epoch);
    apic::start_timer(other);
    found
}
