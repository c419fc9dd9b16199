//! Who holds which locks: what a build with debug assertions checks.
//!
//! Each CPU keeps the spinlocks that it holds, each thread the sleeping ones. Nothing of this is shared, and nothing
//! allocates. What is wrong ends the machine (on the host: the test), with both places in the code.

use core::fmt;
use core::panic::Location;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};

use super::class::Class;

/// How many locks are kept; nobody holds as many, since each is of another class.
const DEPTH: usize = Class::ALL.len();

/// A lock that is held, and where it was taken.
#[derive(Debug)]
struct Entry {
    class: AtomicU8,
    place: AtomicPtr<Location<'static>>,
}

/// The locks that a CPU or a thread holds, in the order in which it took them. Only that CPU or thread uses it.
#[derive(Debug)]
pub(crate) struct Held {
    depth: AtomicUsize,
    entries: [Entry; DEPTH],
}

/// A lock that is held: its class, and where it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    class: Class,
    place: &'static Location<'static>,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the lock {:?} that was taken at {}", self.class, self.place)
    }
}

impl Held {
    /// Of somebody who holds nothing.
    #[cfg(any(test, target_os = "hermit"))]
    pub(crate) const fn new() -> Self {
        Self {
            depth: AtomicUsize::new(0),
            entries: [const { Entry { class: AtomicU8::new(0), place: AtomicPtr::new(ptr::null_mut()) } }; DEPTH],
        }
    }

    /// The locks, the last one first.
    fn taken(&self) -> impl Iterator<Item = Taken> {
        self.entries[..self.depth.load(Ordering::Relaxed)].iter().rev().map(|entry| Taken {
            class: Class::ALL[usize::from(entry.class.load(Ordering::Relaxed))],
            // SAFETY: `push` stored the address of a location that lives for ever.
            place: unsafe { &*entry.place.load(Ordering::Relaxed) },
        })
    }

    /// The lock that was taken last.
    pub(crate) fn last(&self) -> Option<Taken> {
        self.taken().next()
    }

    /// The lock that forbids to take one of `class` now, if there is one.
    pub(crate) fn forbids(&self, class: Class) -> Option<Taken> {
        self.taken().find(|taken| taken.class >= class)
    }

    /// Notes a lock that was just taken.
    pub(crate) fn push(&self, class: Class, place: &'static Location<'static>) {
        let depth = self.depth.load(Ordering::Relaxed);
        if let Some(entry) = self.entries.get(depth) {
            entry.class.store(class as u8, Ordering::Relaxed);
            entry.place.store(ptr::from_ref(place).cast_mut(), Ordering::Relaxed);
            self.depth.store(depth + 1, Ordering::Relaxed);
        }
    }

    /// Forgets the lock of this class that was taken last; locks need not be released in order.
    pub(crate) fn remove(&self, class: Class) {
        let depth = self.depth.load(Ordering::Relaxed);
        let entries = &self.entries[..depth];
        let is_it = |entry: &Entry| entry.class.load(Ordering::Relaxed) == class as u8;
        if let Some(place) = entries.iter().rposition(is_it) {
            for pair in entries[place..].windows(2) {
                pair[0].class.store(pair[1].class.load(Ordering::Relaxed), Ordering::Relaxed);
                pair[0].place.store(pair[1].place.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            self.depth.store(depth - 1, Ordering::Relaxed);
        }
    }
}

/// What the running code must respect.
struct Context<'a> {
    spinlocks: &'a Held,
    in_trap: bool,
    interrupts_enabled: bool,
}

/// Fails if somebody who holds these must not take a lock of this class.
fn check_order(held: &Held, class: Class, place: &Location<'_>) {
    if let Some(other) = held.forbids(class) {
        context::fail(format_args!(
            "lock order: {class:?} is taken at {place} by the holder of {other}; sync/class.rs has the order"
        ));
    }
}

/// Before a spinlock is taken, with interrupts disabled: fails if that may lead to a deadlock.
pub(super) fn before_spin(class: Class, place: &'static Location<'static>) {
    context::with(|context| {
        if context.in_trap && !class.in_traps() {
            context::fail(format_args!("a trap handler takes the lock {class:?} at {place}: it must not"));
        }
        check_order(context.spinlocks, class, place);
    });
}

/// After a spinlock was taken, with interrupts disabled.
pub(super) fn after_spin(class: Class, place: &'static Location<'static>) {
    context::with(|context| context.spinlocks.push(class, place));
}

/// Before a spinlock is released, with interrupts disabled.
pub(super) fn release_spin(class: Class) {
    context::with(|context| context.spinlocks.remove(class));
}

/// The checks of locks whose waiters sleep.
#[cfg(target_os = "hermit")]
pub(crate) mod sleeping {
    use core::panic::Location;

