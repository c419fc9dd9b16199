//! `cargo xtask miri`: the host's unit tests of the modules with unsafe code, in an interpreter that finds undefined
//! behaviour.
//!
//! Miri runs what needs no machine: no assembly, no mapped files. What that leaves out is tested in booted images.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::host_cargo;
use crate::output::say;
use crate::setup::toolchain::find_program;

/// The toolchain that has Miri.
const TOOLCHAIN: &str = "nightly";
/// The crates whose unit tests run, and which of them: not those of modules without unsafe code that take an
/// interpreter hours. The network and the pool have none; `pmem-linux` copies to and from a device with it.
const TESTS: [(&str, &[&str]); 2] = [("libos", &["--skip", "net::"]), ("pmem-linux", &[])];
/// Of property tests, as many cases as an interpreter has time for.
const CASES: &str = "2";

/// Runs the tests and returns the exit status: 0 if Miri objected to nothing.
///
/// # Errors
/// When there is no Miri and it cannot be installed.
pub fn miri() -> Result<u8> {
    ensure_miri()?;
    let mut failed = Vec::new();
    for (package, which) in TESTS {
        say(format_args!("\n== {package} =="));
        let mut cargo = rustup_cargo("miri");
        cargo.args(["test", "--package", package, "--lib"]);
        cargo.arg("--").args(which);
        // Tests read the clock and their own files, and leak what stands for a device's memory.
        cargo.env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-ignore-leaks").env("PROPTEST_CASES", CASES);
        if !cargo.status().context("cannot run cargo")?.success() {
            failed.push(package);
        }
    }
    match failed.as_slice() {
        [] => say("\nMiri objects to nothing"),
        _ => say(format_args!("\nfailed: {}", failed.join(", "))),
    }
    Ok(u8::from(!failed.is_empty()))
}

/// Cargo of the toolchain that has Miri, through rustup.
fn rustup_cargo(subcommand: &str) -> Command {
    let this = host_cargo(subcommand);
    let mut cargo = Command::new("rustup");
    if let Some(folder) = this.get_current_dir() {
        cargo.current_dir(folder);
    }
    cargo.args(["run", TOOLCHAIN, "cargo", subcommand]);
    // Set by the cargo that started this program, for its own toolchain.
    cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
    cargo
}

fn ensure_miri() -> Result<()> {
    if find_program("rustup").is_none() {
        bail!("Miri comes with rustup, which is not here: see https://rustup.rs");
    }
    let mut version = rustup_cargo("miri");
    if version.arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let install = ["toolchain", "install", TOOLCHAIN, "--profile", "minimal", "--component", "miri,rust-src"];
    say(format_args!("setup: rustup {}", install.join(" ")));
    if !Command::new("rustup").args(install).status().context("cannot run rustup")?.success() {
        bail!("rustup has no Miri for today's nightly; try again tomorrow, or name an older nightly with it");
    }
    Ok(())
}
