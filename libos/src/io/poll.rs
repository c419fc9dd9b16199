//! Waiting for many objects at once.

use super::pollers;
use crate::sync::Once;
use crate::time::now_ns;

/// Who brings to the objects what comes from outside.
pub(crate) trait Source: Sync {
    /// Takes in what has come.
    fn pump(&self);

    /// Takes in what has come until there is no more, and has what comes from then on wake a poller. Returns when the
    /// objects have to be looked at though nothing comes, in nanoseconds since boot.
    fn settle(&self) -> u64;

    /// A program has been told that something is ready, or that its time is over.
    fn polled(&self);
}

static SOURCE: Once<&'static dyn Source> = Once::new();

/// Names the source, once.
pub(crate) fn set_source(source: &'static dyn Source) {
    SOURCE.call_once(|| source);
}

/// Waits until `look`, which says how many objects are ready, finds any, or until `deadline`, in nanoseconds since
/// boot, has passed; how many it found. The source is pumped before each look, so that one call finds all that has come
/// in.
pub(crate) fn poll(deadline: Option<u64>, mut look: impl FnMut() -> usize) -> usize {
    let source = SOURCE.get().expect("the network names itself at boot");
    source.pump();
    loop {
        let seen = pollers::events();
        let ready = look();
        if ready > 0 || deadline.is_some_and(|deadline| deadline <= now_ns()) {
            source.polled();
            return ready;
        }
        let sleeper = pollers::announce();
        // Whatever comes in from here on interrupts, and the interrupt wakes this thread.
        let until = deadline.unwrap_or(u64::MAX).min(source.settle());
        let _ = sleeper.sleep(seen, (until != u64::MAX).then_some(until));
        drop(sleeper);
        source.settle();
    }
}
