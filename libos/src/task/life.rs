//! How a thread begins, and how it ends.

use alloc::boxed::Box;
use core::mem;

use super::hooks::hooks;
use super::thread::{self, Role, SpawnError, Thread, ThreadId, ThreadState, current, current_ref, find};
use super::{scheduler, stuck};
use crate::arch::{interrupts, switch};
use crate::console;
use crate::mm::{CALL_ROOM, Stack, has_room};

/// The size of the stack of the library's own threads, in bytes.
const KERNEL_STACK: usize = 64 << 10;

/// A new thread's function and its argument, handed over on the heap.
struct Start {
    function: extern "C" fn(usize),
    argument: usize,
}

/// Starts a thread on a stack of its own. It is pinned to a CPU if the running thread is.
pub(crate) fn spawn(
    name: &'static str,
    role: Role,
    function: extern "C" fn(usize),
    argument: usize,
    stack_bytes: usize,
) -> Result<ThreadId, SpawnError> {
    scheduler::reap_exited();
    if !has_room(CALL_ROOM) {
        return Err(SpawnError);
    }
    let stack = Stack::new(stack_bytes.max(KERNEL_STACK))?;
    let top = stack.top();
    let thread = Thread::new(name, role, Some(stack))?;
    thread.set_home(current_ref().and_then(Thread::home));
    let start = Box::new(Start { function, argument });
    // SAFETY: the stack is new, mapped and ends at the aligned `top`; nobody else has the thread yet.
    unsafe {
        (*thread.saved.get()).stack_pointer = switch::prepare(top, begin, Box::into_raw(start).addr());
    }
    let id = thread.id();
    if thread.is_programs() {
        stuck::count_thread(true);
    }
    console::debug(format_args!("thread {id} {name:?} begins"));
    thread::add(thread.clone());
    scheduler::make_runnable(&thread);
    Ok(id)
}

/// Starts one of the library's own threads.
///
/// # Panics
/// If memory is full: these threads are started at boot.
pub fn spawn_kernel(name: &'static str, entry: fn()) -> ThreadId {
    extern "C" fn call(entry: usize) {
        // SAFETY: the argument is the `fn()` that was cast below.
        let entry: fn() = unsafe { mem::transmute(entry) };
        entry();
    }
    spawn(name, Role::Library, call, entry as usize, KERNEL_STACK).expect("memory for a thread at boot")
}

/// The first function on a new stack; interrupts are still disabled from the switch.
extern "C" fn begin(start: usize) -> ! {
    // SAFETY: this thread was just switched to for the first time.
    unsafe { scheduler::after_switch() };
    interrupts::restore(true);
    // SAFETY: `spawn` made the box and gave its address to this thread alone.
    let start = unsafe { Box::from_raw(start as *mut Start) };
    let Start { function, argument } = *start;
    drop(start);
    function(argument);
    exit()
}

/// Ends the running thread.
pub(super) fn exit() -> ! {
    let thread = current();
    console::debug(format_args!("thread {} ends", thread.id()));
    (hooks().ends)();
    thread.timer.cancel();
    thread::remove(&thread);
    if thread.is_programs() {
        stuck::count_thread(false);
    }
    thread.set(ThreadState::Finished);
    thread.joiners.wake_all();
    scheduler::exit_current(thread)
}

/// Waits until the thread has ended; returns at once if there is no such thread any more.
pub fn join(id: ThreadId) {
    if let Some(thread) = find(id) {
        thread.joiners.wait(|| thread.is(ThreadState::Finished).then_some(()));
    }
}
