//! Files: what a program finds through `std::fs`, and what the host hands in.

use std::io::Write;
use std::path::Path;
use std::time::UNIX_EPOCH;

use holdfast_tests::machine::{Outcome, checked, machine, run};
use libos_contract::exit;
use xtask::qemu::{HostFile, Machine, MachineOptions};
use xtask::size::MIB;

#[test]
fn std_finds_the_files_that_it_expects() {
    for processors in [1, 2] {
        let mut options = machine("files", &["std"]);
        options.smp = processors;
        expect_all(&run(options));
    }
    expect_all(&run(checked(machine("files", &["std"]), "files")));
}

fn expect_all(outcome: &Outcome) {
    outcome.expect_exit(0);
    assert_eq!(outcome.count("ok "), 9, "{outcome}");
}

#[test]
fn files_take_half_of_ram_and_then_no_more() {
    let outcome = run(machine("files", &["full"]));
    outcome.expect_exit(0).expect_line("ok full");
    let size: u64 = outcome.after("full after ").trim_end_matches(" MiB").parse().unwrap();
    assert!((16..32).contains(&size), "of 64 MiB:\n{outcome}");
}

/// A machine whose program tells of these files of the host's.
fn with_files(files: &[(&str, &Path)]) -> MachineOptions {
    let paths: Vec<String> = files.iter().map(|(guest, _)| format!("/{guest}")).collect();
    let arguments: Vec<&str> = ["host"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let mut options = machine("files", &arguments);
    options.files = files.iter().map(|(guest, host)| HostFile::new(guest, host).unwrap()).collect();
    options
}

/// What the program says of a file with these bytes.
fn line(guest: &str, host: &Path) -> String {
    let bytes = std::fs::read(host).unwrap();
    let sum = bytes.iter().fold(0u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let modified = host.metadata().unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
    format!("host /{guest}: {} bytes, sum {sum:016x}, modified {modified}", bytes.len())
}

#[test]
fn the_hosts_files_arrive_as_they_are_and_cannot_be_changed() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["empty", "one", "three", "a, name=odd", "größe"];
    let files: Vec<_> = names.iter().map(|name| directory.path().join(name)).collect();
    for (file, bytes) in files.iter().zip([&b""[..], b"x", b"abc", b"four", b"\0\xff"]) {
        std::fs::write(file, bytes).unwrap();
    }
    let guests = ["empty", "etc/one", "etc/app/three", "a name=odd,", "größe"];
    let pairs: Vec<_> = guests.iter().copied().zip(files.iter().map(|file| file.as_path())).collect();
    let outcome = run(with_files(&pairs));
    outcome.expect_exit(0).expect_line("ok host");
    for (guest, host) in pairs {
        outcome.expect_line(&line(guest, host));
    }
    for name in ["empty", "etc", "a name=odd,", "größe"] {
        outcome.expect_line(&format!("root has {name}"));
    }
}

#[test]
fn a_file_of_64_mib_arrives_without_being_copied() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large");
    let mut file = std::fs::File::create(&path).unwrap();
    for block in 0..64u32 {
        let bytes: Vec<u8> = (0..MIB as u32).map(|at| (at.wrapping_mul(block + 7) >> 5) as u8).collect();
        file.write_all(&bytes).unwrap();
    }
    drop(file);
    let mut options = with_files(&[("large", &path)]);
    // There would be no room for a copy.
    options.memory = 112 * MIB;
    let outcome = run(options);
    outcome.expect_exit(0).expect_line("ok host").expect_line(&line("large", &path));
}

#[test]
fn what_the_boot_loader_hands_in_is_read_only_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    std::fs::write(&path, "as the host has it").unwrap();
    let mut options = with_files(&[("f", &path)]);
    options.arguments = vec!["scribble".to_owned()];
    let outcome = run(options);
    outcome.expect_exit(exit::FATAL_EXCEPTION);
    outcome
        .report()
        .expect_headline("holdfast: FAULT #PF page fault: write of 0x")
        .expect_in_headline("not permitted there");
}

#[test]
fn files_that_cannot_be_handed_in_stop_the_start_with_their_names() {
    let missing = Path::new("/nothing/there");
    let error = format!("{:#}", Machine::start(with_files(&[("etc/config", missing)]), None).unwrap_err());
    assert!(error.contains("cannot open /nothing/there, the guest's /etc/config"), "{error}");
}
