//! Boots images and looks at them from outside: what they print, how they end, what they leave in the image files, and
//! what they answer.
//!
//! `cargo xtask test` builds the guest programs first and says where they are. A test of this crate knows nothing of
//! the guest's inside; it starts machines by the library of xtask, exactly as `cargo xtask run` does.
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! crash, faults: power cuts; stray accesses
//! load, store
//! http, pattern, resp, soak
//! elf, gdb, host_store, machine, random, xtask
//! ```

pub mod crash;
pub mod elf;
pub mod faults;
pub mod gdb;
pub mod host_store;
pub mod http;
pub mod load;
pub mod machine;
pub mod pattern;
pub mod random;
pub mod resp;
pub mod soak;
pub mod store;
pub mod xtask;
