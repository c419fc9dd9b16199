//! `cargo xtask new` in a copy of this workspace: what it makes builds, passes what `cargo xtask check` looks at, and
//! runs at once.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_tests::machine::{PATIENCE, machine};
use holdfast_tests::store::StoreImage;
use xtask::qemu::{Machine, MachineOptions, Network};
use xtask::setup::toolchain::Toolchain;
use xtask::size::MIB;
use xtask::{guest, new, workspace};

/// The program that is made.
const NAME: &str = "made-by-a-test";

/// A copy of the workspace's files, which stays for the next run: what has not changed is not built again.
fn copy_of_the_workspace() -> PathBuf {
    let copy = workspace::target_directory().join("new-app/source");
    let output = Command::new("git")
        .current_dir(workspace::root())
        .args(["ls-files", "-z", "-co", "--exclude-standard"])
        .output();
    let names = String::from_utf8(output.unwrap().stdout).unwrap();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let Ok(bytes) = fs::read(workspace::root().join(name)) else { continue };
        let path = copy.join(name);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    remove_others(&copy, &copy, &names.split('\0').collect());
    copy
}

/// Removes what is not among these names, such as the program that an earlier run has made.
fn remove_others(copy: &Path, directory: &Path, names: &BTreeSet<&str>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            remove_others(copy, &path, names);
        } else if !names.contains(path.strip_prefix(copy).unwrap().to_str().unwrap()) {
            fs::remove_file(path).unwrap();
        }
    }
    // One that still has something in it stays.
    let _ = fs::remove_dir(directory);
}

/// Runs cargo in the copy, which has to succeed.
fn cargo(copy: &Path, arguments: &[&str]) -> String {
    let output = Command::new(std::env::var_os("CARGO").unwrap())
        .current_dir(copy)
        .args(arguments)
        .env("CARGO_TARGET_DIR", workspace::target_directory().join("new-app/target"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "cargo {arguments:?}:\n{said}");
    said
}

/// What a visitor is told.
fn visit(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told
}

#[test]
fn a_new_program_builds_is_clean_passes_its_test_runs_and_keeps_its_state() {
    let copy = copy_of_the_workspace();
    let lock_file = fs::read_to_string(copy.join("Cargo.lock")).unwrap();
    assert_eq!(new::create(&copy, NAME).unwrap(), copy.join("apps").join(NAME));
    assert!(new::create(&copy, NAME).unwrap_err().to_string().contains("exists already"));
    // Cargo knows it, and nothing else has changed.
    let with_it = fs::read_to_string(copy.join("Cargo.lock")).unwrap();
    let added: Vec<&str> = with_it.lines().filter(|line| !lock_file.lines().any(|old| old == *line)).collect();
    assert_eq!(added, [format!("name = \"{NAME}\"")]);

    cargo(&copy, &["fmt", "--package", NAME, "--check"]);
    cargo(&copy, &["clippy", "--locked", "--package", NAME, "--all-targets", "--", "--deny", "warnings"]);
    let tested = cargo(&copy, &["test", "--locked", "--package", NAME]);
    assert!(tested.contains("test result: ok. 1 passed"), "{tested}");

    let toolchain = Toolchain::host().or_else(Toolchain::debian).expect("a toolchain for the guest");
    let program = guest::build_copy(&toolchain, &copy, NAME).unwrap();
    let image = StoreImage::new(16 * MIB);
    let mut visitors = 0;
    for _ in 0..2 {
        let pmem = vec![image.open()];
        let options = MachineOptions { image: program.clone(), network: Network::User, pmem, ..machine("ledger", &[]) };
        let machine = Machine::start(options, None).unwrap();
        let ready = format!("{NAME}: ready on port 9000 (pmem0, protection pks)");
        let is_ready = |line: &str| (line == ready).then_some(());
        assert!(machine.console().wait_for_line(PATIENCE, is_ready).is_some(), "{:?}", machine.console().lines());
        let forwarder = machine.forward_any(9000).unwrap();
        for _ in 0..3 {
            visitors += 1;
            assert_eq!(visit(forwarder.address()), format!("you are visitor {visitors}\n"));
        }
        machine.kill();
    }
}
