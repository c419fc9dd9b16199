//! Who runs next.
//!
//! One queue, first come first served. A thread that was woken by an interrupt runs as soon as the interrupt returns:
//! what waits for devices is short and urgent. The timer interrupt is armed for the earliest timer, and for the end of the
//! time slice only while somebody waits for the CPU: an idle machine has no periodic interrupt.
//!
//! A thread may be interrupted between deciding to wait and blocking, so two rules hold: preemption never takes a thread
//! out of the run queue whatever its state says, and [`block`] does not block a thread that was woken meanwhile.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use intrusive_collections::LinkedList;

use super::thread::{RunAdapter, State, Thread, current, current_ref};
use super::timer;
use crate::arch::{cpu, interrupts, percpu, pks, switch, timer as cpu_timer, trap};
use crate::sync::{IrqLock, Once};
use crate::time;

/// How long a thread runs while others are ready, in nanoseconds.
const TIME_SLICE: u64 = 4_000_000;

struct RunQueue {
    ready: LinkedList<RunAdapter>,
    /// Threads that have ended and whose stacks nobody uses any more.
    dead: LinkedList<RunAdapter>,
}

static QUEUE: IrqLock<RunQueue> =
    IrqLock::new(RunQueue { ready: LinkedList::new(RunAdapter::NEW), dead: LinkedList::new(RunAdapter::NEW) });
/// When the running thread's slice ends, or `u64::MAX` while nobody else is ready.
static SLICE_END: AtomicU64 = AtomicU64::new(u64::MAX);
/// The deadline for which this CPU's timer is armed, or `u64::MAX`.
static ARMED_FOR: AtomicU64 = AtomicU64::new(u64::MAX);
/// The thread that runs when no other is ready.
static IDLE: Once<Arc<Thread>> = Once::new();

/// Why the running thread gives up the CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// It stays ready.
    Yield,
    /// It waits, unless it was woken already.
    Block,
    /// It has ended.
    Exit,
}

/// Makes the caller, on the boot stack, the idle thread: it runs whenever nobody else does.
pub(crate) fn become_idle() -> ! {
    let idle = Thread::new("idle", None).expect("memory for the idle thread at boot");
    let idle = IDLE.call_once(|| idle);
    percpu::this().current.store(Arc::as_ptr(idle).cast_mut(), Ordering::Relaxed);
    interrupts::restore(true);
    loop {
        bury_the_dead();
        interrupts::disable();
        if QUEUE.lock().ready.is_empty() {
            cpu::wait_for_interrupt();
        } else {
            give_up(Reason::Yield);
            interrupts::restore(true);
        }
    }
}

fn is_idle(thread: *const Thread) -> bool {
    IDLE.get().is_some_and(|idle| Arc::as_ptr(idle) == thread)
}

/// Puts a thread at the end of the run queue.
pub(super) fn ready(thread: &Arc<Thread>) {
    let mut queue = QUEUE.lock();
    if thread.run_link.is_linked() {
        return;
    }
    queue.ready.push_back(thread.clone());
    if SLICE_END.load(Ordering::Relaxed) == u64::MAX {
        SLICE_END.store(time::now_ns() + TIME_SLICE, Ordering::Relaxed);
    }
    drop(queue);
    if trap::in_trap() {
        percpu::this().reschedule.store(true, Ordering::Relaxed);
    } else {
        arm_cpu_timer();
    }
}

/// Arms this CPU's timer for whatever comes first, if it is not armed for something earlier.
pub(super) fn arm_cpu_timer() {
    let enabled = interrupts::disable();
    let next = timer::earliest().min(SLICE_END.load(Ordering::Relaxed));
    if next < ARMED_FOR.load(Ordering::Relaxed) {
        ARMED_FOR.store(next, Ordering::Relaxed);
        cpu_timer::arm(next);
    }
    interrupts::restore(enabled);
}

