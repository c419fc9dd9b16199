//! Linux in a machine, as `cargo xtask test native` has it: its file system has room, what its programs do is told, and
//! so is a kernel that panics or says nothing any more. Where Debian's kernel cannot be had there is no such machine,
//! and nothing to test.

use std::time::Duration;

use xtask::linux::{self, Hardware, Initrd, Machine};
use xtask::native::{Program, run_in_machine};

/// Whether there is a kernel to boot.
fn has_kernel() -> bool {
    linux::kernel().inspect_err(|error| println!("skipped: {error:#}")).is_ok()
}

/// A machine that runs this script.
fn machine(patience: Duration, script: &str) -> Machine {
    Machine::start(&Hardware { patience, ..Hardware::default() }, &Initrd::new().unwrap(), script).unwrap()
}

#[test]
fn a_program_that_fails_is_told_and_the_next_one_runs() {
    if !has_kernel() {
        return;
    }
    let program =
        |path: &str, argument: &str| Program { path: path.into(), arguments: vec![argument.into()], others: vec![] };
    let mut lines = Vec::new();
    let programs = [program("/bin/false", ""), program("/bin/echo", "it's here")];
    let status = run_in_machine(&programs, &Hardware::default(), "", |line| lines.push(line.to_owned())).unwrap();
    assert_eq!((status, lines), (1, vec!["false failed: exit status 1".to_owned(), "it's here".to_owned()]));
}

#[test]
fn a_file_system_of_any_size_is_there_as_a_whole() {
    if !has_kernel() {
        return;
    }
    // More than half of the RAM that is asked for, which is as much as the kernel gives to files.
    let (memory, len) = (256 << 20, 200 << 20);
    let mut initrd = Initrd::new().unwrap();
    initrd.bytes("/large", vec![b'x'; len]);
    let hardware = Hardware { memory, ..Hardware::default() };
    let mut machine = Machine::start(&hardware, &initrd, "wc -c </large").unwrap();
    assert_eq!(machine.next_line().unwrap(), Some(len.to_string()));
    assert_eq!(machine.status().unwrap(), 0);
}

#[test]
fn processors_have_protection_keys_that_the_kernel_uses() {
    if !has_kernel() {
        return;
    }
    let mut machine = machine(Hardware::default().patience, "grep -c ospke /proc/cpuinfo");
    assert_eq!(machine.next_line().unwrap().as_deref(), Some("2"));
    assert_eq!(machine.next_line().unwrap(), None);
    assert_eq!(machine.status().unwrap(), 0);
}

#[test]
fn a_kernel_that_panics_is_an_error_with_its_last_words() {
    if !has_kernel() {
        return;
    }
    // What was printed just before would be lost or not: a serial port sends what it is given later.
    let machine = machine(Hardware::default().patience, "echo c >/proc/sysrq-trigger; echo too far");
    let error = machine.status().unwrap_err().to_string();
    assert!(error.contains("without saying how the script did") && error.contains("Kernel panic"), "{error}");
}

#[test]
fn a_machine_that_says_nothing_is_an_error() {
    if !has_kernel() {
        return;
    }
    // It says nothing for ever, so nothing depends on how long it may.
    let mut machine = machine(Duration::from_secs(1), "sleep infinity");
    let error = machine.next_line().unwrap_err().to_string();
    assert!(error.contains("has said nothing for 1 s and was ended"), "{error}");
}
