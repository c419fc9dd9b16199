//! Who runs next, on which CPU.
//!
//! One queue for all CPUs (see [`super::queue`] for its order): a ready thread runs on whichever CPU comes for it, and
//! takes its rights, its vector state and its thread pointer along. Only threads that are pinned to a CPU wait in a
//! list of that CPU's, which takes from both in turn. A thread that was woken by an interrupt runs as soon as the
//! interrupt returns, unless a CPU that waits can take it: what waits for devices is short and urgent. A CPU's timer is
//! armed for the earliest timer, and for the end of the time slice only while somebody waits for a CPU: an idle machine
//! has no periodic interrupt.
//!
//! Making a CPU leave its halt is dear, most of all where CPUs are virtual. So no more CPUs are called than threads
//! wait: a thread that is woken while one is on its way is left to that one, or to whoever gives up a CPU before it
//! arrives. A CPU that takes a thread calls the next CPU if more are waiting.
//!
//! Three rules make this right:
//!
//! - **The queue's lock is held across the switch** and released by the thread that was switched to, and a thread that
//!   runs is not queued by whoever wakes it. So whoever takes a thread from the queue finds its state saved.
//! - **Preemption never takes a thread out of the run queue** whatever its state says, since it may be interrupted
//!   between deciding to wait and blocking.
//! - **[`block`] does not block a thread that was woken meanwhile.**

use alloc::sync::Arc;
use core::sync::atomic::{AtomicPtr, Ordering};
use core::time::Duration;
use core::{mem, ptr};

use intrusive_collections::LinkedList;

use super::queue::{Class, ReadyQueue};
use super::statistics::WORK;
use super::stuck;
use super::thread::{Role, RunAdapter, Thread, ThreadId, ThreadState, current, current_ref, find};
use super::timer;
use crate::arch::percpu::{MAX_CPUS, PerCpu};
use crate::arch::{cpu, cpu_local, interrupts, key_rights, percpu, shootdown, switch, timer as cpu_timer};
use crate::instant::{AtomicInstant, Instant};
use crate::keys::Rights;
use crate::sync::{IrqLock, class, might_sleep};
use crate::time;
use crate::trace::{
    self,
    layout::{IDLE, kind, why},
};

/// How long a thread runs while others are ready.
const TIME_SLICE: Duration = Duration::from_millis(4);

/// What the scheduler keeps for each CPU.
struct Local {
    /// The thread that runs there when no other is ready.
    idle: AtomicPtr<Thread>,
    /// When the running thread's slice ends: never, while nobody waits for its CPU.
    slice_end: AtomicInstant,
    /// The deadline for which the timer is armed.
    armed_for: AtomicInstant,
}

cpu_local! {
    static LOCAL: Local = Local {
        idle: AtomicPtr::new(ptr::null_mut()),
        slice_end: AtomicInstant::new(Instant::NEVER),
        armed_for: AtomicInstant::new(Instant::NEVER),
    };
}

struct RunQueue {
    /// Threads that any CPU may take.
    shared: ReadyQueue<RunAdapter>,
    /// Threads that are pinned, by CPU, first come first served.
    pinned: [LinkedList<RunAdapter>; MAX_CPUS],
    /// The CPUs whose next thread is a shared one even though a pinned one waits; a bit each.
    shared_next: u64,
    /// Threads that have ended and whose stacks nobody uses any more.
    exited: LinkedList<RunAdapter>,
    /// The CPUs that have found nothing to run and wait for an interrupt; a bit each.
    idle: u64,
    /// The CPUs that were called and have not looked at the queue since; a bit each.
    called: u64,
}

static QUEUE: IrqLock<RunQueue, class::RunQueue> = IrqLock::new(RunQueue {
    shared: ReadyQueue::new(RunAdapter::NEW, RunAdapter::NEW),
    pinned: [const { LinkedList::new(RunAdapter::NEW) }; MAX_CPUS],
    shared_next: 0,
    exited: LinkedList::new(RunAdapter::NEW),
    idle: 0,
    called: 0,
});

impl RunQueue {
    /// Whether this CPU has something to run.
    fn has_work(&self, cpu: &PerCpu) -> bool {
        !self.shared.is_empty() || !self.pinned[cpu.id as usize].is_empty()
    }

    /// Puts a thread where it waits for its CPU, or for any. Calls its CPU if that is not this one; whether the thread
    /// is left for this CPU or any other to take.
    fn enqueue(&mut self, thread: Arc<Thread>, class: Class, this: &PerCpu) -> bool {
        match thread.home() {
            None => self.shared.push(class, thread, time::now()),
            Some(home) => {
                self.pinned[home as usize].push_back(thread);
                if home != this.id {
                    self.call(home);
                    return false;
                }
            }
        }
        true
    }

