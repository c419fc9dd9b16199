//! `cargo xtask pool` with something wrong: one clear error each, that says what to do.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn pool(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO_BIN_EXE_xtask").unwrap());
    command.arg("pool").args(arguments);
    command
}

/// Runs a command that has to fail, and returns what it said.
fn failure(arguments: &[&str]) -> String {
    said(pool(arguments).output().unwrap())
}

fn said(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_image_that_is_not_there_is_named_with_the_command_that_makes_one() {
    let said = failure(&["info", "nonesuch.img"]);
    assert!(
        said.contains("there is no image nonesuch.img; to make one: cargo xtask pool create nonesuch.img"),
        "{said}"
    );
}

#[test]
fn an_image_that_cannot_be_made_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("new.img");
    let image_name = image.to_str().unwrap();
    // More than any file system takes.
    let said = failure(&["create", image_name, "--size", "8388608T"]);
    assert!(said.contains("cannot create the image") && said.contains("new.img"), "{said}");
    assert!(!image.exists());
    let said = failure(&["create", image_name, "--size", "3M"]);
    assert!(said.contains("not a multiple of 2.0 MiB; the next ones are 2097152 and 4194304"), "{said}");
    let said = failure(&["create", image_name, "--size", "0"]);
    assert!(said.contains("at least 2.0 MiB"), "{said}");
    let said = failure(&["create", directory.path().join("none/new.img").to_str().unwrap(), "--size", "16M"]);
    assert!(said.contains("cannot create the image") && said.contains("none/new.img"), "{said}");
    assert!(!image.exists());
}

#[test]
fn a_load_that_stops_says_where_and_what_stays() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("pool.img");
    let image = image.to_str().unwrap();
    assert!(pool(&["create", image, "--size", "16M"]).stdout(Stdio::null()).status().unwrap().success());
    let mut load = pool(&["load", image]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = load.stdin.take().unwrap();
    for number in 0..100 {
        writeln!(lines, "{{\"key\":\"key-{number}\",\"value\":\"v\"}}").unwrap();
    }
    writeln!(lines, "no key").unwrap();
    drop(lines);
    let said = said(load.wait_with_output().unwrap());
    assert!(said.contains("64 keys were put before that, and stay: line 101 is no key"), "{said}");
    let said = failure(&["load", image, directory.path().to_str().unwrap()]);
    assert!(said.contains("0 keys were put") && said.contains("cannot read line 1"), "{said}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("pool.img");
    let image = image.to_str().unwrap();
    assert!(pool(&["create", image, "--size", "16M"]).stdout(Stdio::null()).status().unwrap().success());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output =
        pool(&["info", image]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
