//! What a thread is, which there are, and which one runs.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::cell::UnsafeCell;
use core::fmt;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use intrusive_collections::{LinkedListAtomicLink, intrusive_adapter};

use super::scheduler;
use super::stuck::Waiting;
use super::timer::Timer;
use super::tls::Tls;
use super::wait::WaitQueue;
use crate::addr::VirtAddr;
use crate::arch::{ThreadHead, percpu, thread_id};
use crate::keys::{Access, Key, Rights};
use crate::mm::{Stack, StackError};
use crate::sync::{IrqLock, class};
use crate::units::Bytes;

/// A thread's identifier, never reused.
pub type ThreadId = NonZeroU32;

/// Whether a thread wants to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ThreadState {
    /// It runs or is in the run queue.
    Ready,
    /// It is about to wait, or waits, for somebody to wake it.
    Waiting,
    /// Its function has returned.
    Finished,
}

/// Whose a thread is, which decides what its end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The program's first thread: its end is the program's.
    Main,
    /// Another one of the program's.
    Program,
    /// One of the library's own, without which the machine does not work.
    Library,
}

/// What a thread keeps while it does not run. Only the scheduler touches it, with interrupts disabled.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) stack_pointer: u64,
    pub(super) rights: Rights,
}

/// In place of a CPU's number: none.
const NO_CPU: u32 = u32::MAX;

/// A thread.
#[derive(Debug)]
#[repr(C)]
pub struct Thread {
    /// First, so that whoever has its address has the thread's.
    head: ThreadHead,
    name: &'static str,
    pub(super) role: Role,
    pub(super) stack: Option<Stack>,
    tls: Tls,
    pub(super) saved: UnsafeCell<Saved>,
    state: AtomicU8,
    /// Whether a CPU runs it. Changes only under the run queue's lock.
    pub(super) running: AtomicBool,
    /// The CPU on which it runs, or ran last; [`NO_CPU`] before. Changes only under the run queue's lock.
    pub(super) cpu: AtomicU32,
    /// The CPU to which it is pinned, or [`NO_CPU`]. Changes only under the run queue's lock.
    home: AtomicU32,
    /// In the run queue, or after its end in the list of the exited.
    pub(super) run_link: LinkedListAtomicLink,
    /// In the wait queue or futex bucket that it waits in.
    pub(super) wait_link: LinkedListAtomicLink,
    /// The futex that it waits for.
    pub(super) futex: AtomicUsize,
    /// Wakes it when a wait has lasted long enough.
    pub(super) timer: Timer,
    /// Who waits for its end.
    pub(super) joiners: WaitQueue,
    /// For checks: the rights that it gave up the CPU with, and those of what an interrupt took the CPU from. Closed
    /// while it runs.
    pub(super) rights_left: AtomicU32,
    rights_interrupted: AtomicU32,
    /// How many things this thread holds that others wait for and that only it can give back: see
    /// [`NoKill`](super::NoKill).
    pub(super) no_kill_depth: AtomicU32,
    /// What it waits for without a deadline.
    pub(super) waiting: Waiting,
}

// SAFETY: `saved` is the scheduler's, which touches it only with interrupts disabled and only while the thread is
// either running on that CPU or in no queue; everything else is `Sync` by itself.
unsafe impl Sync for Thread {}
// SAFETY: as for `Sync`; nothing in it belongs to a CPU.
unsafe impl Send for Thread {}

intrusive_adapter!(pub(super) RunAdapter = Arc<Thread>: Thread { run_link => LinkedListAtomicLink });
intrusive_adapter!(pub(super) WaitAdapter = Arc<Thread>: Thread { wait_link => LinkedListAtomicLink });

/// Why no thread could be started: memory is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpawnError;

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no memory is left for a thread")
    }
}

impl From<StackError> for SpawnError {
    fn from(_: StackError) -> Self {
        Self
    }
}

