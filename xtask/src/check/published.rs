//! The packages that are published, which are those whose manifest does not forbid it: each is made as it would be
//! uploaded, with the others that it needs, and built from that alone; and each builds with the oldest Rust that it
//! names, whatever features are chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{dependencies, succeed};
use crate::cargo::host_cargo;
use crate::output::say;
use crate::setup::toolchain::find_program;
use crate::workspace;

/// The features that programs choose: none, all, and those of a `no_std` program's tests.
const FEATURES: [&[&str]; 3] =
    [&["--no-default-features"], &["--all-features"], &["--no-default-features", "--features=sim"]];

/// Checks all of them. Cargo asks its registry whether a version is there already.
pub(super) fn check() -> Result<()> {
    let metadata = dependencies::metadata()?;
    let packages = published(&metadata)?;
    if packages.is_empty() {
        bail!("every package of the workspace forbids to be published");
    }
    forget_unpacked(&packages)?;
    let mut command = host_cargo("publish");
    command.args(["--dry-run", "--locked", "--allow-dirty"]);
    select(&mut command, packages.iter().map(|package| package.name));
    succeed(command)?;
    let mut oldest: BTreeMap<&str, Vec<&Package<'_>>> = BTreeMap::new();
    for package in &packages {
        oldest.entry(package.oldest).or_default().push(package);
    }
    oldest.iter().try_for_each(|(version, packages)| build_with(version, packages))
}

/// Has cargo unpack these packages anew. What it unpacked once of a version, which in a registry never changes, it
/// takes for ever, and so it does with ours, which do: for those that need them it makes a registry of its own, in a
/// folder without a host's name.
fn forget_unpacked(packages: &[Package<'_>]) -> Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).context("there is no home directory")?;
    // There is none before cargo unpacks anything.
    for registry in fs::read_dir(home.join("registry/src")).into_iter().flatten() {
        let registry = registry?.path();
        if !registry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('-')) {
            continue;
        }
        for Package { name, version, .. } in packages {
            let unpacked = registry.join(format!("{name}-{version}"));
            if unpacked.is_dir() {
                fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))?;
            }
        }
    }
    Ok(())
}

/// A package that is published.
#[derive(Debug, PartialEq, Eq)]
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    /// The oldest Rust that builds it.
    oldest: &'a str,
    features: BTreeSet<&'a str>,
}

/// The members that may be published. Cargo says `null` where a manifest says nothing of it.
fn published(metadata: &Value) -> Result<Vec<Package<'_>>> {
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let members = packages.iter().filter(|package| package["source"].is_null() && package["publish"].is_null());
    members
        .map(|package| {
            let name = package["name"].as_str().context("a package without a name in cargo metadata")?;
            let version = package["version"].as_str().with_context(|| format!("{name} has no version"))?;
            let oldest = package["rust_version"].as_str().with_context(|| format!("{name} names no `rust-version`"))?;
            let features = package["features"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
            Ok(Package { name, version, oldest, features: features.collect() })
        })
        .collect()
}

fn select<'a>(command: &mut Command, names: impl Iterator<Item = &'a str>) {
    for name in names {
        command.args(["--package", name]);
    }
}

/// Builds packages with this version of Rust. Where it cannot be had, that is said, and no failure: it is another
/// compiler than the one that is asked for everywhere else.
fn build_with(version: &str, packages: &[&Package<'_>]) -> Result<()> {
    let names = packages.iter().map(|package| package.name).collect::<Vec<_>>().join(", ");
    let Some(cargo) = Compiler::of(version)? else {
        say(format_args!("NOT CHECKED with Rust {version}, which rustup cannot get here: {names}"));
        return Ok(());
    };
    for features in FEATURES {
        let chosen = features.iter().find_map(|option| option.strip_prefix("--features="));
        let mut having =
            packages.iter().filter(|package| chosen.is_none_or(|name| package.features.contains(name))).peekable();
        if having.peek().is_some() {
            let mut command = cargo.check();
            select(&mut command, having.map(|package| package.name));
            command.args(features);
            succeed(command).with_context(|| format!("with Rust {version} and {}", features.join(" ")))?;
        }
    }
    say(format_args!("built with Rust {version}: {names}"));
    Ok(())
}

/// Who compiles.
enum Compiler {
    /// The toolchain that runs this.
    Host,
    /// Another one of rustup's.
    Rustup(String),
}

impl Compiler {
    /// The one of this version, such as `1.89`, which is got if need be. `None` if it cannot be.
    fn of(version: &str) -> Result<Option<Compiler>> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc).arg("--version").output().context("cannot run rustc")?;
        if is_release_of(&String::from_utf8_lossy(&output.stdout), version) {
            return Ok(Some(Compiler::Host));
        }
        if find_program("rustup").is_none() {
            return Ok(None);
        }
        // The first release of that version.
        let toolchain = format!("{version}.0");
        let is_there = || {
            let mut command = Command::new("rustup");
            command.args(["run", &toolchain, "rustc", "--version"]).output().is_ok_and(|output| output.status.success())
        };
        if !is_there() {
            say(format_args!("setup: rustup toolchain install {toolchain} --profile minimal"));
            let mut command = Command::new("rustup");
            command.args(["toolchain", "install", &toolchain, "--profile", "minimal", "--no-self-update"]);
            command.status().context("cannot run rustup")?;
        }
        Ok(is_there().then_some(Compiler::Rustup(toolchain)))
    }

    /// The command that compiles and makes no programs.
    fn check(&self) -> Command {
        let mut command = match self {
            Compiler::Host => host_cargo("check"),
            Compiler::Rustup(toolchain) => {
                let mut command = Command::new("rustup");
                command.current_dir(workspace::root()).args(["run", toolchain, "cargo", "check"]);
                // What the cargo that runs this has set names its own toolchain.
                command
                    .env_remove("RUSTC")
                    .env_remove("CARGO")
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("LD_LIBRARY_PATH");
                command.arg("--target-dir").arg(workspace::target_directory().join("oldest-rust"));
                command
            }
        };
        command.arg("--locked");
        command
    }
}

/// Whether a compiler that says so of itself, such as `rustc 1.89.0 (…)`, is of that version, such as `1.89`.
fn is_release_of(said: &str, version: &str) -> bool {
    let number = said.split_whitespace().nth(1).unwrap_or_default();
    number.strip_prefix(version).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_package_is_published_unless_it_forbids_it_or_is_somebody_elses() {
        let package = |name: &str, publish: Value, source: Value| json!({ "name": name, "version": "0.1.0", "publish": publish, "source": source, "rust_version": "1.89", "features": { "sim": [] } });
        let metadata = json!({ "packages": [
            package("a", Value::Null, Value::Null),
            package("b", json!([]), Value::Null),
            package("c", Value::Null, json!("registry")),
        ]});
        let a = Package { name: "a", version: "0.1.0", oldest: "1.89", features: BTreeSet::from(["sim"]) };
        assert_eq!(published(&metadata).unwrap(), [a]);
        let silent = json!({ "packages": [{ "name": "a", "version": "0.1.0" }] });
        assert!(published(&silent).unwrap_err().to_string().contains("rust-version"));
    }

    #[test]
    fn a_compiler_is_known_by_what_it_says() {
        assert!(is_release_of("rustc 1.89.0 (29483883e 2025-08-04)\n", "1.89"));
        assert!(!is_release_of("rustc 1.89.0 (29483883e 2025-08-04)\n", "1.8"));
        assert!(!is_release_of("rustc 1.95.0 (59807616e 2026-04-14)\n", "1.89"));
        assert!(!is_release_of("", "1.89"));
    }
}
