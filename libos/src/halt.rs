//! The end of the machine: one CPU claims it, the others stop, and QEMU gets a status.
//!
//! Needs nothing that may be broken: no heap, no lock, no console, no thread. What is said before the end is for the
//! room of reports, which `start` names as the [`Reporter`].

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use libos_contract::exit::FATAL_EXCEPTION;
use spin::Once;

use crate::arch::{cpu, debug_exit, interrupts, percpu};
use crate::time;

/// Says why the machine stops, and stops it with this status.
pub(crate) type Reporter = fn(u8, fmt::Arguments<'_>) -> !;

static REPORTER: Once<Reporter> = Once::new();

/// The number of the CPU that ends the machine, plus 1; 0 if none does.
static FAILING: AtomicU32 = AtomicU32::new(0);
/// How many other CPUs have stopped since.
static STOPPED: AtomicU32 = AtomicU32::new(0);

/// How long the other CPUs may take to stop.
const STOP_LIMIT: Duration = Duration::from_millis(100);

/// Names who reports why the machine stops.
pub(crate) fn set_reporter(reporter: Reporter) {
    REPORTER.call_once(|| reporter);
}

/// Stops the machine with this exit status, after a report of why and where.
pub(crate) fn stop(status: u8, reason: fmt::Arguments<'_>) -> ! {
    match REPORTER.get() {
        Some(report) => report(status, reason),
        None => exit(status),
    }
}

/// Ends the machine at once with a status other than 0, of 7 bits: QEMU exits with `2 * status + 1`. Callable from any
/// context.
pub(crate) fn exit(status: u8) -> ! {
    debug_exit::exit(status)
}

/// Whether the end of the machine has begun.
pub(crate) fn is_failing() -> bool {
    FAILING.load(Ordering::Relaxed) != 0
}

/// Makes this CPU the one that ends the machine, with interrupts disabled. A failure within the end ends at once; a
/// second CPU that fails leaves it to the first.
pub(crate) fn claim() {
    interrupts::disable();
    let own = percpu::this().id + 1;
    match FAILING.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(failing) if failing == own => exit(FATAL_EXCEPTION),
        Err(_) => cpu::halt(),
    }
}

/// Stops the other CPUs, after [`claim`], and waits a little until they have.
pub(crate) fn stop_others() {
    let others = interrupts::stop_others();
    let deadline = time::now() + STOP_LIMIT;
    while STOPPED.load(Ordering::Acquire) < others && time::now() < deadline {
        core::hint::spin_loop();
    }
}

/// On a non-maskable interrupt: whether this CPU is ending the machine. It stops if another one is.
pub(crate) fn is_ending_here() -> bool {
    let failing = FAILING.load(Ordering::Acquire);
    if failing != 0 && failing != percpu::this().id + 1 {
        STOPPED.fetch_add(1, Ordering::Release);
        cpu::halt();
    }
    failing != 0
}
