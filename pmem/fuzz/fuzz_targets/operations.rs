//! See `pmem_fuzz::operations`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pmem_fuzz::operations(data));
