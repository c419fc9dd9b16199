//! Panics that unwind, for tests.
//!
//! The target's panics abort, and a program keeps that: its first panic is its end, and no table of frames is in its
//! image. Tests are different. libtest, `#[should_panic]` and `catch_unwind` want to go on after a panic, and where
//! that cannot be, hundreds of tests would each need a machine of their own. With this crate in an image (libos's
//! feature `unwind`, and `-Cpanic=unwind` for everything in it) they need none.
//!
//! The crate is the panic runtime of such an image, in the place of `std`'s own `panic_unwind`, which aborts on this
//! target: `std` is the installed source, unchanged. Frames are walked by the crate `unwinding`, which finds their
//! tables by the symbols in `libos/image.ld`, and which brings the personality routine too. No frame of libos is meant
//! to be unwound: a panic in one of its `extern "C"` functions ends the machine, as in every other image.
//!
//! On the host, which unwinds by itself, the crate is empty.
#![cfg_attr(target_os = "hermit", feature(panic_runtime, rustc_attrs, std_internals))]
#![cfg_attr(target_os = "hermit", panic_runtime)]
#![cfg_attr(target_os = "hermit", allow(internal_features))]
#![no_std]

#[cfg(target_os = "hermit")]
extern crate alloc;

#[cfg(target_os = "hermit")]
mod runtime;
