//! The threads that sleep in `poll`.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::instant::Instant;
use crate::task::{NoKill, TimedOut, WaitQueue};

/// Counts what was published to pollers.
static EVENTS: AtomicU64 = AtomicU64::new(0);
/// A device has something for whoever comes first.
static DEVICE: AtomicBool = AtomicBool::new(false);
static SLEEPING: AtomicU32 = AtomicU32::new(0);
static QUEUE: WaitQueue = WaitQueue::for_descriptors();

/// The number of publications until now, to be passed to [`Sleeper::sleep`] after looking at the objects.
pub fn events() -> u64 {
    EVENTS.load(Ordering::SeqCst)
}

/// An object that a poller asked about has changed.
pub fn notify() {
    EVENTS.fetch_add(1, Ordering::SeqCst);
    if SLEEPING.load(Ordering::SeqCst) > 0 {
        QUEUE.wake_all();
    }
}

/// From an interrupt handler: a device wants attention. `false`: no poller sleeps, so somebody else must give it.
pub fn offer_device() -> bool {
    if SLEEPING.load(Ordering::SeqCst) == 0 {
        return false;
    }
    DEVICE.store(true, Ordering::SeqCst);
    QUEUE.wake_one();
    true
}

/// Announces that the caller is going to sleep: from now on interrupts wake it.
pub fn announce() -> Sleeper {
    let no_kill = NoKill::new();
    SLEEPING.fetch_add(1, Ordering::SeqCst);
    Sleeper(no_kill)
}

/// A poller that is going to sleep.
pub struct Sleeper(#[allow(dead_code, reason = "it counts as long as it exists")] NoKill);

impl Sleeper {
    /// Sleeps until something was published since `seen`, a device wants attention (its handler is then the caller's
    /// duty), or `deadline` has passed.
    pub fn sleep(&self, seen: u64, deadline: Option<Instant>) -> Result<(), TimedOut> {
        QUEUE.wait_until(deadline, || (DEVICE.load(Ordering::SeqCst) || events() != seen).then_some(()))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        SLEEPING.fetch_sub(1, Ordering::SeqCst);
        DEVICE.store(false, Ordering::SeqCst);
    }
}
