//! Which checkout `cargo xtask` works on: the one that cargo runs in, wherever the program was compiled. A checkout
//! that was copied with its times has the original's program.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// What makes a directory a checkout, with one program of its own.
const FILES: [(&str, &str); 6] = [
    (
        "Cargo.toml",
        "[workspace]\nmembers = [\"apps/*\", \"xtask\"]\nresolver = \"3\"\n[workspace.package]\nedition = \"2024\"\n",
    ),
    ("Cargo.lock", "version = 4\n"),
    ("xtask/Cargo.toml", "[package]\nname = \"xtask\"\nedition = \"2024\"\n[lib]\npath = \"/dev/null\"\n"),
    ("apps/only-here/Cargo.toml", "[package]\nname = \"only-here\"\nedition = \"2024\"\n[dependencies]\n"),
    ("apps/only-here/src/main.rs", "fn main() {}\n"),
    ("libos/image.ld", ""),
];

fn copy() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in FILES {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

/// This checkout's program, as cargo runs it for the package at `package`, or as a person does by its path.
fn xtask(package: Option<OsString>, directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(std::env::var_os("CARGO_BIN_EXE_xtask").unwrap());
    command.current_dir(directory).args(arguments).env_remove("CARGO_MANIFEST_DIR");
    command.envs(package.map(|package| ("CARGO_MANIFEST_DIR", package))).output().unwrap()
}

/// Copies this checkout's program. Another process writes it: one that is open for writing here, or in what another
/// thread has just forked, cannot be run.
fn copy_program(to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let program = std::env::var_os("CARGO_BIN_EXE_xtask").unwrap();
    assert!(Command::new("cp").arg(program).arg(to).status().unwrap().success());
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_copied_checkout_works_on_itself_and_not_on_the_original() {
    let copy = copy();
    let programs = |package, directory: &Path| said(&xtask(package, directory, &["run", "--app", "nonesuch"]));
    let package = || Some(copy.path().join("xtask").into_os_string());
    let is_the_copys = |said: &str| said.contains("`nonesuch` under apps/; there are: only-here (");
    let by_cargo = programs(package(), Path::new("/"));
    assert!(is_the_copys(&by_cargo), "{by_cargo}");
    let by_path = programs(None, &copy.path().join("apps/only-here/src"));
    assert!(is_the_copys(&by_path), "{by_path}");

    let made = xtask(package(), Path::new("/"), &["new", "another"]);
    // The copy's workspace has less than the template inherits: what counts is which workspace was asked.
    assert!(said(&made).contains(copy.path().to_str().unwrap()), "{}", said(&made));
}

#[test]
fn a_program_that_lies_in_a_checkout_finds_it_from_elsewhere() {
    let copy = copy();
    let program = copy.path().join("target/debug/xtask");
    copy_program(&program);
    let mut command = Command::new(program);
    command.current_dir("/").args(["run", "--app", "nonesuch"]).env_remove("CARGO_MANIFEST_DIR");
    let said = said(&command.output().unwrap());
    assert!(said.contains("there are: only-here ("), "{said}");
}

#[test]
fn outside_of_any_checkout_nothing_is_done_and_a_pool_is_looked_at() {
    let elsewhere = tempfile::tempdir().unwrap();
    let program = elsewhere.path().join("xtask");
    copy_program(&program);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(elsewhere.path()).args(arguments).env_remove("CARGO_MANIFEST_DIR").output().unwrap()
    };
    let refused = run(&["new", "another"]);
    assert!(said(&refused).contains("no checkout of Holdfast; change to one"), "{}", said(&refused));
    let looked = run(&["pool", "info", "nonesuch.img"]);
    assert!(said(&looked).contains("there is no image nonesuch.img"), "{}", said(&looked));
}
