//! `cargo xtask boot` and `cargo xtask guest-test`: one image in a machine, as cargo starts one test program after
//! another.
//!
//! `boot` is a cargo runner: it takes an image and the program's arguments, shows what the guest prints, and ends with
//! the guest's status. `guest-test` is `cargo test` for the guest with all that it takes: libtest built from source,
//! panics that unwind, and `boot` as the runner.

use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, Result};

use crate::annotate::Annotator;
use crate::qemu::{Event, Exit, Machine, MachineOptions, Network};
use crate::setup::{self, toolchain::Choice};
use crate::workspace;

/// What variables have in front that the guest's program gets too: RUST_BACKTRACE, RUST_TEST_THREADS and others.
const HANDED_ON: &str = "RUST_";

/// The machine for an image.
#[derive(Clone, Debug)]
pub struct BootOptions {
    /// The image.
    pub image: PathBuf,
    /// The program's arguments.
    pub arguments: Vec<String>,
    /// Processors.
    pub smp: u32,
    /// RAM in bytes.
    pub memory: u64,
    /// Whether there is a network card.
    pub network: bool,
}

/// Boots an image, shows what the guest prints with names for the addresses in it, and returns the guest's status.
///
/// # Errors
/// When the image cannot be read or QEMU cannot be run.
pub fn boot(options: BootOptions) -> Result<u8> {
    let mut annotator = Annotator::load(&options.image)?;
    let name = options.image.file_stem().map(|name| name.to_string_lossy().into_owned());
    let machine = MachineOptions {
        name: name.context("the image has no name")?,
        arguments: options.arguments,
        environment: std::env::vars().filter(|(name, _)| name.starts_with(HANDED_ON)).collect(),
        memory: options.memory,
        smp: options.smp,
        network: if options.network { Network::User } else { Network::None },
        image: options.image,
        ..MachineOptions::default()
    };
    let (sender, news) = mpsc::channel();
    let _machine = Machine::start(machine, Some(sender))?;
    for event in news {
        match event {
            Event::Line(line) => println!("{}", annotator.annotate(&line)),
            Event::Diagnostic(line) => eprintln!("QEMU: {line}"),
            Event::Exited(exit) => {
                // libtest has said what failed; of any other end only this tells.
                if !matches!(exit, Exit::Guest(0 | 101)) {
                    eprintln!("{exit}");
                }
                return Ok(exit.code());
            }
        }
    }
    Ok(Exit::Qemu(1).code())
}

/// Runs `cargo test` for the guest with these further arguments, in machines with so many processors and so much RAM,
/// and returns cargo's status.
///
/// # Errors
/// When something is missing that cannot be installed from here, or cargo cannot be run.
pub fn guest_test(arguments: &[String], smp: u32, memory: u64, choice: Choice) -> Result<u8> {
    let toolchain = setup::ensure(choice, &[setup::QEMU])?;
    let mut cargo = toolchain.guest_test_cargo(workspace::root(), &[])?;
    let own = std::env::current_exe().context("cannot find this program")?;
    let runner =
        [own.to_string_lossy().into_owned(), "boot".into(), format!("--smp={smp}"), format!("--memory={memory}")];
    let runner = serde_json::to_string(&runner)?;
    // A string of JSON is one of TOML.
    cargo.args(["--config", &format!("target.{}.runner={runner}", workspace::GUEST_TARGET)]);
    cargo.args(["--features", "libos/unwind"]).args(arguments);
    let status = cargo.status().with_context(|| format!("cannot run {:?}", cargo.get_program()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
