//! The race of the Linux series: a non-maskable interrupt in the middle of a change of the register, when the CPU's
//! memory of it is not true. The host stops the CPU at every instruction of the change in turn and injects one there;
//! this is what runs in the guest meanwhile.
//!
//! Each round is: [`sweep_begin`], the change, [`sweep_end`]. The handler of the NMI tries a store to persistent
//! memory, which has to fault, whatever is being opened or closed; and the thread has to have exactly its rights after
//! the change. The host writes 0 to [`MORE`] when it has been everywhere.
//!
//! Every round has to take the same way, instruction for instruction. So no timer interrupts meanwhile, and a change
//! that is a switch is one between two threads that are kept on one CPU: for those the scheduler's choice does not
//! depend on the time.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use libos::arch::trap;
use libos::dax::Rights;
use libos::task::{self, ThreadId};

use crate::attempt;
use crate::probe::{OPEN, PLACE, WD, device, force, note_and_open, only, register_is, set_bits, store, watch_by};
use crate::verdict::{Case, Verdict, holds, same};

pub(crate) const CASES: &[Case] = &[
    ("nmi_while_opening", || change(Rights::CLOSED, only(device(0), OPEN))),
    ("nmi_while_closing", || change(only(device(0), OPEN), Rights::CLOSED)),
    ("nmi_while_narrowing", || change(only(device(0), OPEN), only(device(0), WD))),
    ("nmi_while_widening", || change(only(device(0), WD), only(device(0), OPEN))),
    ("nmi_while_exchanging", || change(only(device(0), OPEN), only(device(1), OPEN))),
    ("nmi_while_skipping", || change(only(device(0), OPEN), only(device(0), OPEN))),
    ("nmi_in_a_whole_grant", whole_grant),
    ("nmi_in_a_nested_grant", nested_grant),
    ("nmi_in_a_fault", fault),
    ("nmi_in_a_switch_to_less", || switch(only(device(0), OPEN), Rights::CLOSED)),
    ("nmi_in_a_switch_to_more", || switch(Rights::CLOSED, only(device(0), OPEN))),
];

/// Non-maskable interrupts that have come, and those of them whose store went through.
static NMIS: AtomicU32 = AtomicU32::new(0);
static STORED: AtomicU32 = AtomicU32::new(0);

/// Whether the host wants another round.
static MORE: AtomicU32 = AtomicU32::new(1);

/// Where the host stops the CPU before a change.
#[inline(never)]
extern "C" fn sweep_begin(round: u32) {
    black_box(round);
}

/// Where it stops the CPU after the change.
#[inline(never)]
extern "C" fn sweep_end(round: u32) {
    black_box(!round);
}

/// The local APIC's register for its pin LINT1, to which the machine's NMIs come; 0b100 in bits 10:8 delivers them as
/// such.
const LVT_LINT1: *mut u32 = 0xfee0_0360 as *mut u32;
const DELIVER_NMI: u32 = 0b100 << 8;
/// Its register for its timer, the bit that masks the timer's interrupt, and the count at the end of which that comes.
const LVT_TIMER: *mut u32 = 0xfee0_0320 as *mut u32;
const MASKED: u32 = 1 << 16;
const TIMER_COUNT: *mut u32 = 0xfee0_0380 as *mut u32;

/// Runs `body` without interrupts by the timer, so without the ends of time slices.
fn without_timer<R>(body: impl FnOnce() -> R) -> R {
    // SAFETY: the local APIC's registers are mapped at their physical address, and this is one of them. An interrupt
    // that is missed meanwhile is made up for: one that comes too early does no harm.
    unsafe {
        LVT_TIMER.write_volatile(LVT_TIMER.read_volatile() | MASKED);
        let result = body();
        LVT_TIMER.write_volatile(LVT_TIMER.read_volatile() & !MASKED);
        TIMER_COUNT.write_volatile(1);
        result
    }
}

fn non_maskable() {
    if !attempt::faults(device(0), PLACE, 1) {
        STORED.fetch_add(1, Ordering::SeqCst);
    }
    NMIS.fetch_add(1, Ordering::SeqCst);
}

/// Runs rounds with this change until the host has had enough. `prepare` is run before and `check` after each; `faults`
/// is how many faults the change makes by itself.
fn sweep(prepare: impl Fn(), change: impl Fn(), check: impl Fn() -> Verdict, faults: usize) -> Verdict {
    let round = |round| {
        sweep_begin(round);
        change();
        sweep_end(round);
    };
    without_timer(|| sweep_rounds(prepare, round, check, faults))
}