/// Every thread that has not ended.
static THREADS: IrqLock<BTreeMap<ThreadId, Arc<Thread>>, class::Threads> = IrqLock::new(BTreeMap::new());
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

impl Thread {
    pub(super) fn new(name: &'static str, role: Role, stack: Option<Stack>) -> Result<Arc<Self>, SpawnError> {
        let id = ThreadId::new(NEXT_ID.fetch_add(1, Ordering::Relaxed)).ok_or(SpawnError)?;
        let head = ThreadHead::new(id).ok_or(SpawnError)?;
        let tls = Tls::new().ok_or(SpawnError)?;
        crate::trace::name_thread(id.get(), name);
        Ok(Arc::new_cyclic(|this: &Weak<Self>| Self {
            head,
            name,
            role,
            stack,
            tls,
            saved: UnsafeCell::new(Saved { stack_pointer: 0, rights: Rights::CLOSED }),
            state: AtomicU8::new(ThreadState::Ready as u8),
            running: AtomicBool::new(false),
            cpu: AtomicU32::new(NO_CPU),
            home: AtomicU32::new(NO_CPU),
            run_link: LinkedListAtomicLink::new(),
            wait_link: LinkedListAtomicLink::new(),
            futex: AtomicUsize::new(0),
            timer: Timer::new(wake_by_timer, this.as_ptr().addr()),
            joiners: WaitQueue::new(),
            rights_left: AtomicU32::new(Rights::CLOSED.bits()),
            rights_interrupted: AtomicU32::new(Rights::CLOSED.bits()),
            no_kill_depth: AtomicU32::new(0),
            waiting: Waiting::new(),
        }))
    }

    /// The thread's identifier.
    pub fn id(&self) -> ThreadId {
        self.head.id()
    }

    /// The name that this library gave the thread; see [`with_name`] for the program's.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it is one of the program's.
    pub(super) fn is_programs(&self) -> bool {
        self.role != Role::Library
    }

    /// The CPU to which it is pinned.
    pub(super) fn home(&self) -> Option<u32> {
        let home = self.home.load(Ordering::Relaxed);
        (home != NO_CPU).then_some(home)
    }

    /// Pins it to a CPU, or to none. The caller holds the run queue's lock, or nobody else has the thread yet.
    pub(super) fn set_home(&self, cpu: Option<u32>) {
        self.home.store(cpu.unwrap_or(NO_CPU), Ordering::Relaxed);
    }

    /// Says with which rights the thread was interrupted and is about to lose the CPU; closed ones once it has it back.
    pub(super) fn note_interrupted(&self, rights: Rights) {
        self.rights_interrupted.store(rights.bits(), Ordering::Relaxed);
    }

    pub(super) fn thread_pointer(&self) -> u64 {
        self.tls.thread_pointer()
    }

    /// What there is to say of an overflow of this thread's stack, if the address lies in the unmapped space below it.
    pub(crate) fn overflow(&self, address: VirtAddr) -> Option<Overflow> {
        let stack = self.stack.as_ref().filter(|stack| stack.guards(address))?;
        Some(Overflow { size: Bytes(stack.size()), below: Bytes(stack.bottom() - address), role: self.role })
    }

    /// Runs `work` with the name that the program gave this thread, the running one, by `std`, if it did. May be called
    /// wherever [`with_name`] may.
    pub(super) fn with_given_name(&self, work: impl FnOnce(&str)) {
        self.tls.with_std_name(|name| name.map_or((), work));
    }

    pub(super) fn is(&self, state: ThreadState) -> bool {
        self.state.load(Ordering::Acquire) == state as u8
    }

    pub(super) fn set(&self, state: ThreadState) -> bool {
        self.state.swap(state as u8, Ordering::AcqRel) == ThreadState::Waiting as u8
    }

    /// Makes a waiting thread ready; does nothing to one that is.
    pub(super) fn wake(self: &Arc<Self>) {
        if self.set(ThreadState::Ready) {
            scheduler::make_runnable(self);
        }
    }
}