    /// Takes the thread that this CPU shall run next.
    fn dequeue(&mut self, cpu: &PerCpu) -> Option<Arc<Thread>> {
        let bit = 1 << cpu.id;
        loop {
            let own = &mut self.pinned[cpu.id as usize];
            let thread = if own.is_empty() || (self.shared_next & bit != 0 && !self.shared.is_empty()) {
                self.shared_next &= !bit;
                self.shared.pop(time::now())?
            } else {
                self.shared_next |= bit;
                own.pop_front()?
            };
            match thread.home() {
                // It was pinned elsewhere while it waited here.
                Some(home) if home != cpu.id => drop(self.enqueue(thread, Class::Woken, cpu)),
                _ => return Some(thread),
            }
        }
    }

    /// Calls another CPU for whoever waits for any, unless enough are on their way; whether one is coming. The CPU
    /// `preferred` has the thread's data in its caches.
    fn call_for_shared(&mut self, preferred: u32) -> bool {
        let enough = self.shared.len() <= self.called.count_ones() as usize;
        if self.idle == 0 || enough {
            return enough;
        }
        let is_idle = preferred < u64::BITS && self.idle & 1 << preferred != 0;
        self.call(if is_idle { preferred } else { self.idle.trailing_zeros() });
        true
    }

    /// Makes another CPU look at the queue.
    fn call(&mut self, cpu: u32) {
        let bit = 1 << cpu;
        self.idle &= !bit;
        if self.called & bit == 0 {
            self.called |= bit;
            interrupts::ask_to_reschedule(percpu::get(cpu));
        }
    }

    /// Notes that this CPU looks at the queue.
    fn arrive(&mut self, cpu: &PerCpu) {
        let bit = 1 << cpu.id;
        self.idle &= !bit;
        self.called &= !bit;
    }
}

/// Why the running thread gives up the CPU. What is in brackets is for traces alone: see [`why`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum SwitchReason {
    /// It stays ready.
    Yield(u8),
    /// It waits, unless it was woken already.
    Block(u8),
    /// It has ended.
    Exit,
}

/// Makes the caller, on the stack on which its CPU started, that CPU's idle thread: it runs whenever nobody else does.
pub(crate) fn become_idle() -> ! {
    let idle = Thread::new(IDLE, Role::Library, None).expect("memory for an idle thread at boot");
    let cpu = percpu::this();
    let idle = Arc::into_raw(idle).cast_mut();
    LOCAL.on(cpu).idle.store(idle, Ordering::Relaxed);
    cpu.current.store(idle.cast(), Ordering::Relaxed);
    percpu::set_online();
    interrupts::restore(true);
    loop {
        reap_exited();
        interrupts::disable();
        let mut queue = QUEUE.lock();
        queue.arrive(cpu);
        if queue.has_work(cpu) {
            drop(queue);
            schedule(SwitchReason::Yield(why::YIELDED));
            interrupts::restore(true);
        } else {
            // Whoever makes a thread ready takes the lock and sees this. Interrupts are disabled until the CPU waits
            // for them, so the call is not missed.
            queue.idle |= 1 << cpu.id;
            let all_rest = queue.idle.count_ones() as usize == percpu::online_count();
            drop(queue);
            if all_rest && stuck::is_news() {
                interrupts::restore(true);
                stuck::tell();
                continue;
            }
            shootdown::enter_lazy();
            cpu::wait_for_interrupt();
        }
    }
}

/// Puts a thread that was woken, or is new, into the run queue, and finds a CPU for it.
pub(super) fn make_runnable(thread: &Arc<Thread>) {
    let mut queue = QUEUE.lock();
    // One that still runs has not blocked yet and will not, since its state says that it is ready.
    if thread.run_link.is_linked() || thread.running.load(Ordering::Relaxed) {
        return;
    }
    trace::record(kind::WAKE, 0, thread.id().get().into());
    // The lock keeps interrupts disabled, so this CPU stays this CPU.
    let this = percpu::this();
    if !queue.enqueue(thread.clone(), Class::Woken, this) {
        return;
    }
    let in_trap = this.trap_depth.load(Ordering::Relaxed) != 0;
    let chooses_soon = if in_trap {
        queue.idle & 1 << this.id != 0
    } else {
        // A thread that ends wakes whoever waits for that, and leaves the CPU.
        current_ref().is_some_and(|running| running.is(ThreadState::Finished))
    };
    if chooses_soon || (thread.home().is_none() && queue.call_for_shared(thread.cpu.load(Ordering::Relaxed))) {
        this.reschedule.fetch_or(chooses_soon && in_trap, Ordering::Relaxed);
        return;
    }
    if in_trap {
        this.reschedule.store(true, Ordering::Relaxed);
        return;
    }
    let local = LOCAL.on(this);
    if local.slice_end.load(Ordering::Relaxed) == Instant::NEVER {
        local.slice_end.store(time::now() + TIME_SLICE, Ordering::Relaxed);
    }
    drop(queue);
    arm_cpu_timer();
}