/// As [`sweep`], where a round goes to the places itself at which the host stops it.
fn sweep_rounds(prepare: impl Fn(), body: impl Fn(u32), check: impl Fn() -> Verdict, faults: usize) -> Verdict {
    // SAFETY: the local APIC's registers are mapped at their physical address, this is one of them, and the handler
    // that the interrupts then come to is set first.
    unsafe {
        trap::set_nmi_handler(Some(non_maskable));
        LVT_LINT1.write_volatile(DELIVER_NMI);
    }
    MORE.store(1, Ordering::SeqCst);
    NMIS.store(0, Ordering::SeqCst);
    let more = MORE.as_ptr().addr();
    println!("sweep: begin {:p} end {:p} more {more:#x}", sweep_begin as *const (), sweep_end as *const ());
    let (mut round, mut verdict) = (0, Ok(()));
    while verdict.is_ok() && MORE.load(Ordering::SeqCst) != 0 {
        prepare();
        let before = NMIS.load(Ordering::SeqCst);
        let mut checked = Ok(());
        let seen = watch_by(note_and_open, || {
            body(round);
            checked = check();
        });
        let nmis = NMIS.load(Ordering::SeqCst) - before;
        set(Rights::CLOSED);
        verdict = checked.and_then(|()| {
            same("stores of a handler that went through", STORED.swap(0, Ordering::SeqCst), 0)?;
            same("faults of the thread", seen.len(), faults)
        });
        verdict = verdict.map_err(|why| format!("round {round}, {nmis} NMIs: {why}"));
        round += 1;
    }
    trap::set_nmi_handler(None);
    println!("sweep: {round} rounds, {} NMIs", NMIS.load(Ordering::SeqCst));
    // The host waits for the end of a round; after a failure there is none.
    verdict?;
    holds("there were NMIs", NMIS.load(Ordering::SeqCst) > 0)
}

fn set(rights: Rights) {
    force(|_| rights);
}

/// One change of the register, from a value to another one.
fn change(from: Rights, to: Rights) -> Verdict {
    sweep(|| set(from), || set(to), || register_is("after the change", to), 0)
}

/// A grant with nothing else in it.
fn whole_grant() -> Verdict {
    let lock = device(0).read_lock().map_err(|error| error.to_string())?;
    sweep(|| {}, || lock.write(|_| black_box(())).unwrap(), || register_is("after the grant", Rights::CLOSED), 0)
}

/// The end of an inner grant, inside an outer one of another device.
fn nested_grant() -> Verdict {
    let (first, second) = (device(0), device(1));
    let (first_lock, second_lock) = (first.read_lock(), second.read_lock());
    let (Ok(first_lock), Ok(second_lock)) = (first_lock, second_lock) else { return Err("a device is gone".into()) };
    let body = || {
        second_lock.read(|_| first_lock.write(|_| black_box(())).unwrap());
    };
    sweep(|| set_bits(second, OPEN), body, || register_is("after the grants", only(second, OPEN)), 0)
}

/// A page fault, its handler and its return, in a read grant.
fn fault() -> Verdict {
    let device = device(1);
    let prepare = || set(only(device, WD));
    let body = || store(device, PLACE + 64, 2);
    sweep(prepare, body, || register_is("after the fault", only(device, OPEN)), 1)
}

/// A switch between a thread with these rights and another one with `others`. The sweep ends where the other one goes
/// on.
fn switch(own: Rights, others: Rights) -> Verdict {
    let this = ThreadId::new(task::current_id()).ok_or("no thread runs")?;
    holds("the thread can be kept on its CPU", task::pin(this, Some(0)))?;
    let (stop, failed) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        // It is kept where the thread is that starts it.
        let other = scope.spawn(|| {
            set(others);
            let mut turn = 0;
            while !stop.load(Ordering::SeqCst) {
                sweep_end(turn);
                register_is("of the thread that was switched to", others)
                    .inspect_err(|_| failed.store(true, Ordering::SeqCst))?;
                turn += 1;
                thread::yield_now();
            }
            Ok(())
        });
        let round = |round| {
            sweep_begin(round);
            thread::yield_now();
        };
        let check = || {
            holds("the other thread has found its rights", !failed.load(Ordering::SeqCst))?;
            register_is("of the thread that was switched back to", own)
        };
        let swept = without_timer(|| sweep_rounds(|| set(own), round, check, 0));
        stop.store(true, Ordering::SeqCst);
        let found: Verdict = other.join().map_err(|_| "the other thread panicked".to_owned())?;
        found.and(swept)
    })
}
