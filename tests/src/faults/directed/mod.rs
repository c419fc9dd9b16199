//! Directed stray accesses: every shape of access in every context under every backend, each in a boot of its own.
//!
//! Owns the list of cells, what is expected of each, and how it is judged: by the exit status, by the report, and by
//! both images, byte for byte. The control group, without protection, must corrupt or read in every cell, or the cell
//! proves nothing. Never: how an access is made, which is the guest program's (`tests/programs/src/bin/stray`).

mod cell;
mod contexts;
mod images;
mod matrix;
mod shapes;
mod table;

pub use cell::{BACKENDS, Cell, Expected};
pub use contexts::{CONTEXTS, Context};
pub use images::LENGTH;
pub use matrix::{Finished, run};
pub use shapes::{named, shapes};
pub use table::{expected_table, json, terminal_table, write_table};
