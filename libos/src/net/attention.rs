//! Who looks at the stack, and when.
//!
//! The card's interrupt masks itself (see `drivers::virtio`) and finds somebody to look: a thread that sleeps in
//! `poll`, else the network thread. Masked, it stays so until somebody has found nothing more to receive and unmasks
//! it, and one of these is always due to do so: a thread in `poll`, before it returns or sleeps; the network thread;
//! or, while a program calls `poll` again and again, the network thread at the end of a nap of [`NAP`]. So a busy
//! program is interrupted a few hundred times a second at most, whatever the traffic.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use crate::instant::AtomicInstant;
use crate::io::pollers;
use crate::task::WaitQueue;
use crate::time::{Instant, now};

/// The network thread's sleep while a program polls by itself; as often a card without interrupts is looked at.
pub(super) const NAP: Duration = Duration::from_millis(2);
/// A program that has called `poll` within this time is expected to call it again.
const POLLS_OFTEN: Duration = Duration::from_millis(10);

/// Wakes the network thread.
static THREAD: WaitQueue = WaitQueue::new();
/// The network thread is to look at the stack.
static WANTED: AtomicBool = AtomicBool::new(false);
/// When the network thread wakes by itself; when time began, while it is awake.
static WAKES_AT: AtomicInstant = AtomicInstant::new(Instant::BOOT);
/// When a program last returned from `poll`.
static LAST_POLL: AtomicInstant = AtomicInstant::new(Instant::BOOT);
/// The card's interrupts until now.
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);

/// The card's interrupt handler.
pub(super) fn interrupt(_: usize) {
    INTERRUPTS.fetch_add(1, Ordering::Relaxed);
    if !(pollers::offer_device() || is_promised(now())) {
        wake_thread();
    }
}

/// The card's interrupts until now.
#[cfg(feature = "testing")]
pub(crate) fn interrupts() -> u64 {
    INTERRUPTS.load(Ordering::Relaxed)
}

/// Whether somebody looks within [`NAP`] without being woken: a program polls again and again, and the network thread
/// naps meanwhile.
pub(super) fn is_promised(now: Instant) -> bool {
    let wakes_at = WAKES_AT.load(Ordering::Relaxed);
    polls_often(now) && wakes_at != Instant::BOOT && wakes_at <= now + NAP
}

/// Whether a program polls again and again.
pub(super) fn polls_often(now: Instant) -> bool {
    now < LAST_POLL.load(Ordering::Relaxed) + POLLS_OFTEN
}

/// A program returns from `poll`.
pub(super) fn polled() {
    LAST_POLL.store(now(), Ordering::Relaxed);
}

/// Somebody has to look at this time: wakes the network thread if it sleeps longer.
pub(super) fn demand(at: Instant) {
    if at < WAKES_AT.load(Ordering::Relaxed) {
        wake_thread();
    }
}

fn wake_thread() {
    WANTED.store(true, Ordering::SeqCst);
    THREAD.wake_one();
}

/// The network thread begins to look.
pub(super) fn begin_round() {
    WANTED.store(false, Ordering::SeqCst);
}

/// The network thread sleeps until `next`, or until it is wanted. `look_again` demands what has to be done earlier:
/// whoever brought that before this thread had said when it wakes has not woken it.
pub(super) fn sleep(next: Instant, look_again: impl FnOnce()) {
    WAKES_AT.store(next, Ordering::SeqCst);
    look_again();
    let deadline = (next != Instant::NEVER).then_some(next);
    let _ = THREAD.wait_until(deadline, || WANTED.load(Ordering::SeqCst).then_some(()));
    WAKES_AT.store(Instant::BOOT, Ordering::Relaxed);
}
