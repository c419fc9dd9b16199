//! System calls that a signal handler may make, and the dispositions of signals.

use core::mem::{self, MaybeUninit};
use core::ptr;
use std::io;

use libc::{c_int, c_void, siginfo_t};

/// A handler as `SA_SIGINFO` wants it.
pub(super) type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// The running thread's number.
pub(super) fn thread_id() -> i32 {
    // SAFETY: it only tells.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// The CPU that the running thread is on.
pub(super) fn cpu() -> u32 {
    // SAFETY: it only tells.
    u32::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

/// Lets other threads run.
pub(super) fn give_way() {
    // SAFETY: it changes nothing.
    unsafe { libc::sched_yield() };
}

/// The running thread's name, as the kernel knows it: at most 15 bytes.
pub(super) fn thread_name(into: &mut [u8; 16]) -> &str {
    // SAFETY: the kernel writes 16 bytes, the last of them 0.
    unsafe { libc::prctl(libc::PR_GET_NAME, into.as_mut_ptr()) };
    let length = into.iter().position(|&byte| byte == 0).unwrap_or(into.len());
    // A name that was cut within a character ends before it.
    let valid = match str::from_utf8(&into[..length]) {
        Ok(name) => name.len(),
        Err(error) => error.valid_up_to(),
    };
    str::from_utf8(&into[..valid]).unwrap_or_default()
}

/// Reads this process's own memory as far as there is any: how many bytes.
pub(super) fn read_memory(address: u64, into: &mut [u8]) -> usize {
    let to = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let from = libc::iovec { iov_base: address as *mut c_void, iov_len: into.len() };
    // SAFETY: the kernel writes no more than `into` has, and answers with an error where nothing can be read.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &to, 1, &from, 1, 0) };
    usize::try_from(read).unwrap_or(0)
}

/// Writes to the error output. Who does not read it cannot be helped.
pub(super) fn write_error(bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        // SAFETY: the bytes are there.
        match unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) } {
            written @ 1.. => rest = &rest[written as usize..],
            _ => return,
        }
    }
}

/// The length of an open file, unless the system does not tell: it says nothing of the length of a device.
pub(super) fn file_length(file: c_int) -> Option<u64> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills it in where it says that it succeeds.
    let status = unsafe { (libc::fstat(file, status.as_mut_ptr()) == 0).then(|| status.assume_init()) }?;
    (status.st_mode & libc::S_IFMT == libc::S_IFREG).then(|| status.st_size.cast_unsigned())
}

/// What is done now when this signal comes.
pub(super) fn disposition(signal: c_int) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: it only tells.
    if unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it has succeeded, and so filled it in.
    Ok(unsafe { action.assume_init() })
}

/// Whether a disposition is the default one.
pub(super) fn is_default(action: &libc::sigaction) -> bool {
    action.sa_sigaction == libc::SIG_DFL
}

/// Has `handler` run, on an alternate stack if the thread has one and with all signals blocked, when this signal comes.
///
/// # Safety
/// The handler does only what a signal handler may, whatever it interrupts.
pub(super) unsafe fn handle(signal: c_int, handler: Handler, flags: c_int) -> io::Result<()> {
    // SAFETY: zeros are an action: the default one, with no flags and nothing blocked.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | flags;
    // SAFETY: the set is a set; the handler is as the caller says.
    let done = unsafe {
        libc::sigfillset(&mut action.sa_mask);
        libc::sigaction(signal, &action, ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the signal its default disposition, and has it come once more, as it came, as soon as it is not blocked.
pub(super) fn send_again_by_default(info: &siginfo_t) {
    // SAFETY: a disposition of the system's own; the signal goes to this thread, and says what the kernel said.
    unsafe {
        libc::signal(info.si_signo, libc::SIG_DFL);
        libc::syscall(libc::SYS_rt_tgsigqueueinfo, libc::getpid(), thread_id(), info.si_signo, ptr::from_ref(info));
    }
}

/// No longer keeps a signal of this thread's waiting.
pub(super) fn unblock(signal: c_int) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` makes a set of it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut());
    }
}
