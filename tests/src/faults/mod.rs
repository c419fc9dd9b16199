//! Faults injected into a running store from outside, and the judgement of what they leave in persistent memory.
//!
//! This room owns what `cargo xtask faults` does: which faults there are, where they go, what the images have to look
//! like afterwards, and the report. The guest does not know that it is watched: everything happens through QEMU's
//! debugger stub, and is judged from the image files on the host. Nothing here knows how libos keeps its promise,
//! beyond the names of a few functions and the register that holds the rights.
//!
//! [`directed`] is a room of its own: its guest goes astray by itself, in every way that there is.

pub mod campaign;
pub mod debugger;
pub mod directed;
pub mod inject;
pub mod integrity;
pub mod judge;
pub mod load;
pub mod memory;
pub mod moment;
pub mod native;
pub mod places;
pub mod plan;
pub mod record;
pub mod report;
pub mod rights;
pub mod run;
pub mod runs;
pub mod template;
pub mod windows;
