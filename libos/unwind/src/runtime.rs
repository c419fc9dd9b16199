//! The two functions that `std` wants of a panic runtime: start a panic, and take its payload where it is caught.

use alloc::boxed::Box;
use core::any::Any;
use core::mem;
use core::panic::PanicPayload;
use core::ptr;

use unwinding::abi::{_Unwind_RaiseException, UnwindException, UnwindReasonCode};

/// What Rust's exceptions are marked with.
const CLASS: u64 = u64::from_ne_bytes(*b"MOZ\0RUST");

/// A panic on its way: the unwinder's header first, as it hands out a pointer to that.
#[repr(C)]
struct Exception {
    header: UnwindException,
    payload: Box<dyn Any + Send>,
}

unsafe extern "C" {
    /// `std`'s end of a program that drops a panic instead of throwing it on.
    #[rustc_std_internal_symbol]
    fn __rust_drop_panic() -> !;
    /// `std`'s end of a program that catches an exception of another language.
    #[rustc_std_internal_symbol]
    fn __rust_foreign_exception() -> !;
    /// libos's: prints where the thread is, if somebody wants to know.
    safe fn libos_panicking();
}

/// Unwinds the stack with the payload; returns, with the unwinder's reason, only if nothing up there catches it.
///
/// # Safety
/// `std` alone calls this, once for each panic.
#[rustc_std_internal_symbol]
unsafe fn __rust_start_panic(payload: &mut dyn PanicPayload) -> u32 {
    libos_panicking();
    // SAFETY: `take_box` gives a box's pointer away, once.
    let payload = unsafe { Box::from_raw(payload.take_box()) };
    // SAFETY: the header is a number, a function or none, and numbers: all zeros is a value of it. The unwinder's own
    // numbers are private and start as zeros.
    let mut header: UnwindException = unsafe { mem::zeroed() };
    header.exception_class = CLASS;
    header.exception_cleanup = Some(dropped);
    let exception = Box::into_raw(Box::new(Exception { header, payload }));
    // SAFETY: the exception lives on the heap until it is caught or dropped, and begins with its header.
    let reason = unsafe { _Unwind_RaiseException(exception.cast()) };
    reason.0.cast_unsigned()
}

/// What the unwinder calls for an exception that its catcher drops.
///
/// # Safety
/// `exception` was raised by [`__rust_start_panic`], and nobody uses it any more.
unsafe extern "C" fn dropped(_: UnwindReasonCode, exception: *mut UnwindException) {
    // SAFETY: the caller's: it is the box that was raised.
    drop(unsafe { Box::from_raw(exception.cast::<Exception>()) });
    // SAFETY: it takes nothing and never returns.
    unsafe { __rust_drop_panic() }
}

/// The payload of a panic that was caught.
///
/// # Safety
/// `std` alone calls this, with the pointer that its landing pad got.
#[expect(improper_ctypes_definitions, reason = "both sides are Rust of one compiler; the signature is `std`'s")]
#[rustc_std_internal_symbol]
unsafe extern "C" fn __rust_panic_cleanup(exception: *mut u8) -> *mut (dyn Any + Send + 'static) {
    let exception = exception.cast::<Exception>();
    // SAFETY: whoever raised it, an exception begins with a header.
    if unsafe { ptr::addr_of!((*exception).header.exception_class).read() } != CLASS {
        // SAFETY: it takes nothing and never returns.
        unsafe { __rust_foreign_exception() };
    }
    // SAFETY: the image has one panic runtime, so what is marked as Rust's was boxed above.
    let exception = unsafe { Box::from_raw(exception) };
    Box::into_raw(exception.payload)
}
