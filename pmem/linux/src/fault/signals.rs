//! The handlers of the signals.

use core::ffi::{c_int, c_void};
use std::io;
use std::sync::{Mutex, PoisonError};

use libc::siginfo_t;

use super::frame::{self, Frame};
use super::previous::Previous;
use super::{bus, stack, step, stray};
use crate::{devices, ticks};

static SEGMENT: Previous = Previous::none();
static BUS: Previous = Previous::none();
static TRAP: Previous = Previous::none();

/// Has faults in devices come here, from the first device on.
pub(crate) fn install() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*installed {
        ticks::prepare();
        frame::prepare();
        stack::prepare()?;
        // SAFETY: see the head of `fault`.
        unsafe {
            SEGMENT.replace(libc::SIGSEGV, on_segment)?;
            BUS.replace(libc::SIGBUS, on_bus)?;
        }
        *installed = true;
    }
    Ok(())
}

/// Has the trap come here that follows an access that is let through.
pub(super) fn install_trap() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*installed {
        // SAFETY: see the head of `fault`.
        unsafe { TRAP.replace(libc::SIGTRAP, on_trap)? };
        *installed = true;
    }
    Ok(())
}

/// The number of the last error, as the interrupted code has to find it again.
struct Errno(c_int);

impl Errno {
    fn keep() -> Self {
        // SAFETY: a variable of this thread's.
        Self(unsafe { *libc::__errno_location() })
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = self.0 };
    }
}

/// SIGSEGV: an access that is not permitted, or that leads nowhere.
extern "C" fn on_segment(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let _errno = Errno::keep();
    // SAFETY: the arguments of a handler.
    let mut frame = unsafe { Frame::new(info, context) };
    let device = if frame.is_of_an_access() { devices::device_at(frame.address() as usize) } else { None };
    let decided = device.and_then(|device| stack::on_report_stack(|| stray::denied(&mut frame, device)));
    if decided.is_none() {
        SEGMENT.pass_on(info, context);
    }
}

/// SIGBUS: a page that cannot be had.
extern "C" fn on_bus(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the arguments of a handler.
    let frame = unsafe { Frame::new(info, context) };
    let device = if frame.is_of_the_kernel() { devices::device_at(frame.address() as usize) } else { None };
    if let Some(device) = device {
        stack::on_report_stack(|| bus::no_page(&frame, device));
    }
    BUS.pass_on(info, context);
}

/// SIGTRAP: among other things, the end of an instruction that was let through.
extern "C" fn on_trap(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the arguments of a handler.
    let mut frame = unsafe { Frame::new(info, context) };
    if !(frame.is_of_a_step() && step::finish(&mut frame)) {
        TRAP.pass_on(info, context);
    }
}
