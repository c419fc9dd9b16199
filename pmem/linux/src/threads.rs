//! Threads start closed.
//!
//! Linux copies PKRU to a new thread, so one that is started inside of a grant would have it too, for as long as it
//! lives. Every thread of std, of `pthread_create` and of C11's `thrd_create` in glibc 2.34 or newer comes from here:
//! this function stands in front of the C library's, for the program's own code and for the libraries that it is linked
//! with. What makes threads past it is not covered: `clone(2)` itself, and the helpers that glibc starts for its own
//! work (`SIGEV_THREAD`, POSIX aio). A program that is linked statically has no second function of this name, so there
//! this one is left out.

use std::ffi::{c_int, c_void};

use libc::{pthread_attr_t, pthread_t};
use libos_contract::rights::{Access, Key, Rights};

use crate::{devices, key};

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

/// Starts a thread as the C library does, with all devices closed to it.
///
/// # Safety
/// As of pthread_create(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let Some(create) = next() else { return libc::EAGAIN };
    let closed = Closed::now();
    // SAFETY: the caller's promise is the one that the function asks for.
    let result = unsafe { create(thread, attributes, start, argument) };
    drop(closed);
    result
}

/// The C library's own function.
fn next() -> Option<Create> {
    // SAFETY: the name is a C string, and the handle is one that is always there.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr()) };
    // SAFETY: the next function of this name is the C library's, which has this type. `None` is a null pointer.
    unsafe { std::mem::transmute::<*mut c_void, Option<Create>>(found) }
}

/// All devices are closed to this thread, and it gets its rights back when this is dropped.
struct Closed {
    before: Option<Rights>,
}

impl Closed {
    fn now() -> Self {
        let close = |rights| devices::keys().fold(rights, |rights: Rights, key: Key| rights.with(key, Access::Closed));
        Self { before: key::available().then(|| key::register::update(close)) }
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            key::register::update(|_| before);
        }
    }
}
