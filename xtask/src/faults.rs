//! `cargo xtask faults`: builds the guest programs and hands over to the program that injects faults into them.

use anyhow::{Context, Result};

use crate::apps;
use crate::cargo::{BOOTING_TESTS, host_cargo};
use crate::guest::{self, IMAGES_VARIABLE, Profile};
use crate::setup::{self, toolchain::Choice};

/// The program, a binary of the package that boots images.
const PROGRAM: &str = "faults";

/// Runs the campaign that `arguments` ask for and returns its exit status.
///
/// # Errors
/// When something is missing that cannot be installed from here, or the programs do not build.
pub fn faults(arguments: &[String], choice: Choice) -> Result<u8> {
    let toolchain = setup::ensure(choice, &[setup::QEMU])?;
    let images = guest::build(&toolchain, &apps::image_packages()?, Profile::Quick)?;
    let mut cargo = host_cargo("run");
    cargo.args(["--quiet", "--package", BOOTING_TESTS, "--bin", PROGRAM, "--"]);
    let status = cargo.args(arguments).env(IMAGES_VARIABLE, images).status().context("cannot run cargo")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
