//! `cargo xtask bench counts`: what a request costs the store in the guest, counted exactly.
//!
//! A plugin of QEMU's translator (`tests/plugin`) counts how often each block of the guest's instructions is executed.
//! All else is found out here, from the image: what the instructions are, in which function each is, and from which
//! source file it came. The guest's time goes with its instructions, so what it does does not depend on how fast this
//! computer is; when a client's next request comes does, a little.

mod budgets;
mod code;
mod components;
mod figures;
mod frames;
mod load;
mod report;
mod store;
mod tally;

use std::path::{Path, PathBuf};

use anyhow::Result;
use libos_contract::protection::ProtectionChoice;

use crate::guest::{self, Profile};
use crate::output::say;
use crate::qemu::Network;
use crate::setup::{self, toolchain::Choice};
pub use budgets::{BudgetAction, Budgets};
pub use load::Load;
pub use report::{Earlier, Report};
use store::{Store, StoreOptions};

/// Keys in the store, if nothing else is said.
pub const KEYS: u64 = 100_000;

/// What is to be counted.
#[derive(Clone, Debug)]
pub struct Options {
    /// The loads, in turn, and how many requests of each, at least.
    pub loads: Vec<(Load, u64)>,
    /// How many keys the store has.
    pub keys: u64,
    /// What protects the pool.
    pub protection: ProtectionChoice,
    /// How clients reach the store.
    pub network: Network,
}

/// Builds the store and counts.
///
/// # Errors
/// When something is missing, or the store does not do what it should.
pub fn measure(options: &Options, choice: Choice) -> Result<Report> {
    count(&build(choice)?, options)
}

/// Builds the store, and says where its image is.
///
/// # Errors
/// When something is missing, or it does not build.
pub fn build(choice: Choice) -> Result<PathBuf> {
    let toolchain = setup::ensure(choice, &[setup::QEMU])?;
    Ok(guest::build(&toolchain, &["kvstore"], Profile::Release)?.join("kvstore"))
}

/// Counts the store of this image.
///
/// # Errors
/// When the store does not do what it should.
pub fn count(image: &Path, options: &Options) -> Result<Report> {
    let &Options { protection, network, keys, .. } = options;
    let mut store = Store::start(image, StoreOptions { protection, network, keys })?;
    let mut report = Report::new(options);
    for &(load, requests) in &options.loads {
        let requests = requests.next_multiple_of((load.connections() * load.pipeline()) as u64);
        say(format_args!("{}: {requests} requests", load.name()));
        report.add(load, requests, store.count(load, requests)?);
    }
    Ok(report)
}
