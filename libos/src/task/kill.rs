//! How a thread that went astray is killed, and when it cannot be.

use core::fmt;
use core::marker::PhantomData;
use core::mem;
use core::sync::atomic::{AtomicU64, Ordering};

use super::hooks::hooks;
use super::life::exit;
use super::thread::{Role, ThreadState, current, current_ref};
use crate::addr::VirtAddr;

/// As long as this exists, the thread that made it has something that others wait for and that only it can give back,
/// such as a sleeping lock of the library's. It cannot be killed meanwhile.
#[derive(Debug)]
pub(crate) struct NoKill(PhantomData<*const ()>);

impl NoKill {
    /// Counts one more for the running thread.
    pub(crate) fn new() -> Self {
        change_no_kill(1);
        Self(PhantomData)
    }
}

impl Drop for NoKill {
    fn drop(&mut self) {
        change_no_kill(-1);
    }
}

/// Adds to the depth of the running thread: for locks, which have no place for a [`NoKill`].
pub(crate) fn change_no_kill(change: i32) {
    if let Some(thread) = current_ref() {
        thread.no_kill_depth.fetch_add(change.cast_unsigned(), Ordering::Relaxed);
    }
}

/// How much free stack a killed thread needs to end on, in bytes.
const ROOM_TO_END: u64 = 16 << 10;

/// Why a thread cannot be killed where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillRefused {
    NotAThread,
    Essential,
    HoldsLock,
    NoStack,
}

impl fmt::Display for KillRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAThread => "it was no thread but an interrupt handler, or interrupts were disabled",
            Self::Essential => "the thread is one of the library's own",
            Self::HoldsLock => "the thread was inside the library and holds what others wait for",
            Self::NoStack => "the stack pointer is not in the thread's stack, or the stack is full",
        })
    }
}

/// Whether the running thread, which a trap interrupted with this stack pointer, can be killed there.
pub(crate) fn can_kill(stack_pointer: VirtAddr) -> Result<(), KillRefused> {
    let thread = current_ref().ok_or(KillRefused::NotAThread)?;
    if thread.role == Role::Library {
        return Err(KillRefused::Essential);
    }
    if thread.no_kill_depth.load(Ordering::Relaxed) != 0
        || !thread.is(ThreadState::Ready)
        || thread.wait_link.is_linked()
    {
        return Err(KillRefused::HoldsLock);
    }
    let room = thread.stack.as_ref().and_then(|stack| stack.room_below(stack_pointer));
    if room.is_none_or(|room| room < ROOM_TO_END) {
        return Err(KillRefused::NoStack);
    }
    Ok(())
}

static ENDED: AtomicU64 = AtomicU64::new(0);

/// How many threads were killed for going astray: the program is told that they ended.
pub fn ended_count() -> u64 {
    ENDED.load(Ordering::Relaxed)
}

/// Kills the running thread, which went astray: runs on its stack in place of what it did. Nothing of the program's is
/// unwound or dropped. The stack and the thread-local variables stay as they are for ever, since other threads may have
/// borrowed what lies there.
pub(crate) extern "C" fn kill_current() -> ! {
    let thread = current();
    if thread.role == Role::Main {
        (hooks().main_killed)();
    }
    (hooks().killed)();
    ENDED.fetch_add(1, Ordering::Relaxed);
    mem::forget(thread.clone());
    drop(thread);
    exit()
}
