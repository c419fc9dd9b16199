//! Looking at every CPU of the machine.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use libos::arch::{interrupts, percpu};

/// Bits of CPUs that have looked.
static LOOKED: AtomicU64 = AtomicU64::new(0);
static FOUND: [AtomicU32; percpu::MAX_CPUS] = [const { AtomicU32::new(0) }; percpu::MAX_CPUS];

/// What `look` finds on each CPU, in the order of their numbers. It runs with interrupts disabled.
pub(crate) fn on_every_cpu(look: fn() -> u32) -> Vec<u32> {
    let cpus = percpu::online_count();
    LOOKED.store(0, Ordering::SeqCst);
    let all = (1 << cpus) - 1;
    let wander = move || {
        while LOOKED.load(Ordering::SeqCst) != all {
            let enabled = interrupts::disable();
            let cpu = percpu::this().id;
            FOUND[cpu as usize].store(look(), Ordering::SeqCst);
            LOOKED.fetch_or(1 << cpu, Ordering::SeqCst);
            interrupts::restore(enabled);
        }
    };
    // As many threads as there are CPUs, none of which ever waits, are on all of them sooner or later.
    let wanderers: Vec<_> = (0..cpus).map(|_| thread::spawn(wander)).collect();
    wanderers.into_iter().for_each(|wanderer| wanderer.join().expect("a wanderer does not panic"));
    FOUND[..cpus].iter().map(|found| found.load(Ordering::SeqCst)).collect()
}