    use super::{Class, check_order, context, might_sleep_at};

    /// Before such a lock is taken: fails if that may lead to a deadlock, or if this is no place to sleep.
    pub(crate) fn before(class: Class, place: &'static Location<'static>) {
        might_sleep_at(place);
        context::with_thread(|held| check_order(held, class, place));
    }

    /// After it was taken.
    pub(crate) fn after(class: Class, place: &'static Location<'static>) {
        context::with_thread(|held| held.push(class, place));
    }

    /// Before it is released.
    pub(crate) fn release(class: Class) {
        context::with_thread(|held| held.remove(class));
    }
}

/// At the beginning of everything that may put the running thread to sleep. In a build with debug assertions it ends
/// the machine if that must not happen here, whether or not it would have happened this time.
#[track_caller]
pub fn might_sleep() {
    might_sleep_at(Location::caller());
}

fn might_sleep_at(place: &'static Location<'static>) {
    context::with(|context| {
        if let Some(taken) = context.spinlocks.last() {
            context::fail(format_args!("what may sleep is called at {place} by the holder of {taken}"));
        }
        if context.in_trap {
            context::fail(format_args!("what may sleep is called at {place} in a trap handler"));
        }
        if !context.interrupts_enabled {
            context::fail(format_args!("what may sleep is called at {place} with interrupts disabled"));
        }
    });
}

#[cfg(target_os = "hermit")]
mod context {
    use core::fmt;

    use libos_contract::exit::PANIC;

    use super::{Context, Held};
    use crate::arch::{cpu_local, current_thread, interrupts, per_thread, percpu};
    use crate::halt;

    cpu_local! {
        /// The spinlocks that are held on a CPU.
        static HELD: Held = Held::new();
    }

    per_thread! {
        /// The sleeping locks that a thread holds.
        static SLEEPING: Held = Held::new();
    }

    /// Calls `check` in a build with debug assertions, once there are threads and as long as nothing has failed.
    #[inline]
    pub(super) fn with(check: impl FnOnce(&Context<'_>)) {
        if cfg!(debug_assertions) && current_thread().is_some() && !halt::is_failing() {
            let in_trap = percpu::in_trap();
            let interrupts_enabled = interrupts::disable();
            check(&Context { spinlocks: HELD.here(), in_trap, interrupts_enabled });
            interrupts::restore(interrupts_enabled);
        }
    }

    /// As [`with`], with the sleeping locks of the running thread.
    pub(super) fn with_thread(check: impl FnOnce(&Held)) {
        if cfg!(debug_assertions)
            && let Some(held) = SLEEPING.here()
            && !halt::is_failing()
        {
            check(held);
        }
    }

    pub(super) fn fail(what: fmt::Arguments<'_>) -> ! {
        halt::stop(PANIC, what)
    }
}

/// In tests on the host each thread plays a CPU, which may be in a trap.
#[cfg(all(test, not(target_os = "hermit")))]
pub(super) mod context {
    use core::fmt;
    use std::cell::Cell;

    use super::{Context, Held};

    std::thread_local! {
        static HELD: Held = const { Held::new() };
        pub(in super::super) static IN_TRAP: Cell<bool> = const { Cell::new(false) };
        pub(in super::super) static INTERRUPTS: Cell<bool> = const { Cell::new(true) };
    }

    pub(super) fn with(check: impl FnOnce(&Context<'_>)) {
        HELD.with(|spinlocks| {
            check(&Context { spinlocks, in_trap: IN_TRAP.get(), interrupts_enabled: INTERRUPTS.get() });
        });
    }

    pub(super) fn fail(what: fmt::Arguments<'_>) -> ! {
        panic!("{what}")
    }
}

/// On the host outside tests there is no machine to check.
#[cfg(all(not(test), not(target_os = "hermit")))]
mod context {
    use core::fmt;

    use super::Context;

    pub(super) fn with(_check: impl FnOnce(&Context<'_>)) {}

    pub(super) fn fail(what: fmt::Arguments<'_>) -> ! {
        panic!("{what}")
    }
}

#[cfg(test)]
mod tests;
