//! Threads, channels and time.
fn main() {}
