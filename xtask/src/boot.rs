//! `cargo xtask boot` and `cargo xtask guest-test`: one image in a machine, as cargo starts one test program after
//! another.
//!
//! `boot` is a cargo runner: it takes an image and the program's arguments, shows what the guest prints, and ends with
//! the guest's status. `guest-test` is `cargo test` for the guest with all that it takes: libtest built from source,
//! panics that unwind, and `boot` as the runner.

use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, Result, bail};

use crate::annotate::Annotator;
use crate::apps;
use crate::guest::Profile;
use crate::output::{say, warn};
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
    let mut annotator = Annotator::load(&options.image).with_context(|| {
        let images = workspace::guest_image_directory(Profile::Quick.name());
        format!(
            "this is no image to boot; `cargo xtask run --app NAME` leaves NAME's in {}",
            workspace::display(&images)
        )
    })?;
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
            Event::Line(line) => say(annotator.annotate(&line)),
            Event::Diagnostic(line) => warn(format_args!("QEMU: {line}")),
            Event::Exited(exit) => {
                // libtest has said what failed; of any other end only this tells.
                if !matches!(exit, Exit::Guest(0 | 101)) {
                    warn(exit);
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
/// When no package that runs in the guest is named, something is missing that cannot be installed from here, or cargo
/// cannot be run.
pub fn guest_test(arguments: &[String], smp: u32, memory: u64, choice: Choice) -> Result<u8> {
    let packages = packages(arguments, &apps::guest_packages()?)?;
    let targets = targets(arguments)?;
    let with_doc_tests = apps::with_doc_tests(&packages)?;
    if targets.is_some() && !with_doc_tests.is_empty() {
        let names = with_doc_tests.join(" --package ");
        say(format_args!("doc tests are left out; they run on the host: cargo test --doc --package {names}"));
    }
    let toolchain = setup::ensure(choice, &[setup::QEMU])?;
    let mut cargo = toolchain.guest_test_cargo(workspace::root(), &[])?;
    let own = std::env::current_exe().context("cannot find this program")?;
    let runner =
        [own.to_string_lossy().into_owned(), "boot".into(), format!("--smp={smp}"), format!("--memory={memory}")];
    let runner = serde_json::to_string(&runner)?;
    // A string of JSON is one of TOML.
    cargo.args(["--config", &format!("target.{}.runner={runner}", workspace::GUEST_TARGET)]);
    cargo.args(["--features", "libos/unwind"]).args(targets).args(arguments);
    let status = cargo.status().with_context(|| format!("cannot run {:?}", cargo.get_program()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// What cargo is to be told of the targets, where the arguments do not select any: all but the doc tests. Rustdoc
/// compiles these, each a program of its own, and cargo gives it neither the guest's flags nor the unwinding `std`.
///
/// # Errors
/// When doc tests are asked for.
fn targets(arguments: &[String]) -> Result<Option<&'static str>> {
    const SELECTIONS: [&str; 10] = [
        "--lib",
        "--bin",
        "--bins",
        "--test",
        "--tests",
        "--example",
        "--examples",
        "--bench",
        "--benches",
        "--all-targets",
    ];
    let mut options = arguments.iter().take_while(|word| *word != "--").map(|word| word.split('=').next());
    if options.clone().any(|option| option == Some("--doc")) {
        bail!("doc tests do not run in the guest; on the host: cargo test --doc --package NAME");
    }
    let selects = options.any(|option| option.is_some_and(|option| SELECTIONS.contains(&option)));
    Ok((!selects).then_some("--tests"))
}

/// The packages that the arguments of `cargo test` name. There have to be some, and only such as there are: cargo would
/// try to build all of the workspace for the guest, and complain of the feature that is asked of what it does not know.
fn packages<'a>(arguments: &'a [String], known: &[String]) -> Result<Vec<&'a str>> {
    let options = arguments.iter().take_while(|word| *word != "--");
    let mut words = options.map(String::as_str);
    let mut named = Vec::new();
    while let Some(word) = words.next() {
        let name = match word.strip_prefix("--package").or_else(|| word.strip_prefix("-p")) {
            Some("") => words.next().unwrap_or_default(),
            Some(name) => name.trim_start_matches('='),
            None => continue,
        };
        named.push(name);
    }
    let there_are = || format!("there are: {}", known.join(", "));
    if named.is_empty() {
        bail!("whose tests? name a package: cargo xtask guest-test -p NAME; {}", there_are());
    }
    match named.iter().find(|name| !known.iter().any(|known| known == *name)) {
        Some(name) => bail!("no package `{name}` here runs in the guest; {}", there_are()),
        None => Ok(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(line: &str) -> Result<(), String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        packages(&words, &["hello".into(), "pmem".into()]).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn packages_are_found_in_every_spelling() {
        for line in
            ["-p hello", "-phello", "-p=hello", "--package pmem", "--package=pmem", "x -p hello -p pmem -- -p no"]
        {
            assert_eq!(checked(line), Ok(()), "{line}");
        }
    }

    #[test]
    fn doc_tests_are_left_out_unless_targets_are_selected_and_refused_when_they_are_asked_for() {
        let told = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            targets(&words).map_err(|error| error.to_string())
        };
        for line in ["-p pmem", "-p pmem some_name", "-p pmem -- --test", "-p pmem --release"] {
            assert_eq!(told(line), Ok(Some("--tests")), "{line}");
        }
        for line in ["-p pmem --lib", "--test=panics -p pmem", "-p pmem --all-targets -- x"] {
            assert_eq!(told(line), Ok(None), "{line}");
        }
        assert!(told("-p pmem --doc").unwrap_err().contains("on the host: cargo test --doc"));
        assert_eq!(apps::with_doc_tests(&["hello", "libos-unwind", "pmem"]).unwrap(), ["libos-unwind", "pmem"]);
    }

    #[test]
    fn a_package_has_to_be_named_and_to_be_there() {
        for line in ["", "some_test", "-- -p hello"] {
            assert!(checked(line).unwrap_err().contains("guest-test -p NAME; there are: hello, pmem"), "{line}");
        }
        for line in ["-p helo", "-p hello --package=helo"] {
            assert!(
                checked(line).unwrap_err().contains("no package `helo` here runs in the guest; there are: hello"),
                "{line}"
            );
        }
        assert!(checked("-p").unwrap_err().contains("no package ``"));
    }
}
