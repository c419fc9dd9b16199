//! Making every CPU forget cached translations of pages that were unmapped, and waiting until each has.
//!
//! One shootdown at a time. Its initiator cannot be preempted: it would keep everybody else waiting, for ever if it was an
//! idle thread. Whoever waits for its turn serves the one under way meanwhile.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{cpu, interrupts, percpu};
use crate::mm::layout::PAGE;

/// Whether a shootdown is under way.
static BUSY: AtomicBool = AtomicBool::new(false);
static START: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(0);
/// One bit for each CPU that has not answered yet.
static PENDING: AtomicU64 = AtomicU64::new(0);

/// From this many pages on, all translations are dropped instead of single ones.
const MANY_PAGES: u64 = 64;

/// Makes every CPU forget the translations of these addresses. The caller holds no [`crate::sync::IrqLock`].
pub fn flush_everywhere(range: Range<u64>) {
    if percpu::online_count() <= 1 {
        flush_here(&range);
        return;
    }
    assert!(interrupts::are_enabled(), "a shootdown waits for other CPUs, which may wait for this one");
    let enabled = interrupts::disable();
    while BUSY.swap(true, Ordering::Acquire) {
        serve();
        core::hint::spin_loop();
    }
    START.store(range.start, Ordering::Relaxed);
    END.store(range.end, Ordering::Relaxed);
    let this = percpu::this();
    let own = this.id;
    let others = || percpu::online().filter(|cpu| cpu.id != own);
    PENDING.store(others().map(|cpu| 1 << cpu.id).sum(), Ordering::Release);
    others().for_each(interrupts::ask_to_shoot_down);
    this.counters.shootdowns.add(1);
    this.counters.shootdown_interrupts.add(others().count() as u64);
    flush_here(&range);
    while PENDING.load(Ordering::Acquire) != 0 {
        core::hint::spin_loop();
    }
    BUSY.store(false, Ordering::Release);
    interrupts::restore(enabled);
}

/// Forgets what is asked for, then says so: the interrupt handler, and what waiting CPUs do.
pub(super) fn serve() {
    let bit = 1 << percpu::this().id;
    if PENDING.load(Ordering::Acquire) & bit != 0 {
        flush_here(&(START.load(Ordering::Relaxed)..END.load(Ordering::Relaxed)));
        PENDING.fetch_and(!bit, Ordering::Release);
    }
}

fn flush_here(range: &Range<u64>) {
    if (range.end - range.start) / PAGE > MANY_PAGES {
        cpu::flush_tlb();
    } else {
        range.clone().step_by(PAGE as usize).for_each(cpu::flush_tlb_page);
    }
}
