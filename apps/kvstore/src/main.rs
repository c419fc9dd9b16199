//! A Redis-protocol store.
fn main() {}
