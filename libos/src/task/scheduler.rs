//! Who runs next, on which CPU.
//!
//! One queue for all CPUs, first come first served: a ready thread runs on whichever CPU comes for it, and takes its rights,
//! its vector state and its thread pointer along. A thread that was woken by an interrupt runs as soon as the interrupt
//! returns: what waits for devices is short and urgent. A CPU's timer is armed for the earliest timer, and for the end of the
//! time slice only while somebody waits for a CPU: an idle machine has no periodic interrupt.
//!
//! Three rules make this right:
//!
//! - **The queue's lock is held across the switch** and released by the thread that was switched to, and a thread that runs
//!   is not queued by whoever wakes it. So whoever takes a thread from the queue finds its state saved.
//! - **Preemption never takes a thread out of the run queue** whatever its state says, since it may be interrupted between
//!   deciding to wait and blocking.
//! - **[`block`] does not block a thread that was woken meanwhile.**

use alloc::sync::Arc;
use core::mem;
use core::sync::atomic::Ordering;

use intrusive_collections::LinkedList;

use super::thread::{RunAdapter, State, Thread, current, current_ref};
use super::timer;
use crate::arch::percpu::PerCpu;
use crate::arch::{cpu, interrupts, key_rights, percpu, switch, timer as cpu_timer, trap};
use crate::sync::IrqLock;
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

/// Makes the caller, on the stack on which its CPU started, that CPU's idle thread: it runs whenever nobody else does.
pub(crate) fn become_idle() -> ! {
    let idle = Thread::new("idle", None).expect("memory for an idle thread at boot");
    let cpu = percpu::this();
    let idle = Arc::into_raw(idle).cast_mut();
    cpu.idle.store(idle, Ordering::Relaxed);
    cpu.current.store(idle, Ordering::Relaxed);
    percpu::set_online();
    interrupts::restore(true);
    loop {
        bury_the_dead();
        interrupts::disable();
        // Said before looking: whoever makes a thread ready looks after queueing it.
        cpu.is_idle.store(true, Ordering::SeqCst);
        if QUEUE.lock().ready.is_empty() {
            cpu::wait_for_interrupt();
            cpu.is_idle.store(false, Ordering::SeqCst);
        } else {
            cpu.is_idle.store(false, Ordering::SeqCst);
            give_up(Reason::Yield);
            interrupts::restore(true);
        }
    }
}

/// Puts a thread at the end of the run queue, and finds a CPU for it.
pub(super) fn ready(thread: &Arc<Thread>) {
    let mut queue = QUEUE.lock();
    // One that still runs has not blocked yet and will not, since its state says that it is ready.
    if thread.run_link.is_linked() || thread.running.load(Ordering::Relaxed) {
        return;
    }
    queue.ready.push_back(thread.clone());
    // The lock keeps interrupts disabled, so this CPU stays this CPU.
    let this = percpu::this();
    let in_trap = this.trap_depth.load(Ordering::Relaxed) != 0;
    if in_trap && this.is_idle.load(Ordering::SeqCst) {
        this.reschedule.store(true, Ordering::Relaxed);
        return;
    }
    let is_idle = |cpu: &&PerCpu| cpu.id != this.id && cpu.is_idle.swap(false, Ordering::SeqCst);
    if let Some(idle) = percpu::online().find(is_idle) {
        interrupts::ask_to_reschedule(idle);
        return;
    }
    if in_trap {
        this.reschedule.store(true, Ordering::Relaxed);
        return;
    }
    if this.slice_end.load(Ordering::Relaxed) == u64::MAX {
        this.slice_end.store(time::now_ns() + TIME_SLICE, Ordering::Relaxed);
    }
    drop(queue);
    arm_cpu_timer();
}

