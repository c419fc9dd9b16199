//! Cargo on the host, and the packages that more than one command names to it.

use std::process::Command;

use crate::workspace;

/// The package whose tests boot images.
pub(crate) const BOOTING_TESTS: &str = "holdfast-tests";
/// The package with the programs that only tests boot.
pub(crate) const TEST_PROGRAMS: &str = "test-programs";

/// A cargo command for the host, run in the root of the checkout.
pub(crate) fn host_cargo(subcommand: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root()).arg(subcommand);
    command
}