/// Keeps a thread on one CPU from now on, or lets it run on any again; whether there are such a thread and such a CPU.
/// The running thread is there when this returns; another one moves as soon as it can. A thread that a pinned one
/// starts is pinned too.
pub fn pin(thread: ThreadId, cpu: Option<u32>) -> bool {
    if cpu.is_some_and(|cpu| cpu as usize >= MAX_CPUS || !percpu::get(cpu).online.load(Ordering::Acquire)) {
        return false;
    }
    let Some(thread) = find(thread) else { return false };
    {
        let mut queue = QUEUE.lock();
        thread.set_home(cpu);
        let runs_on = thread.cpu.load(Ordering::Relaxed);
        let runs_elsewhere = thread.running.load(Ordering::Relaxed) && runs_on != percpu::this().id;
        // Where it runs it is preempted, and queued for its CPU. If it waits in the queue, whoever takes it looks
        // again.
        if runs_elsewhere && cpu.is_some_and(|cpu| cpu != runs_on) {
            queue.call(runs_on);
        }
    }
    if thread.id() == current().id() && cpu.is_some() {
        yield_now();
    }
    true
}

/// The CPU on which a thread runs, or ran last; `None` if it has not run yet or has ended.
pub fn cpu_of(thread: ThreadId) -> Option<u32> {
    let cpu = find(thread)?.cpu.load(Ordering::Relaxed);
    ((cpu as usize) < MAX_CPUS).then_some(cpu)
}

/// Arms this CPU's timer for whatever comes first, if it is not armed for something earlier.
pub(super) fn arm_cpu_timer() {
    let enabled = interrupts::disable();
    arm_timer_of(LOCAL.here());
    interrupts::restore(enabled);
}

/// As [`arm_cpu_timer`], of the CPU that runs this and that this is of. Interrupts are disabled.
fn arm_timer_of(local: &Local) {
    let next = timer::earliest().min(local.slice_end.load(Ordering::Relaxed));
    if next < local.armed_for.load(Ordering::Relaxed) {
        local.armed_for.store(next, Ordering::Relaxed);
        cpu_timer::arm(next);
    }
}

/// The timer's interrupt handler.
pub(crate) fn timer_interrupt() {
    let cpu = percpu::this();
    let local = LOCAL.on(cpu);
    local.armed_for.store(Instant::NEVER, Ordering::Relaxed);
    timer::run_expired();
    if local.slice_end.load(Ordering::Relaxed) <= time::now() {
        cpu.reschedule.store(true, Ordering::Relaxed);
    }
    // Otherwise the choice of the next thread, which sets the next slice's end, arms the timer.
    if !cpu.reschedule.load(Ordering::Relaxed) {
        arm_cpu_timer();
    }
}

/// On the way out of an interrupt that asked for it: lets another thread run. The running one was interrupted with
/// these rights.
pub(crate) fn preempt(rights: Rights) {
    if let Some(thread) = current_ref() {
        percpu::this().reschedule.store(false, Ordering::Relaxed);
        thread.note_interrupted(rights);
        schedule(SwitchReason::Yield(why::PREEMPTED));
        thread.note_interrupted(Rights::CLOSED);
    }
}

/// Lets the other ready threads run first.
#[track_caller]
pub fn yield_now() {
    might_sleep();
    schedule(SwitchReason::Yield(why::YIELDED));
}

/// Waits until somebody wakes this thread, whose state says that it waits; returns at once if that has happened. `why`
/// is for traces.
pub(super) fn block(why: u8) {
    schedule(SwitchReason::Block(why));
}

/// Sleeps until `deadline`.
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    might_sleep();
    let thread = current();
    while time::now() < deadline {
        thread.set(ThreadState::Waiting);
        thread.timer.arm(deadline);
        block(why::SLEEP);
    }
    thread.timer.cancel();
}

/// Leaves a thread that has ended for good.
pub(super) fn exit_current(thread: Arc<Thread>) -> ! {
    interrupts::disable();
    // `pick_next` takes this count over.
    let _ = Arc::into_raw(thread);
    schedule(SwitchReason::Exit);
    unreachable!("a thread that has ended does not run again")
}

/// Frees the stacks of threads that have ended.
pub(crate) fn reap_exited() {
    loop {
        let exited = QUEUE.lock().exited.pop_front();
        if exited.is_none() {
            return;
        }
    }
}

