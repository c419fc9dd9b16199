//! What CPUs have done since boot.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::arch::percpu::{self, Counter, PerCpu};
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
    /// Nanoseconds in which threads ran, idle ones not counted.
    pub busy_ns: u64,
}

/// What the scheduler counts on one CPU.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) switches: Counter,
    pub(super) migrations: Counter,
    busy_ns: Counter,
    /// Since when other threads than the idle one run here, or `u64::MAX` while none does.
    busy_since: AtomicU64,
}

impl Work {
    pub(super) const fn new() -> Self {
        Self {
            switches: Counter::new(),
            migrations: Counter::new(),
            busy_ns: Counter::new(),
            busy_since: AtomicU64::new(u64::MAX),
        }
    }

    /// Notes that the CPU goes from its idle thread to another one, or back.
    pub(super) fn set_busy(&self, busy: bool, now_ns: u64) {
        let since = self.busy_since.swap(if busy { now_ns } else { u64::MAX }, Ordering::Relaxed);
        if since != u64::MAX {
            self.busy_ns.add(now_ns.saturating_sub(since));
        }
    }

    /// For how many nanoseconds it has not been idle by now.
    fn busy_ns(&self) -> u64 {
        let now = match self.busy_since.load(Ordering::Relaxed) {
            u64::MAX => 0,
            since => time::now_ns().saturating_sub(since),
        };
        self.busy_ns.get() + now
    }
}

fn of(cpu: &PerCpu) -> Statistics {
    let work = super::scheduler::work(cpu);
    let counters = &cpu.counters;
    Statistics {
        switches: work.switches.get(),
        migrations: work.migrations.get(),
        calls: counters.calls.get(),
        shootdowns: counters.shootdowns.get(),
        shootdown_interrupts: counters.shootdown_interrupts.get(),
        shootdowns_deferred: counters.shootdowns_deferred.get(),
        interrupts: counters.interrupts.get(),
        busy_ns: work.busy_ns(),
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
        busy_ns: sum.busy_ns + one.busy_ns,
    })
}
