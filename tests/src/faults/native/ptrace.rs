//! ptrace(2) and what comes back by waitpid(2), a request at a time.
//!
//! A thread of this program asks only about threads that it has seized itself, which the kernel sees to: for any other
//! number a request fails, and stores nothing.

use std::arch::x86_64::__cpuid_count;
use std::io;
use std::mem::MaybeUninit;

use libc::{c_int, c_uint, c_void, pid_t, user_fpregs_struct, user_regs_struct};

/// `si_code` of a SIGSEGV by which the kernel tells of a protection key.
const SEGV_PKUERR: c_int = 4;
/// The number of the registers' set that has PKRU, and PKRU's number in it (SDM volume 1, section 13.1).
const NT_X86_XSTATE: usize = 0x202;
const PKRU: u32 = 9;
/// Room for the largest set that there is.
const XSTATE: usize = 16 << 10;

/// What a thread does, or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It is about to get this signal.
    Signal(c_int),
    /// It was told to stop, or is new.
    Stopped,
    /// It has started another thread.
    Cloned,
    /// It is about to end; with which status its process does, [`message`] says.
    Ending,
    /// It has ended, with this status of waitpid(2).
    Ended(c_int),
}

impl Event {
    fn new(status: c_int) -> Self {
        if !libc::WIFSTOPPED(status) {
            return Self::Ended(status);
        }
        match status >> 16 {
            0 => Self::Signal(libc::WSTOPSIG(status)),
            libc::PTRACE_EVENT_CLONE => Self::Cloned,
            libc::PTRACE_EVENT_EXIT => Self::Ending,
            _ => Self::Stopped,
        }
    }
}

/// The next event of any thread that this one has seized; `None` if there is none yet.
pub(super) fn next_event() -> io::Result<Option<(pid_t, Event)>> {
    let mut status = 0;
    // SAFETY: the status has a place.
    let thread = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD | libc::WNOHANG) };
    match thread {
        0 => Ok(None),
        1.. => Ok(Some((thread, Event::new(status)))),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A request whose data is a number.
pub(super) fn request(request: c_uint, thread: pid_t, data: usize) -> io::Result<()> {
    // SAFETY: nothing is stored for these requests, and what they change is another process.
    unsafe { raw(request, thread, 0, data as *mut c_void) }
}

/// # Safety
/// `data` has to be what the request takes.
unsafe fn raw(request: c_uint, thread: pid_t, address: usize, data: *mut c_void) -> io::Result<()> {
    // SAFETY: as the caller says.
    let result = unsafe { libc::ptrace(request, thread, address as *mut c_void, data) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What a request stores.
///
/// # Safety
/// The request has to store a whole `T`.
unsafe fn load<T>(request: c_uint, thread: pid_t) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the value has a place, and is whole when the request succeeds, as the caller says.
    unsafe {
        raw(request, thread, 0, value.as_mut_ptr().cast())?;
        Ok(value.assume_init())
    }
}

/// The general registers.
pub(super) fn general(thread: pid_t) -> io::Result<user_regs_struct> {
    // SAFETY: this request stores all of them.
    unsafe { load(libc::PTRACE_GETREGS, thread) }
}

/// Changes the general registers.
pub(super) fn set_general(thread: pid_t, mut registers: user_regs_struct) -> io::Result<()> {
    // SAFETY: this request reads all of them.
    unsafe { raw(libc::PTRACE_SETREGS, thread, 0, (&raw mut registers).cast()) }
}

/// The registers of the x87 and SSE.
pub(super) fn vectors(thread: pid_t) -> io::Result<user_fpregs_struct> {
    // SAFETY: this request stores all of them.
    unsafe { load(libc::PTRACE_GETFPREGS, thread) }
}

/// Changes the registers of the x87 and SSE.
pub(super) fn set_vectors(thread: pid_t, mut registers: user_fpregs_struct) -> io::Result<()> {
    // SAFETY: this request reads all of them.
    unsafe { raw(libc::PTRACE_SETFPREGS, thread, 0, (&raw mut registers).cast()) }
}

/// With which status the process of a thread ends that is [`Event::Ending`].
pub(super) fn message(thread: pid_t) -> io::Result<c_int> {
    // SAFETY: this request stores a number.
    let message: libc::c_ulong = unsafe { load(libc::PTRACE_GETEVENTMSG, thread)? };
    Ok(message as c_int)
}

/// The address that a protection key has denied, if that is what the signal is about which a thread is about to get.
pub(super) fn denied(thread: pid_t) -> io::Result<Option<u64>> {
    // SAFETY: this request stores all of it.
    let signal: libc::siginfo_t = unsafe { load(libc::PTRACE_GETSIGINFO, thread)? };
    // SAFETY: a signal with this code has an address.
    Ok((signal.si_code == SEGV_PKUERR).then(|| unsafe { signal.si_addr() } as u64))
}

/// The rights to protection keys of a thread, as PKRU has them.
pub(super) fn rights(thread: pid_t) -> io::Result<u32> {
    let place = __cpuid_count(0xd, PKRU).ebx as usize;
    let mut area = vec![0u8; XSTATE];
    let mut vector = libc::iovec { iov_base: area.as_mut_ptr().cast(), iov_len: area.len() };
    // SAFETY: the vector says where there is room, and how much.
    unsafe { raw(libc::PTRACE_GETREGSET, thread, NT_X86_XSTATE, (&raw mut vector).cast())? };
    match area[..vector.iov_len].get(place..place + 4).and_then(|bytes| bytes.first_chunk()) {
        Some(bytes) if place > 0 => Ok(u32::from_le_bytes(*bytes)),
        _ => Err(io::Error::other("this processor has no protection keys")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let stopped = |event: c_int, signal: c_int| Event::new(event << 16 | signal << 8 | 0x7f);
        assert_eq!(stopped(0, libc::SIGSEGV), Event::Signal(libc::SIGSEGV));
        assert_eq!(stopped(libc::PTRACE_EVENT_EXIT, libc::SIGTRAP), Event::Ending);
        assert_eq!(stopped(libc::PTRACE_EVENT_CLONE, libc::SIGTRAP), Event::Cloned);
        assert_eq!(stopped(libc::PTRACE_EVENT_STOP, libc::SIGTRAP), Event::Stopped);
        assert_eq!(Event::new(3 << 8), Event::Ended(3 << 8));
        assert_eq!(Event::new(libc::SIGKILL), Event::Ended(libc::SIGKILL));
    }
}
