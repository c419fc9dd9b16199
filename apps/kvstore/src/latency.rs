//! How long commands took: the worst moments, if they are watched for, and how the times of each are distributed.

use std::collections::{BTreeMap, VecDeque};

use crate::by_command::{ByCommand, Id};
use crate::clock::Nanos;

/// Most samples of an event, as in Redis.
const SAMPLES: usize = 160;
/// Classes of times in a histogram: up to about 1 µs, 2 µs, 4 µs and so on, up to a second.
const CLASSES: usize = 21;
/// The first class ends a little above this power of two, in nanoseconds.
const FIRST_LIMIT: u32 = 10;

/// A time that was long: when, in Unix seconds, and how long, in milliseconds.
pub type Sample = (u64, u64);

/// What is known of one kind of event.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Event {
    /// The longest of each second that had one, the latest last.
    pub samples: VecDeque<Sample>,
    /// The longest ever, in milliseconds.
    pub longest: u64,
}

impl Event {
    fn note(&mut self, second: u64, millis: u64) {
        self.longest = self.longest.max(millis);
        match self.samples.back_mut() {
            Some((latest, longest)) if *latest == second => *longest = millis.max(*longest),
            _ => self.samples.push_back((second, millis)),
        }
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
    }
}

/// How often a command took how long.
#[derive(Default)]
pub struct Histogram {
    counts: [u64; CLASSES],
}

impl Histogram {
    /// The longest time of a class, in nanoseconds: where Redis's histogram, of two digits, draws the line.
    fn limit(class: usize) -> u64 {
        let exponent = FIRST_LIMIT + class as u32;
        (1 << exponent) + (1 << (exponent - 7)) - 1
    }

    fn count(&mut self, took: Nanos) {
        // A limit is a little above a power of two.
        let class = (took.max(1).ilog2() as usize).saturating_sub(FIRST_LIMIT as usize).min(CLASSES - 1);
        let is_above = took > Self::limit(class);
        self.counts[(class + usize::from(is_above)).min(CLASSES - 1)] += 1;
    }

    /// How often it was counted.
    pub fn calls(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The classes with something in them: their longest time in microseconds, and how many took at most as long.
    pub fn cumulated(&self) -> impl Iterator<Item = (u64, u64)> + Clone {
        let mut sum = 0;
        self.counts.into_iter().enumerate().filter(|(_, count)| *count > 0).map(move |(class, count)| {
            sum += count;
            (Self::limit(class) / 1000, sum)
        })
    }
}

/// What is watched.
pub struct Latency {
    /// From how many milliseconds on a time is an event; 0: none is (`latency-monitor-threshold`).
    pub threshold: u64,
    /// Whether the times of commands are counted (`latency-tracking`).
    pub tracking: bool,
    events: BTreeMap<&'static str, Event>,
    commands: ByCommand<Histogram>,
}

impl Default for Latency {
    /// As Redis begins.
    fn default() -> Self {
        Self { threshold: 0, tracking: true, events: BTreeMap::new(), commands: ByCommand::default() }
    }
}

impl Latency {
    /// Notes how long a command took that ended in this Unix second.
    pub fn note(&mut self, command: Id, is_fast: bool, second: u64, took: Nanos) {
        if self.tracking {
            self.commands.of(command).count(took);
        }
        let millis = took / 1_000_000;
        if self.threshold > 0 && millis >= self.threshold {
            self.events.entry(if is_fast { "fast-command" } else { "command" }).or_default().note(second, millis);
        }
    }

    /// The events that there were.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&'static str, &Event)> {
        self.events.iter().map(|(name, event)| (*name, event))
    }

    /// Forgets the events that `forget` names; says how many.
    pub fn forget(&mut self, forget: impl Fn(&str) -> bool) -> usize {
        let before = self.events.len();
        self.events.retain(|name, _| !forget(name));
        before - self.events.len()
    }

    /// How long commands took, by their names.
    pub fn commands(&self) -> impl ExactSizeIterator<Item = (&'static str, &Histogram)> {
        self.commands.iter()
    }

    /// Counts commands anew.
    pub fn reset_commands(&mut self) {
        self.commands = ByCommand::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Id = Id { number: 0, name: "get" };
    const SORT: Id = Id { number: 1, name: "sort" };

    #[test]
    fn classes_are_those_of_redis() {
        let limits: Vec<u64> = (0..14).map(|class| Histogram::limit(class) / 1000).collect();
        assert_eq!(limits, [1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056, 2113, 4227, 8454]);
        let mut latency = Latency::default();
        for micros in [0, 1, 3, 3, 40, 5_000_000] {
            latency.note(GET, true, 1, micros * 1000);
        }
        let (name, histogram) = latency.commands().next().unwrap();
        assert_eq!((name, histogram.calls()), ("get", 6));
        assert_eq!(histogram.cumulated().collect::<Vec<_>>(), [(1, 2), (4, 4), (66, 5), (1082130, 6)]);
        latency.tracking = false;
        latency.note(SORT, true, 1, 0);
        assert_eq!(latency.commands().len(), 1);
    }

    #[test]
    fn a_class_ends_with_its_limit() {
        for class in 0..CLASSES {
            let mut histogram = Histogram::default();
            for more in 0..2 {
                histogram.count(Histogram::limit(class) + more);
            }
            let mut expected = [0; CLASSES];
            expected[class] += 1;
            expected[(class + 1).min(CLASSES - 1)] += 1;
            assert_eq!(histogram.counts, expected);
        }
    }

    #[test]
    fn events_keep_the_longest_of_each_second() {
        let mut latency = Latency { threshold: 10, ..Latency::default() };
        for (second, millis) in [(1, 9), (1, 10), (1, 30), (1, 20), (2, 15)] {
            latency.note(SORT, false, second, millis * 1_000_000);
        }
        let (name, event) = latency.events().next().unwrap();
        assert_eq!((name, event.longest), ("command", 30));
        assert_eq!(event.samples, [(1, 30), (2, 15)]);
        (3..1000).for_each(|second| latency.note(GET, true, second, 1_000_000_000));
        let (name, event) = latency.events().last().unwrap();
        assert_eq!((name, event.samples.len(), event.samples[0].0), ("fast-command", SAMPLES, 1000 - SAMPLES as u64));
        assert_eq!(latency.forget(|name| name == "command"), 1);
        assert_eq!(latency.forget(|_| true), 1);
    }
}
