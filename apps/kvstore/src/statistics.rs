//! What is counted of commands and errors, and how much happens per second.

use std::collections::BTreeMap;

use crate::by_command::{ByCommand, Id};
use crate::clock::Nanos;

/// Counts since the server started or `CONFIG RESETSTAT`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused because there were too many.
    pub rejected: u64,
    /// Clients closed because all together held too much memory.
    pub evicted: u64,
    /// Requests executed.
    pub commands: u64,
    /// Error replies.
    pub errors: u64,
    /// Bytes received.
    pub input_bytes: u64,
    /// Bytes sent.
    pub output_bytes: u64,
    /// Keys removed because they had expired.
    pub expired: u64,
    /// Keys that a reading command found.
    pub hits: u64,
    /// Keys that a reading command did not find.
    pub misses: u64,
}

impl Counters {
    /// A command has not been executed after all: it is counted again if it begins again.
    pub fn uncount_command(&mut self) {
        // Statistics that were reset meanwhile no longer have it.
        self.commands = self.commands.saturating_sub(1);
    }

    /// Counts a reading command's look at a key.
    pub fn looked(&mut self, found: bool) {
        match found {
            true => self.hits += 1,
            false => self.misses += 1,
        }
    }
}

/// What was counted of one command.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct CommandStatistics {
    /// How often it was executed.
    pub calls: u64,
    /// How long that took in all.
    pub time: Nanos,
    /// How often it was refused before it was executed.
    pub rejected: u64,
    /// How often it was executed and failed.
    pub failed: u64,
}

/// Counts since the server started or `CONFIG RESETSTAT`.
#[derive(Default)]
pub struct Statistics {
    commands: ByCommand<CommandStatistics>,
    errors: BTreeMap<String, u64>,
    samples: Samples,
    /// The most bytes that were alive in the pool; not counted anew.
    pub peak_bytes: u64,
}

impl Statistics {
    /// Counts anew.
    pub fn reset(&mut self) {
        *self = Self { peak_bytes: self.peak_bytes, ..Self::default() };
    }

    /// Counts a command that was refused before it was executed.
    pub fn count_rejected(&mut self, command: Id) {
        self.commands.of(command).rejected += 1;
    }

    /// Counts a command, or a piece of one, that took so long. `outcome`: whether it has failed, if it has ended.
    pub fn count_call(&mut self, command: Id, time: Nanos, outcome: Option<bool>) {
        let command = self.commands.of(command);
        command.time += time;
        if let Some(failed) = outcome {
            command.calls += 1;
            command.failed += u64::from(failed);
        }
    }

    /// Counts an error reply by its code.
    pub fn count_error(&mut self, code: &str) {
        match self.errors.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(self.errors.insert(code.to_owned(), 1)),
        }
    }

    /// Every command that was asked for, by name.
    pub fn commands(&self) -> impl Iterator<Item = (&'static str, CommandStatistics)> {
        self.commands.iter().map(|(name, command)| (name, *command))
    }

    /// How many errors of every code there were.
    pub fn errors(&self) -> impl Iterator<Item = (&str, u64)> {
        self.errors.iter().map(|(code, count)| (&code[..], *count))
    }

    /// Notes what has been counted by now.
    pub fn sample(&mut self, now_ms: u64, counters: &Counters) {
        self.samples.note(Sample::new(now_ms, counters));
    }

    /// What happens per second by now.
    pub fn rates(&self, now_ms: u64, counters: &Counters) -> Rates {
        self.samples.rates(Sample::new(now_ms, counters))
    }
}

/// What happens per second.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Rates {
    /// Requests executed.
    pub commands: f64,
    /// Bytes received.
    pub input_bytes: f64,
    /// Bytes sent.
    pub output_bytes: f64,
}

/// What had been counted at a moment.
#[derive(Clone, Copy)]
struct Sample {
    ms: u64,
    counts: [u64; 3],
}

impl Sample {
    fn new(ms: u64, counters: &Counters) -> Self {
        Self { ms, counts: [counters.commands, counters.input_bytes, counters.output_bytes] }
    }
}

/// How many samples are kept. Redis takes as many.
const SAMPLES: usize = 16;
/// The time from one to the next at least, in milliseconds, as in Redis. While nothing happens there are none.
const INTERVAL_MS: u64 = 100;

/// The latest samples, in a ring.
#[derive(Default)]
struct Samples {
    ring: [Option<Sample>; SAMPLES],
    next: usize,
}

impl Samples {
    fn note(&mut self, sample: Sample) {
        let latest = self.ring[(self.next + SAMPLES - 1) % SAMPLES];
        // The wall clock may have been set back.
        if latest.is_none_or(|latest| sample.ms.checked_sub(latest.ms).is_none_or(|age| age >= INTERVAL_MS)) {
            self.ring[self.next] = Some(sample);
            self.next = (self.next + 1) % SAMPLES;
        }
    }

    /// The rates since the oldest sample that is not older than all of them are under load, else since the latest one.
    fn rates(&self, now: Sample) -> Rates {
        let older = self.ring.iter().flatten().filter(|sample| sample.ms < now.ms);
        let recent = older.clone().filter(|sample| now.ms - sample.ms <= INTERVAL_MS * SAMPLES as u64);
        let Some(since) = recent.min_by_key(|sample| sample.ms).or(older.max_by_key(|sample| sample.ms)) else {
            return Rates::default();
        };
        let seconds = (now.ms - since.ms) as f64 / 1000.0;
        let [commands, input_bytes, output_bytes] =
            std::array::from_fn(|at| now.counts[at].saturating_sub(since.counts[at]) as f64 / seconds);
        Rates { commands, input_bytes, output_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(commands: u64) -> Counters {
        Counters { commands, input_bytes: commands * 10, ..Counters::default() }
    }

    #[test]
    fn rates_are_those_of_the_last_moments() {
        let mut statistics = Statistics::default();
        assert_eq!(statistics.rates(5, &counted(3)), Rates::default(), "nothing to compare with");
        // A long quiet time, then a command each millisecond.
        statistics.sample(1000, &counted(0));
        for ms in 60_000..63_000 {
            statistics.sample(ms, &counted(ms - 60_000));
        }
        let rates = statistics.rates(63_000, &counted(3000));
        assert_eq!((rates.commands, rates.input_bytes, rates.output_bytes), (1000.0, 10_000.0, 0.0));
        // Two seconds later nothing is recent: all that is known is what happened since.
        assert_eq!(statistics.rates(65_000, &counted(3000)).commands.round(), 48.0);
        assert_eq!(statistics.rates(1_000_000, &counted(3000)).commands.round(), 0.0);
        // A clock that was set back, and counters that were reset.
        statistics.sample(10, &counted(3000));
        assert_eq!(statistics.rates(1010, &counted(0)).commands, 0.0);
        statistics.reset();
        assert_eq!(statistics.rates(64_000, &counted(9)), Rates::default());
    }
}
