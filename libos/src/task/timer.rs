//! Timers: a function that runs in interrupt context at a given time.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use intrusive_collections::{KeyAdapter, RBTree, RBTreeAtomicLink, intrusive_adapter};

use crate::instant::{AtomicInstant, Instant};
use crate::sync::{IrqLock, class};
use crate::time;

/// A function that can be armed to run once at a time, in interrupt context with interrupts disabled: it must not sleep
/// or allocate. Dropping the timer cancels it.
#[derive(Debug)]
pub struct Timer {
    alarm: Arc<Alarm>,
}

/// What the list of armed timers shares with a timer's owner.
#[derive(Debug)]
struct Alarm {
    link: RBTreeAtomicLink,
    /// Changes only while the timer is not linked.
    deadline: AtomicInstant,
    function: fn(usize),
    argument: usize,
    /// Whether the function is running.
    running: AtomicBool,
}

intrusive_adapter!(ByDeadline = Arc<Alarm>: Alarm { link => RBTreeAtomicLink });

impl<'a> KeyAdapter<'a> for ByDeadline {
    type Key = Instant;
    fn get_key(&self, alarm: &'a Alarm) -> Instant {
        alarm.deadline.load(Ordering::Relaxed)
    }
}

/// The armed timers.
static ARMED: IrqLock<RBTree<ByDeadline>, class::Timers> = IrqLock::new(RBTree::new(ByDeadline::NEW));
/// The earliest deadline among them.
static EARLIEST: AtomicInstant = AtomicInstant::new(Instant::NEVER);

fn note_earliest(armed: &RBTree<ByDeadline>) {
    let earliest = armed.front().get().map_or(Instant::NEVER, |timer| timer.deadline.load(Ordering::Relaxed));
    EARLIEST.store(earliest, Ordering::Relaxed);
}

impl Timer {
    /// A timer that is not armed.
    pub fn new(function: fn(usize), argument: usize) -> Self {
        Self {
            alarm: Arc::new(Alarm {
                link: RBTreeAtomicLink::new(),
                deadline: AtomicInstant::new(Instant::BOOT),
                function,
                argument,
                running: AtomicBool::new(false),
            }),
        }
    }

    /// Runs the function at `deadline`; replaces an earlier arming.
    pub fn arm(&self, deadline: Instant) {
        {
            let mut armed = ARMED.lock();
            self.remove_from(&mut armed);
            self.alarm.deadline.store(deadline, Ordering::Relaxed);
            armed.insert(self.alarm.clone());
            note_earliest(&armed);
        }
        super::scheduler::arm_cpu_timer();
    }

    /// Disarms the timer; does nothing if it has run or was not armed. When this returns, the function does not run on
    /// any CPU. Not to be called by the function itself.
    pub fn cancel(&self) {
        {
            let mut armed = ARMED.lock();
            self.remove_from(&mut armed);
            note_earliest(&armed);
        }
        while self.alarm.running.load(Ordering::Acquire) {
            core::hint::spin_loop();
        }
    }

    fn remove_from(&self, armed: &mut RBTree<ByDeadline>) {
        if self.alarm.link.is_linked() {
            // SAFETY: timers are linked only into `ARMED`, whose lock the caller holds, and this one is linked.
            unsafe { armed.cursor_mut_from_ptr(&*self.alarm) }.remove();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// How many timers are armed.
pub(crate) fn armed() -> usize {
    ARMED.lock().iter().count()
}

/// The earliest deadline of all armed timers.
pub(super) fn earliest() -> Instant {
    EARLIEST.load(Ordering::Relaxed)
}

/// Runs every timer whose time has come.
pub(super) fn run_expired() {
    while earliest() <= time::now() {
        let timer = {
            let mut armed = ARMED.lock();
            let expired =
                armed.front().get().is_some_and(|timer| timer.deadline.load(Ordering::Relaxed) <= time::now());
            let timer = if expired { armed.front_mut().remove() } else { None };
            if let Some(timer) = &timer {
                timer.running.store(true, Ordering::Relaxed);
            }
            note_earliest(&armed);
            timer
        };
        let Some(timer) = timer else { return };
        (timer.function)(timer.argument);
        // Nothing is freed here: the owner keeps its count until it sees that the function does not run any more, so
        // this one, which goes first, is not the last.
        let alarm = Arc::as_ptr(&timer);
        drop(timer);
        // SAFETY: for the same reason the alarm is still there.
        unsafe { (*alarm).running.store(false, Ordering::Release) };
    }
}
