//! When a fault is injected, and how long something without a sign of life is waited for.

use std::time::{Duration, Instant};

use super::debugger::{Debugger, Result};
use super::inject::wait;
use super::places::{WorkingSet, trail};
use super::plan::{Moment, Plan};
use crate::gdb::Register;

/// How many writes may be acknowledged before a place in the code counts as one that is not reached.
pub const MOST_WRITES: u64 = 300;
/// Without an acknowledged write for this long it is looked at whether the store works without getting on, or sleeps.
const QUIET: Duration = Duration::from_secs(3);
/// It hangs if it has used this much processor time since, or at most that much.
const BUSY: Duration = Duration::from_secs(1);
const ASLEEP: Duration = Duration::from_millis(100);
/// It hangs in any case after this long.
const LONGEST_QUIET: Duration = Duration::from_secs(20);

/// Where everything was stopped for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The CPU or thread that is to get it.
    pub cpu: u32,
    /// Whether it is the moment of the plan; otherwise its function was not called in time.
    pub planned: bool,
}

/// Goes to the moment of a plan, from wherever everything was halted, or stays where it is when the plan's function is
/// not called before there is `enough`. The functions of `set` are `bias` further up in memory.
///
/// # Errors
/// When it cannot be followed.
pub fn reach(
    debugger: &mut dyn Debugger,
    plan: &Plan,
    set: &WorkingSet,
    bias: u64,
    enough: &dyn Fn() -> bool,
) -> Result<Reached> {
    let mut busy = Vec::new();
    for cpu in debugger.cpus()? {
        if !debugger.is_idle(cpu)? {
            busy.push(cpu);
        }
    }
    let seed = plan.injection_seed;
    let mut cpu = if busy.is_empty() { 1 } else { busy[(seed % busy.len() as u64) as usize] };
    let (function, calls, steps) = match plan.moment {
        // Who waits executes nothing that a fault could change.
        Moment::Anywhere if busy.is_empty() => (seed, 0, 0),
        Moment::Anywhere => return Ok(Reached { cpu, planned: true }),
        Moment::InFunction { function, calls, steps } => (function, calls, steps),
    };
    let place = bias + set.functions[(function % set.functions.len().max(1) as u64) as usize];
    let mut left = calls;
    loop {
        debugger.insert(place)?;
        debugger.resume()?;
        let stop = wait(debugger, enough)?;
        debugger.remove(place)?;
        let Some(stop) = stop else { return Ok(Reached { cpu, planned: false }) };
        debugger.select(stop.cpu)?;
        let is_there = debugger.register(Register::RIP)? == place;
        debugger.step(stop.cpu)?;
        cpu = stop.cpu;
        if is_there && left == 0 {
            break;
        }
        left -= u64::from(is_there);
    }
    trail(debugger, cpu, steps as usize)?;
    Ok(Reached { cpu, planned: true })
}

/// Watches for acknowledged writes.
#[derive(Debug)]
pub struct Quiet {
    seen: u64,
    since: Instant,
    /// What the store had used of a processor then.
    worked: Duration,
}

impl Quiet {
    /// So many writes were acknowledged, and the store has used so much of a processor.
    pub fn new(acknowledged: u64, worked: Duration) -> Self {
        Self { seen: acknowledged, since: Instant::now(), worked }
    }

    /// Whether the store hangs, which now has so many. What it has `worked` is asked for only where it matters.
    pub fn hangs(&mut self, acknowledged: u64, worked: impl Fn() -> Duration) -> bool {
        if acknowledged > self.seen {
            *self = Self::new(acknowledged, worked());
            return false;
        }
        let quiet = self.since.elapsed();
        if quiet <= QUIET {
            return false;
        }
        let used = worked().saturating_sub(self.worked);
        quiet > LONGEST_QUIET || used >= BUSY || used <= ASLEEP
    }
}