/// Gives the CPU to the next ready thread.
fn schedule(reason: SwitchReason) {
    let enabled = interrupts::disable();
    let cpu = percpu::this();
    let work = WORK.on(cpu);
    let previous = cpu.current.load(Ordering::Relaxed).cast::<Thread>().cast_const();
    let mut queue = QUEUE.lock();
    let next = pick_next(&mut queue, cpu, previous, reason).filter(|&next| next != previous);
    match next {
        None => {
            drop(queue);
            arm_cpu_timer();
        }
        Some(next) => {
            // Released by `after_switch`, on the other side.
            mem::forget(queue);
            // SAFETY: the running thread and the chosen one are alive: all threads are kept in a table until they end,
            // and then in the list of the exited, which is emptied under the queue's lock and by others; idle
            // threads are never freed. Interrupts are disabled and the queue's lock is held, so both
            // `saved` are ours.
            unsafe {
                let (from, to) = (&mut *(*previous).saved.get(), &*(*next).saved.get());
                from.rights = key_rights::given();
                (*previous).rights_left.store(from.rights.bits(), Ordering::Relaxed);
                (*next).rights_left.store(Rights::CLOSED.bits(), Ordering::Relaxed);
                (*previous).running.store(false, Ordering::Relaxed);
                (*next).running.store(true, Ordering::Relaxed);
                if (*next).cpu.swap(cpu.id, Ordering::Relaxed) != cpu.id {
                    work.migrations.add(1);
                }
                work.switches.add(1);
                let why = match reason {
                    SwitchReason::Yield(why) | SwitchReason::Block(why) => why,
                    SwitchReason::Exit => why::ENDED,
                };
                if trace::is_on() {
                    trace_switch(why, (*next).id().get());
                }
                cpu.current.store(next.cast_mut().cast(), Ordering::Relaxed);
                cpu::set_thread_pointer((*next).thread_pointer());
                key_rights::load(to.rights);
                switch::switch(&raw mut from.stack_pointer, to.stack_pointer);
                // This may be another CPU than before.
                after_switch();
            }
        }
    }
    interrupts::restore(enabled);
}

/// Records that the running thread is left for `next`. The trace has it under the name that the program gave it, if it
/// did: `std` tells its names to nobody, and knows them only once the thread runs.
#[cold]
fn trace_switch(why: u8, next: u32) {
    if let Some(thread) = current_ref() {
        thread.with_given_name(|name| {
            if name != IDLE {
                trace::name_thread(thread.id().get(), name);
            }
        });
    }
    trace::record(kind::SWITCH, why, next.into());
}

/// Releases the queue's lock for the thread that was left, and arms the timer for the new one's slice.
///
/// # Safety
/// Called once after each switch, by the thread that was switched to, with interrupts disabled.
pub(super) unsafe fn after_switch() {
    // SAFETY: `schedule` locked the queue before the switch and forgot the guard.
    unsafe { QUEUE.force_unlock() };
    arm_timer_of(LOCAL.here());
}

/// Updates the run queue for the running thread and takes the next one from it; `None` if the running one goes on.
fn pick_next(
    queue: &mut RunQueue,
    cpu: &PerCpu,
    previous: *const Thread,
    reason: SwitchReason,
) -> Option<*const Thread> {
    // SAFETY: the running thread is alive (see `schedule`).
    let running = unsafe { &*previous };
    let local = LOCAL.on(cpu);
    let idle = local.idle.load(Ordering::Relaxed).cast_const();
    queue.arrive(cpu);
    match reason {
        SwitchReason::Yield(_) => {
            if previous != idle {
                queue.enqueue(current(), Class::Preempted, cpu);
            }
        }
        SwitchReason::Block(_) => {
            if !running.is(ThreadState::Waiting) {
                return None;
            }
        }
        // It is in use until the switch is over, but the list is emptied only by who holds the queue's lock after that.
        // SAFETY: `exit_current` made the thread a count for the list.
        SwitchReason::Exit => queue.exited.push_back(unsafe { Arc::from_raw(previous) }),
    }
    // Whoever is taken from the queue is kept alive by the table of threads.
    let next = queue.dequeue(cpu).map_or(idle, |thread| Arc::as_ptr(&thread));
    queue.call_for_shared(u32::MAX);
    if (previous == idle) != (next == idle) {
        WORK.on(cpu).set_busy(next != idle, time::now());
    }
    let slice_end = if queue.has_work(cpu) { time::now() + TIME_SLICE } else { Instant::NEVER };
    local.slice_end.store(slice_end, Ordering::Relaxed);
    cpu.reschedule.store(false, Ordering::Relaxed);
    Some(next)
}