/// Arms this CPU's timer for whatever comes first, if it is not armed for something earlier.
pub(super) fn arm_cpu_timer() {
    let enabled = interrupts::disable();
    let cpu = percpu::this();
    let next = timer::earliest().min(cpu.slice_end.load(Ordering::Relaxed));
    if next < cpu.armed_for.load(Ordering::Relaxed) {
        cpu.armed_for.store(next, Ordering::Relaxed);
        cpu_timer::arm(next);
    }
    interrupts::restore(enabled);
}

/// The timer's interrupt handler.
pub(crate) fn timer_interrupt() {
    let cpu = percpu::this();
    cpu.armed_for.store(u64::MAX, Ordering::Relaxed);
    timer::run_expired();
    if cpu.slice_end.load(Ordering::Relaxed) <= time::now_ns() {
        cpu.reschedule.store(true, Ordering::Relaxed);
    }
    // Otherwise the choice of the next thread, which sets the next slice's end, arms the timer.
    if !cpu.reschedule.load(Ordering::Relaxed) {
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
    // `choose` takes this count over.
    let _ = Arc::into_raw(thread);
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
    let mut queue = QUEUE.lock();
    let next = choose(&mut queue, cpu, previous, reason).filter(|&next| next != previous);
    match next {
        None => {
            drop(queue);
            arm_cpu_timer();
        }
        Some(next) => {
            // Released by `after_switch`, on the other side.
            mem::forget(queue);
            // SAFETY: the running thread and the chosen one are alive: all threads are kept in a table until they end, and
            // then in the list of the dead, which is emptied under the queue's lock and by others; idle threads are never
            // freed. Interrupts are disabled and the queue's lock is held, so both `saved` are ours.
            unsafe {
                let (from, to) = (&mut *(*previous).saved.get(), &*(*next).saved.get());
                from.rights = key_rights::current();
                (*previous).running.store(false, Ordering::Relaxed);
                (*next).running.store(true, Ordering::Relaxed);
                cpu.current.store(next.cast_mut(), Ordering::Relaxed);
                cpu::set_fs_base((*next).thread_pointer());
                key_rights::load(to.rights);
                switch::switch(&raw mut from.stack_pointer, to.stack_pointer);
                // This may be another CPU than before.
                after_switch();
            }
        }
    }
    interrupts::restore(enabled);
}

/// Releases the queue's lock for the thread that was left, and arms the timer for the new one's slice.
///
/// # Safety
/// Called once after each switch, by the thread that was switched to, with interrupts disabled.
pub(super) unsafe fn after_switch() {
    // SAFETY: `give_up` locked the queue before the switch and forgot the guard.
    unsafe { QUEUE.force_unlock() };
    arm_cpu_timer();
}

/// Updates the run queue for the running thread and takes the next one from it; `None` if the running one goes on.
fn choose(queue: &mut RunQueue, cpu: &PerCpu, previous: *const Thread, reason: Reason) -> Option<*const Thread> {
    // SAFETY: the running thread is alive (see `give_up`).
    let running = unsafe { &*previous };
    let idle = cpu.idle.load(Ordering::Relaxed).cast_const();
    match reason {
        Reason::Yield => {
            if previous != idle {
                queue.ready.push_back(current());
            }
        }
        Reason::Block => {
            if !running.is(State::Waiting) {
                return None;
            }
        }
        // It is in use until the switch is over, but the list is emptied only by who holds the queue's lock after that.
        // SAFETY: `leave` made the thread a count for the list.
        Reason::Exit => queue.dead.push_back(unsafe { Arc::from_raw(previous) }),
    }
    // Whoever is taken from the queue is kept alive by the table of threads.
    let next = queue.ready.pop_front().map_or(idle, |thread| Arc::as_ptr(&thread));
    let slice_end = if queue.ready.is_empty() { u64::MAX } else { time::now_ns() + TIME_SLICE };
    cpu.slice_end.store(slice_end, Ordering::Relaxed);
    cpu.reschedule.store(false, Ordering::Relaxed);
    Some(next)
}
