//! Power, as programs see it: the request to shut down, and the end of the machine.
//!
//! The power button (for a virtual machine: the host's `system_powerdown`) is a request. A program that calls
//! [`wait_for_shutdown`] or [`shutdown_requested`] takes it upon itself to end; any other program is ended by a press
//! as by `std::process::exit(0)`.

pub use crate::drivers::power::{off, shutdown_requested, wait_for_shutdown};
