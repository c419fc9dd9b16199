//! `cargo xtask check`: everything that can be judged without running the program.
//!
//! Each check is one step with a name. All of them run, whatever the earlier ones found, so that one run tells
//! everything.

mod dependencies;
mod documents;
mod floors;
mod published;
mod sources;

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use crate::cargo::{BOOTING_TESTS, host_cargo};
use crate::output::say;
use crate::setup::toolchain::{Choice, Toolchain, find_program};
use crate::{apps, guest, setup, workspace};

/// The documentation is for who works on Holdfast: it has the private items, and public ones may refer to them.
const RUSTDOC_FLAGS: &str = "--deny warnings --allow rustdoc::private_intra_doc_links";

/// Runs every check, or the one that is called `only`, prints what each found, and returns the exit status: 0 if all is
/// well.
///
/// # Errors
/// When something is missing that cannot be installed from here, or no check is called so.
pub fn check(only: Option<&str>, choice: Choice) -> Result<u8> {
    let toolchain = setup::ensure(choice, &[])?;
    ensure_component("cargo-fmt", "rustfmt")?;
    ensure_component("cargo-clippy", "clippy")?;
    let all: [(&str, &dyn Fn() -> Result<()>); 10] = [
        ("format", &format),
        ("lints, host", &clippy_host),
        ("lints, guest", &|| clippy_guest(&toolchain)),
        ("documentation, host", &document_host),
        ("documentation, guest", &|| document_guest(&toolchain)),
        ("dependencies", &dependencies::check),
        ("published", &published::check),
        ("floors", &floors::check),
        ("sources", &sources::check),
        ("documents", &documents::check),
    ];
    let steps: Vec<_> = all.iter().filter(|(name, _)| only.is_none_or(|only| *name == only)).collect();
    if steps.is_empty() {
        bail!("there is no such check, only these: {}", all.map(|(name, _)| name).join("; "));
    }
    let mut failed = Vec::new();
    for (name, step) in &steps {
        say(format_args!("== {name} =="));
        let began = Instant::now();
        match step() {
            Ok(()) => say(format_args!("== {name}: ok in {:.1} s ==\n", began.elapsed().as_secs_f64())),
            Err(error) => {
                say(format_args!("{error:#}\n== {name}: FAILED ==\n"));
                failed.push(*name);
            }
        }
    }
    match failed.as_slice() {
        [] => say(format_args!("check: {} of {} steps are clean", steps.len(), steps.len())),
        _ => say(format_args!("check: FAILED: {}", failed.join("; "))),
    }
    Ok(u8::from(!failed.is_empty()))
}

/// Makes sure that rustup's component for a cargo command is there.
fn ensure_component(program: &str, component: &str) -> Result<()> {
    let works =
        || host_cargo(&program["cargo-".len()..]).arg("--version").output().is_ok_and(|output| output.status.success());
    if works() {
        return Ok(());
    }
    if find_program("rustup").is_some() {
        say(format_args!("setup: rustup component add {component}"));
        let status = Command::new("rustup").args(["component", "add", component]).status()?;
        if status.success() && works() {
            return Ok(());
        }
    }
    bail!("`{program}` is missing; type this, and start again:\n\n    rustup component add {component}")
}

fn succeed(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if status.success() { Ok(()) } else { Err(anyhow!("cargo's messages are above")) }
}

fn format() -> Result<()> {
    let mut command = host_cargo("fmt");
    command.args(["--all", "--check"]);
    succeed(command)
}

/// Selects what runs on the host: the default members, and the tests that boot images.
fn host_packages(command: &mut Command) -> Result<()> {
    for name in dependencies::default_members()? {
        command.args(["--package", &name]);
    }
    command.args(["--package", BOOTING_TESTS]);
    Ok(())
}

fn clippy_host() -> Result<()> {
    let mut command = host_cargo("clippy");
    host_packages(&mut command)?;
    command.args(["--all-targets", "--keep-going", "--", "--deny", "warnings"]);
    succeed(command)
}

/// Clippy is a compiler of its own, and has to be of the version that the library source belongs to.
fn clippy_guest(toolchain: &Toolchain) -> Result<()> {
    if !toolchain.is_host() {
        bail!("clippy can only check the guest with rustup's library source: rustup component add rust-src");
    }
    for_guest(toolchain, "clippy", |command| command.args(["--keep-going", "--", "--deny", "warnings"]))
}

fn document_host() -> Result<()> {
    let mut command = host_cargo("doc");
    host_packages(&mut command)?;
    command.args(["--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", RUSTDOC_FLAGS);
    succeed(command)
}

fn document_guest(toolchain: &Toolchain) -> Result<()> {
    for_guest(toolchain, "doc", |command| {
        command.args(["--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", RUSTDOC_FLAGS)
    })
}

/// Has cargo go over the crates below the programs, and the programs; and over libos once more as the tests have it.
fn for_guest(toolchain: &Toolchain, subcommand: &str, complete: impl Fn(&mut Command) -> &mut Command) -> Result<()> {
    let libraries = ["libos-contract", "libos-unwind", "pmem", "pmem-medium"].map(str::to_owned);
    let packages: Vec<_> = libraries.into_iter().chain(apps::image_packages()?).collect();
    for together in guest::builds(&packages) {
        let mut command = toolchain.guest_cargo(subcommand);
        for package in ["libos"].into_iter().chain(together) {
            command.args(["--package", package]);
        }
        complete(&mut command);
        succeed(command)?;
    }
    Ok(())
}

/// The files of the repository, relative to its root.
fn tracked_files() -> Result<Vec<String>> {
    let output = Command::new("git")
        .current_dir(workspace::root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("`git ls-files` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
