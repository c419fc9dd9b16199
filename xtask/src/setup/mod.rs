//! Finds what a machine lacks to build and run Holdfast, and installs it by the ordinary means: rustup for Rust's
//! library source, Debian's packages for the rest. Every step is said before it is taken. It never installs what is
//! there already, and where it may not install it names the one command that a person types instead.

pub mod apt;
pub mod toolchain;

use std::process::Command;

use anyhow::{Result, anyhow};

use toolchain::{Choice, DEBIAN_PACKAGES, Toolchain, find_program};

use crate::output::say;

/// A program that a command of xtask runs, and Debian's package of it.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The program's name on the `PATH`.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
}

/// The emulator.
pub const QEMU: Tool = Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" };
/// Redis's own client, which the tests drive.
pub const REDIS_CLI: Tool = Tool { program: "redis-cli", package: "redis-tools" };
/// Redis's load generator, which the tests drive too.
pub const REDIS_BENCHMARK: Tool = Tool { program: "redis-benchmark", package: "redis-tools" };

/// The debugger that the tests drive.
pub const GDB: Tool = Tool { program: "gdb", package: "gdb" };

/// What the tests run besides QEMU.
pub const FOR_TESTS: [Tool; 4] = [QEMU, REDIS_CLI, REDIS_BENCHMARK, GDB];

/// Makes sure that `tools` and a toolchain for the guest are there, installing what is not.
///
/// # Errors
/// When something is missing and cannot be installed from here; the message then has the one command to type.
pub fn ensure(choice: Choice, tools: &[Tool]) -> Result<Toolchain> {
    let mut packages: Vec<&'static str> = Vec::new();
    for tool in tools {
        if find_program(tool.program).is_none() && !packages.contains(&tool.package) {
            say(format_args!("setup: {} is missing", tool.program));
            packages.push(tool.package);
        }
    }

    let mut found = find(choice);
    let mut by_hand = Vec::new();
    if found.is_none() {
        say("setup: the library source of Rust is missing, which the guest's std is built from");
        if choice != Choice::Debian {
            found = add_rust_src();
        }
        match (&found, choice) {
            (Some(_), _) => {}
            (None, Choice::Rustup) => by_hand.push("rustup component add rust-src".to_owned()),
            (None, Choice::Auto | Choice::Debian) => packages.extend(DEBIAN_PACKAGES),
        }
    }

    if !packages.is_empty() {
        match apt::may_install() {
            Ok(()) => apt::install(&packages)?,
            Err(reason) => {
                say(format_args!("setup: cannot install {}: {reason}", packages.join(", ")));
                by_hand.push(apt::command_to_type(&packages));
            }
        }
    }
    if !by_hand.is_empty() {
        return Err(anyhow!(
            "something is missing that cannot be installed from here; type this, and start again:\n\n    {}",
            by_hand.join(" && ")
        ));
    }

    for tool in tools {
        if find_program(tool.program).is_none() {
            return Err(anyhow!("{} is installed, but there is no {} on the PATH", tool.package, tool.program));
        }
    }
    found
        .or_else(|| find(choice))
        .ok_or_else(|| anyhow!("{} are installed, but make no complete toolchain", DEBIAN_PACKAGES.join(", ")))
}

/// The toolchain that `choice` allows, if it is complete as it stands.
fn find(choice: Choice) -> Option<Toolchain> {
    match choice {
        Choice::Rustup => Toolchain::host(),
        Choice::Debian => Toolchain::debian(),
        Choice::Auto => Toolchain::host().or_else(Toolchain::debian),
    }
}

/// Tries `rustup component add rust-src` and returns the toolchain that is complete afterwards.
fn add_rust_src() -> Option<Toolchain> {
    if find_program("rustup").is_none() {
        say("setup: there is no rustup here to add it");
        return None;
    }
    say("setup: rustup component add rust-src");
    match Command::new("rustup").args(["component", "add", "rust-src"]).status() {
        Ok(status) if status.success() => Toolchain::host(),
        Ok(_) => {
            say("setup: rustup could not add rust-src");
            None
        }
        Err(error) => {
            say(format_args!("setup: rustup cannot be run: {error}"));
            None
        }
    }
}
