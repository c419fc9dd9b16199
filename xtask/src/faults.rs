//! `cargo xtask faults`: builds the guest programs and hands over to the program that injects faults into them.

use anyhow::{Context, Result, bail};

use crate::apps;
use crate::cargo::{BOOTING_TESTS, host_cargo};
use crate::guest::{self, IMAGES_VARIABLE, Profile};
use crate::setup::{self, toolchain::Choice};
use crate::workspace;

/// The program, a binary of the package that boots images.
const PROGRAM: &str = "faults";

/// The option by which faults are injected into a process of Linux.
const NATIVE: &str = "--native";
/// The variable that tells the program where the store for Linux is.
pub const STORE_VARIABLE: &str = "HOLDFAST_NATIVE_STORE";

/// Runs the campaign that `arguments` ask for and returns its exit status.
///
/// # Errors
/// When something is missing that cannot be installed from here, or the programs do not build.
pub fn faults(arguments: &[String], choice: Choice) -> Result<u8> {
    if arguments.iter().any(|argument| argument == NATIVE) {
        return native(arguments);
    }
    let toolchain = setup::ensure(choice, &[setup::QEMU])?;
    let images = guest::build(&toolchain, &apps::image_packages()?, Profile::Quick)?;
    let mut cargo = host_cargo("run");
    cargo.args(["--quiet", "--package", BOOTING_TESTS, "--bin", PROGRAM, "--"]);
    let status = cargo.args(arguments).env(IMAGES_VARIABLE, images).status().context("cannot run cargo")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The campaign at a process. Both programs are optimised, for both are run many times, and perhaps emulated.
fn native(arguments: &[String]) -> Result<u8> {
    let quick = Profile::Quick.name();
    let built =
        host_cargo("build").args(["--profile", quick, "--package", "kvstore"]).status().context("cannot run cargo")?;
    if !built.success() {
        bail!("the store did not build (cargo's messages are above)");
    }
    let store = workspace::target_directory().join(quick).join("kvstore");
    let mut cargo = host_cargo("run");
    cargo.args(["--quiet", "--profile", quick, "--package", BOOTING_TESTS, "--bin", PROGRAM, "--"]).args(arguments);
    let status = cargo.env(STORE_VARIABLE, store).status().context("cannot run cargo")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