/// An overflow of a thread's stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overflow {
    /// The stack's size.
    pub(crate) size: Bytes,
    /// How far below it the access was.
    pub(crate) below: Bytes,
    role: Role,
}

impl Overflow {
    /// What can be done about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self.role {
            Role::Main => {
                "the main thread's stack has this size always: run what needs more in a thread with std::thread::Builder::stack_size, or \
                 keep less on it"
            }
            Role::Program => {
                "give the thread more by std::thread::Builder::stack_size, or all of them by env.RUST_MIN_STACK=BYTES on the kernel's \
                 command line; or keep less on it"
            }
            Role::Library => "this is a thread of the library's own: please report it",
        }
    }
}

/// The timer of a thread that waits.
fn wake_by_timer(thread: usize) {
    // SAFETY: the argument is the address of the thread that owns the timer; the timer is cancelled before the thread
    // ends, so the thread is alive, and it was made by `Arc::new_cyclic`.
    let thread = unsafe {
        Arc::increment_strong_count(thread as *const Thread);
        Arc::from_raw(thread as *const Thread)
    };
    thread.wake();
}

/// The running thread.
pub(crate) fn current() -> Arc<Thread> {
    let pointer = percpu::current_thread().cast::<Thread>().cast_const();
    // SAFETY: the scheduler keeps the running thread's address there, that of its head too, which came from an `Arc`
    // that `THREADS` (or, for the idle thread, a leak) keeps alive.
    unsafe {
        Arc::increment_strong_count(pointer);
        Arc::from_raw(pointer)
    }
}

/// The running thread, borrowed for as long as the caller runs; `None` before there are threads.
pub(crate) fn current_ref<'a>() -> Option<&'a Thread> {
    // SAFETY: as in `current`; the thread lives as long as it runs this code.
    unsafe { percpu::current_thread().cast::<Thread>().as_ref() }
}

/// A thread that does not run and has rights to this key, for checks.
pub(crate) fn thread_with_rights_to(key: Key) -> Option<ThreadId> {
    let open =
        |rights: &AtomicU32| Rights::from_bits(rights.load(Ordering::Relaxed)).access(key.number()) != Access::Closed;
    let has_rights = |thread: &Arc<Thread>| open(&thread.rights_left) || open(&thread.rights_interrupted);
    THREADS.lock().values().find(|thread| has_rights(thread)).map(|thread| thread.id())
}

/// The name that this library gave the running thread.
pub fn current_name() -> &'static str {
    current_ref().map_or("boot", Thread::name)
}

/// Runs `work` with the name of the running thread: the one that the program gave it by `std`, if it did. May be called
/// by the handlers of exceptions and interrupts too, whatever the thread was doing.
pub(crate) fn with_name<R>(work: impl FnOnce(&str) -> R) -> R {
    match current_ref() {
        None => work("boot"),
        Some(thread) => thread.tls.with_std_name(|name| work(name.unwrap_or(thread.name))),
    }
}

/// The number of the running thread; 0 before there are threads.
pub fn current_id() -> u32 {
    thread_id()
}

/// How many threads have not ended.
pub(crate) fn count() -> usize {
    THREADS.lock().len()
}

/// Shows `see` every thread that has not ended, with its place in the list.
pub(super) fn for_each(mut see: impl FnMut(usize, &Thread)) {
    THREADS.lock().values().enumerate().for_each(|(number, thread)| see(number, thread));
}

/// Puts a new thread among those that have not ended.
pub(super) fn add(thread: Arc<Thread>) {
    THREADS.lock().insert(thread.id(), thread);
}

/// Takes a thread that ends from among them.
pub(super) fn remove(thread: &Thread) {
    THREADS.lock().remove(&thread.id());
}

/// The thread with this identifier, unless it has ended.
pub(super) fn find(id: ThreadId) -> Option<Arc<Thread>> {
    THREADS.lock().get(&id).cloned()
}
