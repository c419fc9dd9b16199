//! The disk under the pool's file is full.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::host::{Scratch, Server, program};

/// Linux's number of SIGBUS.
const SIGBUS: i32 = 7;

/// A command that runs what follows it with a disk of 16 MiB mounted on this directory, for that alone.
fn with_small_disk(directory: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=16M tmpfs \"$0\" && exec \"$@\"";
    command.args(["--map-root-user", "--mount", "sh", "-c", script, directory]);
    command
}

#[test]
fn a_full_disk_is_foreseen_and_named_when_it_ends_the_store() {
    let scratch = Scratch::new();
    let directory = scratch.file("");
    let directory = directory.to_str().unwrap();
    if !with_small_disk(directory).arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lets nobody mount a file system (unshare --map-root-user --mount)");
        return;
    }
    let mut command = with_small_disk(directory);
    let store = program(&["--size", "64M", "--port", "0", "--pmem"]);
    command.arg(store.get_program()).args(store.get_args()).arg(scratch.file("pool"));
    let server = Server::spawn(command.stdin(Stdio::null()).stderr(Stdio::piped()));
    let mut client = server.connect();
    let value = "x".repeat(1 << 20);
    let stored = (0..64).take_while(|key| client.try_ask(&["set", &key.to_string(), &value]).is_ok()).count();
    assert!((1..16).contains(&stored), "{stored} values of a MiB on a disk of 16 MiB");
    let (status, said) = server.wait_and_read_errors();
    assert_eq!(status.signal(), Some(SIGBUS), "{said}");
    for line in
        ["it may take 64 MiB more, and its disk has 1", "FAULT write of ", "a page of it cannot be had", "backtrace:"]
    {
        assert!(said.contains(line), "`{line}` is missing:\n{said}");
    }
}
