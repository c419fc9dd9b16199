//! Who had a signal before, and gets what is not ours.

use core::mem;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::io;

use libc::{c_int, c_void, siginfo_t};

use super::system::{self, Handler};

/// The disposition that a signal had before ours.
pub(super) struct Previous {
    handler: AtomicUsize,
    flags: AtomicI32,
}

impl Previous {
    pub(super) const fn none() -> Self {
        Self { handler: AtomicUsize::new(libc::SIG_DFL), flags: AtomicI32::new(0) }
    }

    /// Has `handler` run from now on when the signal comes, and remembers who had it.
    ///
    /// # Safety
    /// The handler does only what a signal handler may, whatever it interrupts, and passes on what is not its own.
    pub(super) unsafe fn replace(&self, signal: c_int, handler: Handler) -> io::Result<()> {
        let before = system::disposition(signal)?;
        if before.sa_sigaction == handler as usize {
            return Ok(());
        }
        // Before the handler can need them.
        self.handler.store(before.sa_sigaction, Ordering::Relaxed);
        self.flags.store(before.sa_flags, Ordering::Release);
        // SAFETY: the caller's.
        unsafe { system::handle(signal, handler, libc::SA_ONSTACK | before.sa_flags & libc::SA_RESTART) }
    }

    /// Does with a signal what was done with it before.
    pub(super) fn pass_on(&self, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel has put it on the stack.
        let said = unsafe { &*info };
        let is_sent = said.si_code <= 0;
        let flags = self.flags.load(Ordering::Acquire);
        match self.handler.load(Ordering::Relaxed) {
            // An access that cannot be made is not made if it is ignored either.
            libc::SIG_IGN if is_sent => {}
            libc::SIG_IGN | libc::SIG_DFL => system::send_again_by_default(said),
            handler if flags & libc::SA_SIGINFO != 0 => {
                // SAFETY: who installed it with SA_SIGINFO has promised that it is such a function.
                let handler = unsafe { mem::transmute::<usize, Handler>(handler) };
                handler(said.si_signo, info, context);
                end_if_given_up(said, is_sent);
            }
            handler => {
                // SAFETY: who installed it without SA_SIGINFO has promised that it is such a function.
                let handler = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
                handler(said.si_signo);
                end_if_given_up(said, is_sent);
            }
        }
    }
}

/// A handler that finds that a signal is not its own either may give it back its default disposition and return, as
/// `std`'s does: an access is made again then, and ends the process. What somebody has sent does not come again by
/// itself.
fn end_if_given_up(said: &siginfo_t, is_sent: bool) {
    let has_given_up = system::disposition(said.si_signo).is_ok_and(|action| system::is_default(&action));
    if is_sent && has_given_up {
        system::send_again_by_default(said);
    }
}
