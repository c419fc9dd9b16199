//! A program all of whose threads wait for ever: that is said, once, since nothing else shows it.
//!
//! Counted are waits without a deadline: on a futex, for a thread's end or what it holds, or for a descriptor. What
//! waits for an event from outside, such as the power button, is not stuck. If there is a network
//! card, a wait for a descriptor may end by what comes from outside. Once all CPUs rest, whoever was woken has run, so
//! the counts are right.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use super::thread::{self, Thread};
use crate::instant::Instant;
use crate::kprintln;

/// The most threads that are listed.
const LISTED: usize = 16;

/// What a thread waits for without a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum For {
    /// Nothing: it runs, or waits with a deadline.
    Nothing,
    /// A word to change.
    Futex,
    /// Another thread: its end, or what it holds.
    Thread,
    /// A descriptor.
    Descriptor,
    /// What no thread does, such as a press of the power button.
    Outside,
}

/// The program's threads that have not ended.
static PROGRAM: AtomicU32 = AtomicU32::new(0);
/// Those that wait for another thread, and those that wait for a descriptor.
static FOR_THREADS: AtomicU32 = AtomicU32::new(0);
static FOR_DESCRIPTORS: AtomicU32 = AtomicU32::new(0);
/// Descriptors may become ready by what comes from outside.
static OUTSIDE: AtomicBool = AtomicBool::new(false);
static SAID: AtomicBool = AtomicBool::new(false);

/// From now on a wait for a descriptor may end by what comes from outside: there is a network card.
pub(crate) fn expect_from_outside() {
    OUTSIDE.store(true, Ordering::Relaxed);
}

/// A thread's own part.
#[derive(Debug)]
pub(crate) struct Waiting(AtomicU8);

impl Waiting {
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(For::Nothing as u8))
    }

    fn what(&self) -> For {
        let what = self.0.load(Ordering::Relaxed);
        [For::Futex, For::Thread, For::Descriptor].into_iter().find(|&each| each as u8 == what).unwrap_or(For::Nothing)
    }
}

/// A thread of the program's begins, or ends.
pub(super) fn count_thread(begins: bool) {
    if begins {
        PROGRAM.fetch_add(1, Ordering::SeqCst)
    } else {
        PROGRAM.fetch_sub(1, Ordering::SeqCst)
    };
}

/// As long as this exists, its thread waits for ever.
pub(super) struct Forever<'t>(Option<&'t Thread>);

impl<'t> Forever<'t> {
    /// Notes that the running thread is about to wait, unless there is a `deadline`, it is the library's own,
    /// or what it waits for comes from outside.
    pub(super) fn begin(thread: &'t Thread, what: For, deadline: Option<Instant>) -> Self {
        let counts = deadline.is_none() && thread.is_programs() && what != For::Outside;
        if counts {
            thread.waiting.0.store(what as u8, Ordering::Relaxed);
            counter(what).fetch_add(1, Ordering::SeqCst);
        }
        Self(counts.then_some(thread))
    }
}

impl Drop for Forever<'_> {
    fn drop(&mut self) {
        if let Some(thread) = self.0 {
            counter(thread.waiting.what()).fetch_sub(1, Ordering::SeqCst);
            thread.waiting.0.store(For::Nothing as u8, Ordering::Relaxed);
        }
    }
}

fn counter(what: For) -> &'static AtomicU32 {
    if what == For::Descriptor { &FOR_DESCRIPTORS } else { &FOR_THREADS }
}

/// Whether all of the program's threads wait for ever, and nobody has said so. Asked while all CPUs rest.
pub(super) fn is_news() -> bool {
    let mut stuck = FOR_THREADS.load(Ordering::SeqCst);
    if !OUTSIDE.load(Ordering::Relaxed) {
        stuck += FOR_DESCRIPTORS.load(Ordering::SeqCst);
    }
    let all = PROGRAM.load(Ordering::SeqCst);
    all > 0 && stuck == all && !SAID.swap(true, Ordering::Relaxed)
}

/// Says so.
pub(super) fn tell() {
    kprintln!("holdfast: every thread of the program waits, without a time limit, for what only another one can do:");
    let mut others = 0;
    thread::for_each(|number, thread| match (number, thread.waiting.what()) {
        (_, For::Nothing) => {}
        (LISTED.., _) => others += 1,
        (_, what) => {
            let (id, name) = (thread.id(), thread.name());
            match what {
                For::Futex => {
                    let word = thread.futex.load(Ordering::Relaxed);
                    kprintln!(
                        "  thread {id} {name:?} for the word at {word:#018x}: a lock, a condition, a channel or park"
                    );
                }
                For::Thread => kprintln!("  thread {id} {name:?} for another thread's end, or what it holds"),
                _ => kprintln!("  thread {id} {name:?} for a descriptor, and there is no network card"),
            }
        }
    });
    if others > 0 {
        kprintln!("  and {others} more");
    }
}
