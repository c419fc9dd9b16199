//! The server as its clients see it: the real program, on a file of its own, over TCP.
//!
//! No test depends on how long something takes: the timeouts only turn a hang into a failure.

mod clients;
mod disk;
mod durability;
mod host;
mod load;
mod protocol;
mod service;
mod start;
