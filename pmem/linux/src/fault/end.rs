//! The end of the process after a report.

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use libc::siginfo_t;

use super::system;

/// How many seconds there are for the names of functions.
const SECONDS: libc::c_uint = 60;

/// The signal by which the process is about to end.
static SIGNAL: AtomicPtr<siginfo_t> = AtomicPtr::new(ptr::null_mut());

/// Ends the process by the signal that has come, as if nobody had handled it: the parent and the core dump see that
/// signal and its address. The instruction is not run again for that, since something else may have been mapped there.
pub(super) fn by(info: &siginfo_t) -> ! {
    system::send_again_by_default(info);
    system::unblock(info.si_signo);
    // The first process of a container has no default dispositions for what it sends itself.
    // SAFETY: signal handlers may call it.
    unsafe { libc::abort() }
}

/// From now on the process ends the same way whatever holds up the thread that is to end it: a lock that was held when
/// it strayed, or an access that goes astray in the symboliser (which the kernel, since the signal is blocked, answers
/// by its default disposition).
pub(super) fn within_bounds(info: &siginfo_t) {
    SIGNAL.store(ptr::from_ref(info).cast_mut(), Ordering::Release);
    // Not on the alternate stack: the frame of the signal that has come is there.
    // SAFETY: the handler does no more than `by` does.
    if unsafe { system::handle(libc::SIGALRM, out_of_time, 0) }.is_ok() {
        // SAFETY: it only sets a clock.
        unsafe { libc::alarm(SECONDS) };
        system::unblock(libc::SIGALRM);
    }
}

extern "C" fn out_of_time(_: c_int, _: *mut siginfo_t, _: *mut libc::c_void) {
    // SAFETY: `within_bounds` has stored a signal's description, on the stack of a handler that never returns.
    if let Some(info) = unsafe { SIGNAL.load(Ordering::Acquire).as_ref() } {
        by(info);
    }
}
