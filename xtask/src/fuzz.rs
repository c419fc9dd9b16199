//! `cargo xtask fuzz`: looks for inputs that the pool does not stand, with cargo-fuzz and libFuzzer.
//!
//! Begins with the corpus in the repository and keeps what it learns under `target/fuzz`, so that the next run goes on
//! from there. What makes a target fail is kept too, and named at the end.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::host_cargo;
use crate::output::say;
use crate::setup::toolchain::find_program;
use crate::workspace;

/// The targets, as `pmem/fuzz/fuzz_targets` has them.
pub const TARGETS: [&str; 2] = ["open_image", "operations"];
/// The longest input, in bytes: enough for every decision that a target takes.
const LONGEST_INPUT: u32 = 800;
/// An input that takes longer than this, in seconds, hangs.
const SLOWEST_INPUT: u32 = 30;

/// Fuzzes `only` this target, or all of them one after the other, for `seconds` each. Returns the exit status: 0 if
/// nothing was found.
///
/// # Errors
/// When cargo-fuzz is not there and cannot be installed, or a target does not build.
pub fn fuzz(only: Option<&str>, seconds: u32) -> Result<u8> {
    let targets: Vec<_> = TARGETS.into_iter().filter(|target| only.is_none_or(|only| only == *target)).collect();
    if targets.is_empty() {
        bail!("there is no target {}; there are: {}", only.unwrap_or_default(), TARGETS.join(", "));
    }
    ensure_cargo_fuzz()?;
    let folder = workspace::root().join("target/fuzz");
    let mut findings = Vec::new();
    for target in targets {
        say(format_args!("\n== {target} for {seconds} s =="));
        let learned = folder.join("corpus").join(target);
        let found = folder.join("findings").join(target);
        for folder in [&learned, &found] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let before = files_in(&found)?;
        let status = fuzzer(target, &learned, &found, seconds).status().context("cannot run cargo")?;
        let new: Vec<_> = files_in(&found)?.into_iter().filter(|file| !before.contains(file)).collect();
        if !status.success() && new.is_empty() {
            bail!("{target} did not run; cargo's messages are above");
        }
        say(format_args!("== {target}: {} findings ==", new.len()));
        findings.extend(new.iter().map(|file| format!("{target}: {}", found.join(file).display())));
    }
    if findings.is_empty() {
        say("\nnothing was found");
        return Ok(0);
    }
    say("\nfound; copy each into pmem/fuzz/corpus, and `cargo test -p pmem --test fuzz` fails until it is mended:");
    findings.iter().for_each(|finding| say(format_args!("    {finding}")));
    Ok(1)
}

fn fuzzer(target: &str, learned: &Path, found: &Path, seconds: u32) -> Command {
    let folder = workspace::root().join("pmem/fuzz");
    let mut cargo = host_cargo("fuzz");
    // The pool has no unsafe code on a simulated medium, so a sanitizer would only take time.
    cargo.args(["run", "--sanitizer", "none", "--fuzz-dir"]).arg(&folder);
    cargo.arg("--target-dir").arg(workspace::root().join("target/fuzz/build")).arg(target);
    cargo.arg(learned).arg(folder.join("corpus").join(target)).arg("--");
    cargo.args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={LONGEST_INPUT}"),
        "-len_control=0".into(),
        format!("-timeout={SLOWEST_INPUT}"),
        format!("-artifact_prefix={}/", found.display()),
        "-print_final_stats=1".into(),
    ]);
    // What counts coverage is an unstable option of the compiler.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo
}

fn files_in(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

fn ensure_cargo_fuzz() -> Result<()> {
    if find_program("cargo-fuzz").is_some() {
        return Ok(());
    }
    say("setup: cargo install cargo-fuzz --locked");
    let mut cargo = host_cargo("install");
    cargo.args(["cargo-fuzz", "--locked"]);
    if !cargo.status().context("cannot run cargo")?.success() {
        bail!("cargo-fuzz is missing and was not installed; cargo's messages are above");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_program_and_a_corpus() {
        let folder = workspace::root().join("pmem/fuzz");
        let programs = fs::read_dir(folder.join("fuzz_targets")).unwrap().count();
        assert_eq!(programs, TARGETS.len());
        for target in TARGETS {
            assert!(folder.join("fuzz_targets").join(target).with_extension("rs").is_file());
            assert!(fs::read_dir(folder.join("corpus").join(target)).unwrap().count() > 10);
        }
    }

    #[test]
    fn an_unknown_target_is_refused_by_name() {
        assert!(fuzz(Some("nothing"), 1).unwrap_err().to_string().contains("open_image, operations"));
    }
}
