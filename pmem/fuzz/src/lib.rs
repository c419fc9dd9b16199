//! What fuzzers do to the pool: each target is a function of bytes that ends in a panic when the pool did wrong.
//!
//! Owns: how bytes become images and operations, and what must hold for any of them. Never: where the bytes come from.
//! libFuzzer finds them (`cargo xtask fuzz`); what it found worth keeping is in `corpus`, and `pmem/tests/fuzz.rs` runs
//! all of that, and a few thousand more, in the usual tests.

mod image;
mod input;
mod operations;
mod seal;

#[path = "../../tests/crash/life.rs"]
#[allow(dead_code, missing_docs, reason = "the tests of power cuts use more of it than fuzzing does")]
mod life;

pub use image::open_image;
pub use operations::operations;
