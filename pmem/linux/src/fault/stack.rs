//! The stack on which reports are made: a thread's alternate one has room for a frame, but not for a symboliser.

use core::arch::naked_asm;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::io;

use super::system;
use crate::alternate::{self, GUARD};

/// How large it is.
const SIZE: usize = 1 << 20;

/// Where it ends, above; 0 before [`prepare`].
static TOP: AtomicUsize = AtomicUsize::new(0);
/// The thread that is on it; 0 if none is.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// Maps the stack, once.
pub(super) fn prepare() -> io::Result<()> {
    TOP.store(alternate::map(SIZE)? as usize + GUARD + SIZE, Ordering::Release);
    Ok(())
}

/// Calls `function(data)` on the stack that ends at `top`. It says how its caller is found, so that a backtrace leads
/// through it.
///
/// # Safety
/// Nobody else is on that stack, which is large enough, and `top` is a multiple of 16; the function may be called with
/// the data, and does not unwind.
#[unsafe(naked)]
unsafe extern "C" fn call_on_stack(top: usize, data: *mut c_void, function: extern "C" fn(*mut c_void)) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, rdi",
        "mov rdi, rsi",
        "call rdx",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    );
}

/// Runs `work` on the stack of reports, where one thread is at a time; `None` in a thread that is there already, and
/// before there is one. All signals are blocked, so that nothing else comes to run on top of this thread meanwhile.
pub(super) fn on_report_stack<R>(work: impl FnOnce() -> R) -> Option<R> {
    let top = TOP.load(Ordering::Acquire);
    let thread = system::thread_id();
    if top == 0 || OWNER.load(Ordering::Relaxed) == thread {
        return None;
    }
    while OWNER.compare_exchange(0, thread, Ordering::Acquire, Ordering::Relaxed).is_err() {
        system::give_way();
    }
    let mut job = Job { work: Some(work), result: None };
    let function = entry(&job);
    // SAFETY: nobody else is on the stack, which is mapped for ever, ends at `top`, a multiple of 16, and is as large
    // as any. The job outlives the call.
    unsafe { call_on_stack(top, ptr::from_mut(&mut job).cast(), function) };
    OWNER.store(0, Ordering::Release);
    job.result
}

/// What is to be done on the stack, and what came of it.
struct Job<F, R> {
    work: Option<F>,
    result: Option<R>,
}

/// The function that does what such a job is.
fn entry<F: FnOnce() -> R, R>(_: &Job<F, R>) -> extern "C" fn(*mut c_void) {
    run::<F, R>
}

extern "C" fn run<F: FnOnce() -> R, R>(job: *mut c_void) {
    // SAFETY: `on_report_stack` has made it of a job of this type, which nothing else uses meanwhile.
    let job = unsafe { &mut *job.cast::<Job<F, R>>() };
    job.result = job.work.take().map(|work| work());
}
