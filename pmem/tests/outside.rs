//! A program outside of this repository (`outside/program.rs`), with a workspace of its own, that depends on `pmem` by
//! path: it builds without a network, keeps its data, and is protected.
//!
//! `cargo xtask test native` builds it and says where it is; without it there is nothing to test.
#![cfg(target_os = "linux")]

mod scratch;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use scratch::Scratch;

/// The variable that says where the program is.
const PROGRAM: &str = "HOLDFAST_OUTSIDE";
/// The variable by which there have to be keys.
const REQUIRE_KEYS: &str = "HOLDFAST_REQUIRE_KEYS";
/// What ends it then (signal(7)).
const SIGSEGV: i32 = 11;
/// Where the program's stray store goes, and what it stores.
const STRAY: usize = 0x5000;
const STRAY_BYTE: u8 = 0xee;

/// A device of zeros.
fn device(name: &str) -> Scratch {
    let file = Scratch::new(name);
    fs::File::create(&file.0).unwrap().set_len(2 << 20).unwrap();
    file
}

/// Runs the program, if it is there.
fn run(what: &str, file: &Scratch, protection: &str) -> Option<Output> {
    let Some(program) = std::env::var_os(PROGRAM) else {
        assert!(std::env::var_os(REQUIRE_KEYS).is_none(), "{PROGRAM} does not say where the program is");
        println!("skipped: `cargo xtask test native` builds the program");
        return None;
    };
    Some(Command::new(program).arg(what).arg(&file.0).arg(protection).output().unwrap())
}

/// The lines that it has printed.
fn lines(output: &Output) -> Vec<&str> {
    str::from_utf8(&output.stdout).unwrap().lines().collect()
}

#[test]
fn a_program_outside_goes_on_where_it_has_ended() {
    let file = device("outside-count");
    for count in ["1", "2"] {
        let Some(output) = run("count", &file, "auto") else { return };
        assert!(output.status.success(), "{output:?}");
        assert_eq!(lines(&output)[1..], [count]);
    }
}

#[test]
fn a_stray_store_of_a_program_outside_is_stopped_and_reported() {
    let file = device("outside-stray");
    let Some(output) = run("stray", &file, "auto") else { return };
    if lines(&output)[0] == "none" {
        assert!(std::env::var_os(REQUIRE_KEYS).is_none(), "there are no keys");
        println!("skipped: there are no keys");
        return;
    }
    assert_eq!((output.status.signal(), lines(&output)), (Some(SIGSEGV), vec!["pku"]), "{output:?}");
    assert_eq!(fs::read(&file.0).unwrap()[STRAY], 0);
    let report = String::from_utf8(output.stderr).unwrap();
    let headline = format!("holdfast: FAULT stray write of {} at offset {STRAY:#x} ", file.0.display());
    assert!(report.starts_with(&headline), "{report}");
    assert!(report.contains(", policy strict: process stopped\n"), "{report}");
    assert!(report.contains(" outside::store (") && report.contains(" outside::main ("), "{report}");
}

#[test]
fn without_protection_the_same_store_changes_the_data() {
    let file = device("outside-unprotected");
    let Some(output) = run("stray", &file, "none") else { return };
    assert!(output.status.success(), "{output:?}");
    assert_eq!(lines(&output), ["none", "went through"]);
    assert_eq!(fs::read(&file.0).unwrap()[STRAY], STRAY_BYTE);
}
