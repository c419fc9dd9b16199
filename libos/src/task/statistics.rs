//! What CPUs have done since boot.

use core::sync::atomic::Ordering;
use core::time::Duration;

use crate::arch::cpu_local;
use crate::arch::percpu::{self, Counter, PerCpu};
use crate::instant::{AtomicInstant, Instant};
use crate::time;

/// What one CPU, or all together, have done since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Switches from one thread to another, idle threads included.
    pub switches: u64,
    /// Switches to a thread that ran on another CPU before, or for the first time.
    pub migrations: u64,
    /// Interrupts by which one CPU made another one look for threads.
    pub calls: u64,
    /// How often translations were dropped everywhere.
    pub shootdowns: u64,
    /// Interrupts that this took.
    pub shootdown_interrupts: u64,
    /// Notes that this left for CPUs that rested, instead of interrupts.
    pub shootdowns_deferred: u64,
    /// Interrupts that came, exceptions and non-maskable ones not counted.
    pub interrupts: u64,
    /// How long threads ran, idle ones not counted.
    pub busy: Duration,
}

/// What the scheduler counts on one CPU.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) switches: Counter,
    pub(super) migrations: Counter,
    busy_ns: Counter,
    /// Since when other threads than the idle one run here: never, while none does.
    busy_since: AtomicInstant,
}

cpu_local! {
    /// What is counted on a CPU.
    pub(super) static WORK: Work = Work::new();
}

impl Work {
    const fn new() -> Self {
        Self {
            switches: Counter::new(),
            migrations: Counter::new(),
            busy_ns: Counter::new(),
            busy_since: AtomicInstant::new(Instant::NEVER),
        }
    }

    /// Notes that the CPU goes from its idle thread to another one, or back.
    pub(super) fn set_busy(&self, busy: bool, now: Instant) {
        let since = self.busy_since.swap(if busy { now } else { Instant::NEVER }, Ordering::Relaxed);
        if since != Instant::NEVER {
            self.busy_ns.add(now.as_nanos().saturating_sub(since.as_nanos()));
        }
    }

    /// For how long it has not been idle by now.
    fn busy(&self) -> Duration {
        let now = match self.busy_since.load(Ordering::Relaxed) {
            Instant::NEVER => Duration::ZERO,
            since => time::now().saturating_duration_since(since),
        };
        Duration::from_nanos(self.busy_ns.get()) + now
    }
}

fn of(cpu: &PerCpu) -> Statistics {
    let work = WORK.on(cpu);
    let counters = &cpu.counters;
    Statistics {
        switches: work.switches.get(),
        migrations: work.migrations.get(),
        calls: counters.calls.get(),
        shootdowns: counters.shootdowns.get(),
        shootdown_interrupts: counters.shootdown_interrupts.get(),
        shootdowns_deferred: counters.shootdowns_deferred.get(),
        interrupts: counters.interrupts.get(),
        busy: work.busy(),
    }
}

/// What each CPU that runs threads has done, with its number.
pub fn statistics_by_cpu() -> impl Iterator<Item = (u32, Statistics)> {
    percpu::online().map(|cpu| (cpu.id, of(cpu)))
}

/// The sums over all CPUs. They are read one after the other while all run on.
pub fn statistics() -> Statistics {
    statistics_by_cpu().fold(Statistics::default(), |sum, (_, one)| Statistics {
        switches: sum.switches + one.switches,
        migrations: sum.migrations + one.migrations,
        calls: sum.calls + one.calls,
        shootdowns: sum.shootdowns + one.shootdowns,
        shootdown_interrupts: sum.shootdown_interrupts + one.shootdown_interrupts,
        shootdowns_deferred: sum.shootdowns_deferred + one.shootdowns_deferred,
        interrupts: sum.interrupts + one.interrupts,
        busy: sum.busy + one.busy,
    })
}
