//! Threads start closed.
//!
//! Linux copies PKRU to a new thread, so one that is started inside of a grant would have it too, for as long as it
//! lives. Here are `pthread_create`, from which std's threads come too, and C11's `thrd_create`: they stand in front of
//! the C library's, for the program's own code and for the libraries that it is linked with. What makes threads past
//! them is not covered: `clone(2)` itself, and the helpers that the C library starts for its own work (`SIGEV_THREAD`,
//! POSIX aio). A program that is linked statically has no second function of these names, so there they are left out.

use std::ffi::{CStr, c_int, c_void};
use std::mem;

use libc::{pthread_attr_t, pthread_t};
use libos_contract::rights::{Access, Key, Rights};

use crate::{devices, key};

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;
type C11Start = extern "C" fn(*mut c_void) -> c_int;
type C11Create = unsafe extern "C" fn(*mut pthread_t, C11Start, *mut c_void) -> c_int;

/// `thrd_error` of `threads.h`.
const C11_ERROR: c_int = 2;

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
    // SAFETY: the next function of this name is the C library's, which has this type. `None` is a null pointer.
    let create = unsafe { mem::transmute::<*mut c_void, Option<Create>>(next(c"pthread_create")) };
    let Some(create) = create else { return libc::EAGAIN };
    let _closed = Closed::now();
    // SAFETY: the caller's promise is the one that the function asks for.
    unsafe { create(thread, attributes, start, argument) }
}

/// Starts a thread as the C library does, with all devices closed to it.
///
/// # Safety
/// As of thrd_create(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn thrd_create(thread: *mut pthread_t, start: C11Start, argument: *mut c_void) -> c_int {
    // SAFETY: as for `pthread_create`.
    let create = unsafe { mem::transmute::<*mut c_void, Option<C11Create>>(next(c"thrd_create")) };
    let Some(create) = create else { return C11_ERROR };
    let _closed = Closed::now();
    // SAFETY: the caller's promise is the one that the function asks for.
    unsafe { create(thread, start, argument) }
}

/// The C library's own function of this name; null if it has none.
fn next(name: &CStr) -> *mut c_void {
    // SAFETY: the handle is one that is always there.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
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
