//! Waiting for many objects at once.

use super::pollers;
use crate::sync::Once;
use crate::time::{Instant, now};

/// Who brings to the objects what comes from outside.
pub(crate) trait Source: Sync {
    /// Takes in what has come.
    fn pump(&self);

    /// Takes in what has come until there is no more, and has what comes from then on wake a poller. Returns when the
    /// objects have to be looked at though nothing comes.
    fn settle(&self) -> Instant;

    /// A program has been told that something is ready, or that its time is over.
    fn polled(&self);
}

static SOURCE: Once<&'static dyn Source> = Once::new();

/// Names the source, once.
pub(crate) fn set_source(source: &'static dyn Source) {
    SOURCE.call_once(|| source);
}

/// Waits until `look`, which says how many objects are ready, finds any, or until `deadline` has passed; how
/// many it found. The source is pumped before each look, so that one call finds all that has come in.
pub(crate) fn poll(deadline: Option<Instant>, mut look: impl FnMut() -> usize) -> usize {
    let source = SOURCE.get().expect("the network names itself at boot");
    source.pump();
    loop {
        let seen = pollers::events();
        let ready = look();
        if ready > 0 || deadline.is_some_and(|deadline| deadline <= now()) {
            source.polled();
            return ready;
        }
        let sleeper = pollers::announce();
        // Whatever comes in from here on interrupts, and the interrupt wakes this thread.
        let until = deadline.unwrap_or(Instant::NEVER).min(source.settle());
        let _ = sleeper.sleep(seen, (until != Instant::NEVER).then_some(until));
        drop(sleeper);
        source.settle();
    }
}
