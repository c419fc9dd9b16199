//! Cargo on the host, and the packages that more than one command names to it.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

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

/// What cargo knows of the packages of this workspace: `packages`, a list.
///
/// # Errors
/// When cargo cannot read the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let output =
        host_cargo("metadata").args(["--format-version", "1", "--no-deps"]).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata says no JSON")
}
