//! What the processor itself counts of a server: cycles and instructions (perf_event_open(2)).

use std::fmt;
use std::fs;
use std::io;

use anyhow::{Context, Result};
use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use rustix::io::Errno;

/// What can be counted of a process here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counting {
    /// What it does itself, and what the kernel does for it.
    All,
    /// What it does itself alone: the kernel does not let its own part be counted.
    Own,
    /// Nothing, and why.
    Nothing(String),
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// Cycles of processors.
    pub cycles: f64,
    /// Instructions.
    pub instructions: f64,
}

/// Counters that run, of the threads that a process has and will have.
pub struct Counters {
    /// For each thread: cycles, instructions.
    threads: Vec<[Counter; 2]>,
}

impl Counting {
    /// Finds it out, with this process.
    pub fn find_out() -> Self {
        let attempt = |counting: Self| counting.try_on(std::process::id()).map(|_| counting);
        attempt(Self::All)
            .or_else(|_| attempt(Self::Own))
            .unwrap_or_else(|error| Self::Nothing(format!("perf_event_open(2): {error}")))
    }

    /// Begins to count, if anything can be counted.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn begin(&self, process: u32) -> Result<Option<Counters>> {
        match self {
            Self::Nothing(_) => Ok(None),
            _ => self.try_on(process).map(Some).context("a server's threads cannot be counted any more"),
        }
    }

    fn try_on(&self, process: u32) -> io::Result<Counters> {
        let mut threads = Vec::new();
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let name = thread?.file_name();
            let thread = name.to_str().and_then(|it| it.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
            match self.on_thread(thread) {
                Ok(counters) => threads.push(counters),
                // It has ended since it was listed.
                Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Counters { threads })
    }

    fn on_thread(&self, thread: i32) -> io::Result<[Counter; 2]> {
        Ok([self.counter(thread, Hardware::CPU_CYCLES)?, self.counter(thread, Hardware::INSTRUCTIONS)?])
    }

    fn counter(&self, thread: i32, event: Hardware) -> io::Result<Counter> {
        let mut builder = Builder::new().observe_pid(thread).kind(event);
        builder.inherit(true).enabled(true).exclude_kernel(*self != Self::All);
        builder.build()
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => {
                f.write_str("cycles and instructions by perf_event_open(2), the server's and the kernel's for it")
            }
            Self::Own => f.write_str(
                "cycles and instructions by perf_event_open(2), the server's own without the kernel's for it \
                 (/proc/sys/kernel/perf_event_paranoid)",
            ),
            Self::Nothing(why) => write!(f, "no cycles or instructions ({why}): the processor's time is what there is"),
        }
    }
}

impl Counters {
    /// What they have counted.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn read(&mut self) -> io::Result<Counts> {
        let mut sums = [0.0; 2];
        for counter in &mut self.threads {
            for (sum, counter) in sums.iter_mut().zip(counter) {
                let seen = counter.read_count_and_time()?;
                *sum += whole(seen.count, seen.time_enabled, seen.time_running);
            }
        }
        let [cycles, instructions] = sums;
        Ok(Counts { cycles, instructions })
    }
}

/// What a counter would have counted that shared the processor's few registers with others, had it run all the time.
fn whole(count: u64, enabled: u64, running: u64) -> f64 {
    if running == 0 { 0.0 } else { count as f64 * (enabled as f64 / running as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_ran_half_the_time_counts_twice() {
        assert_eq!(whole(100, 8, 4), 200.0);
        assert_eq!(whole(100, 8, 8), 100.0);
        assert_eq!(whole(0, 0, 0), 0.0);
    }

    #[test]
    fn where_counting_is_possible_work_is_counted_and_elsewhere_it_is_said_why() {
        let counting = Counting::find_out();
        let Some(mut counters) = counting.begin(std::process::id()).unwrap() else {
            assert!(counting.to_string().contains("perf_event_open(2): "), "{counting}");
            return;
        };
        let before = counters.read().unwrap();
        let sum: u64 = std::hint::black_box(0..1_000_000_u64).map(std::hint::black_box).sum();
        assert!(sum > 0);
        let counted = counters.read().unwrap().instructions - before.instructions;
        assert!(counted > 0.0, "{counted}");
    }
}
