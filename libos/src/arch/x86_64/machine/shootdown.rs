//! Making every CPU forget cached translations of pages that were unmapped, and waiting until each has.
//!
//! A CPU that waits for an interrupt, called lazy, is not disturbed: it gets a note, and drops all translations before
//! it does anything else. Every trap begins with that, and nothing but a trap ends the wait. The idle loop itself and a
//! trap's first instructions touch only memory that is never unmapped.
//!
//! One shootdown at a time. Its initiator cannot be preempted: it would keep everybody else waiting, for ever if it was
//! an idle thread. Whoever waits for its turn serves the one under way meanwhile.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::percpu::{self, PerCpu};
use super::{cpu, interrupts};
use crate::addr::{AddrRange, VirtAddr};
use crate::arch::paging::PAGE;

/// Whether a shootdown is under way.
static BUSY: AtomicBool = AtomicBool::new(false);
static START: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(0);
/// One bit for each CPU that has not answered yet.
static PENDING: AtomicU64 = AtomicU64::new(0);

/// From this many pages on, all translations are dropped instead of single ones.
const MANY_PAGES: u64 = 64;

/// What a CPU has to do with translations that it may have cached.
pub(super) mod translations {
    /// It uses them.
    pub const USED: u8 = 0;
    /// It waits for an interrupt.
    pub const LAZY: u8 = 1;
    /// It waits for an interrupt and has to drop them when that comes.
    pub const STALE: u8 = 2;
}

/// Says that this CPU is about to wait for an interrupt, in the idle loop, with interrupts disabled until then.
pub(crate) fn enter_lazy() {
    percpu::this().translations.store(translations::LAZY, Ordering::SeqCst);
}

/// At the beginning of every trap: the CPU is not lazy any more.
#[inline]
pub(in crate::arch) fn leave_lazy(cpu: &PerCpu) {
    // Only this CPU and, while it is lazy, an initiator write there; so a relaxed look is enough to see that it is.
    if cpu.translations.load(Ordering::Relaxed) != translations::USED
        && cpu.translations.swap(translations::USED, Ordering::SeqCst) == translations::STALE
    {
        cpu::flush_tlb();
    }
}

/// Leaves a note for a CPU that is lazy; false if it is not.
fn defers_flush(cpu: &PerCpu) -> bool {
    let (lazy, stale) = (translations::LAZY, translations::STALE);
    match cpu.translations.compare_exchange(lazy, stale, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => true,
        Err(found) => found == stale,
    }
}

/// Makes every CPU forget the translations of these addresses, and with them all that it remembers of tables (SDM
/// volume 3A, section 4.10.4.1). Called with interrupts enabled, by who may wait for the other CPUs.
pub fn flush_everywhere(range: Range<VirtAddr>) {
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
    START.store(range.start.as_u64(), Ordering::Relaxed);
    END.store(range.end.as_u64(), Ordering::Relaxed);
    let this = percpu::this();
    let others = percpu::online().filter(|cpu| cpu.id != this.id);
    let (mut awake, mut deferred) = (0_u64, 0);
    for cpu in others {
        if defers_flush(cpu) { deferred += 1 } else { awake |= 1 << cpu.id }
    }
    PENDING.store(awake, Ordering::Release);
    for cpu in percpu::online().filter(|cpu| awake & 1 << cpu.id != 0) {
        interrupts::ask_to_shoot_down(cpu);
    }
    this.counters.shootdowns.add(1);
    this.counters.shootdown_interrupts.add(awake.count_ones().into());
    this.counters.shootdowns_deferred.add(deferred);
    flush_here(&range);
    while PENDING.load(Ordering::Acquire) != 0 {
        core::hint::spin_loop();
    }
    BUSY.store(false, Ordering::Release);
    interrupts::restore(enabled);
}

/// Forgets what is asked for, then says so: the interrupt handler, and what waiting CPUs do.
pub(in crate::arch) fn serve() {
    let bit = 1 << percpu::this().id;
    if PENDING.load(Ordering::Acquire) & bit != 0 {
        let [start, end] = [&START, &END].map(|bound| VirtAddr::new(bound.load(Ordering::Relaxed)));
        flush_here(&(start..end));
        PENDING.fetch_and(!bit, Ordering::Release);
    }
}

fn flush_here(range: &Range<VirtAddr>) {
    if range.length() / PAGE > MANY_PAGES {
        cpu::flush_tlb();
    } else {
        range.steps(PAGE).for_each(cpu::flush_tlb_page);
    }
}