/// The timer's interrupt handler.
pub(crate) fn timer_interrupt() {
    ARMED_FOR.store(u64::MAX, Ordering::Relaxed);
    timer::run_expired();
    if SLICE_END.load(Ordering::Relaxed) <= time::now_ns() {
        percpu::this().reschedule.store(true, Ordering::Relaxed);
    }
    // Not before the choice of the next thread, which sets the next slice's end.
    if !percpu::this().reschedule.load(Ordering::Relaxed) {
        arm_cpu_timer();
    }
}

/// On the way out of an interrupt: lets another thread run if it is time to.
pub(crate) fn preempt() {
    let cpu = percpu::this();
    if current_ref().is_some() && !trap::in_trap() && cpu.reschedule.swap(false, Ordering::Relaxed) {
        give_up(Reason::Yield);
    }
}

/// Lets the other ready threads run first.
pub fn yield_now() {
    give_up(Reason::Yield);
}

/// Waits until somebody wakes this thread, whose state says that it waits; returns at once if that has happened.
pub(super) fn block() {
    give_up(Reason::Block);
}

/// Sleeps until `deadline`, in nanoseconds since boot.
pub fn sleep_until(deadline: u64) {
    let thread = current();
    while time::now_ns() < deadline {
        thread.set(State::Waiting);
        thread.timer.arm(deadline);
        block();
    }
    thread.timer.cancel();
}

/// Leaves a thread that has ended for good.
pub(super) fn leave(thread: Arc<Thread>) -> ! {
    interrupts::disable();
    QUEUE.lock().dead.push_back(thread);
    give_up(Reason::Exit);
    unreachable!("a thread that has ended does not run again")
}

/// Frees the stacks of threads that have ended.
pub(super) fn bury_the_dead() {
    loop {
        let dead = QUEUE.lock().dead.pop_front();
        if dead.is_none() {
            return;
        }
    }
}

/// Gives the CPU to the next ready thread.
fn give_up(reason: Reason) {
    let enabled = interrupts::disable();
    let cpu = percpu::this();
    let previous = cpu.current.load(Ordering::Relaxed).cast_const();
    let next = choose(previous, reason);
    arm_cpu_timer();
    if let Some(next) = next
        && next != previous
    {
        // SAFETY: the running thread and the chosen one are alive: all threads are kept in a table until they end, and
        // then in the list of the dead, which is emptied by others; the idle thread is static. Interrupts are disabled and
        // neither is in a queue that another CPU serves, so `saved` is ours.
        unsafe {
            let (from, to) = (&mut *(*previous).saved.get(), &*(*next).saved.get());
            from.rights = pks::save();
            cpu.current.store(next.cast_mut(), Ordering::Relaxed);
            cpu::set_fs_base((*next).thread_pointer());
            pks::load(to.rights);
            switch::switch(&raw mut from.stack_pointer, to.stack_pointer);
        }
    }
    interrupts::restore(enabled);
}

/// Updates the run queue for the running thread and takes the next one from it; `None` if the running one goes on.
fn choose(previous: *const Thread, reason: Reason) -> Option<*const Thread> {
    let mut queue = QUEUE.lock();
    // SAFETY: the running thread is alive (see `give_up`).
    let running = unsafe { &*previous };
    match reason {
        Reason::Yield => {
            if !is_idle(previous) && !running.run_link.is_linked() {
                queue.ready.push_back(current());
            }
        }
        Reason::Block => {
            if !running.is(State::Waiting) {
                if running.run_link.is_linked() {
                    // SAFETY: a thread that has not ended is linked nowhere but in `ready`, whose lock is held.
                    unsafe { queue.ready.cursor_mut_from_ptr(running) }.remove();
                }
                return None;
            }
        }
        Reason::Exit => {}
    }
    let next = queue.ready.pop_front().or_else(|| IDLE.get().cloned())?;
    let slice_end = if queue.ready.is_empty() { u64::MAX } else { time::now_ns() + TIME_SLICE };
    SLICE_END.store(slice_end, Ordering::Relaxed);
    percpu::this().reschedule.store(false, Ordering::Relaxed);
    Some(Arc::as_ptr(&next))
}
