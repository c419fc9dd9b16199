//! `cargo xtask bench`, with and without `native`: the store beside other servers, on this computer. In a machine of
//! QEMU's ([`guest`]), where it is at home, or as a process of Linux ([`native`]), without an emulator.
//!
//! Other work on the computer changes what is measured. So the contenders take turns ([`session`]), each figure is a
//! median of several runs with its spread, and the ratios are medians of those in each round. The processor time is the
//! server's alone, and the steadiest figure.

pub mod boot;
mod compare;
mod computer;
mod document;
mod grants;
pub mod guest;
mod hardware;
mod load;
pub mod native;
mod plots;
mod redis;
mod report;
mod rows;
mod server;
mod session;
mod statistics;
mod targets;
mod workload;

use std::env;
use std::process::Command;

use crate::workspace;
pub use compare::Earlier;
pub use report::Report;
pub use workload::Group;

/// What the store is called here.
const STORE: &str = "store";

/// The runs of each server under each load.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// How many.
    pub rounds: u32,
    /// How long each lasts, about, in seconds.
    pub seconds: f64,
}

/// The store's version, and which commit it is built from.
fn version() -> String {
    format!("{}, {}", env!("CARGO_PKG_VERSION"), commit())
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(workspace::root()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "commit unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    format!("commit {commit}{}", if changed { " with changes" } else { "" })
}
