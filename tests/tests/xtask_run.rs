//! `cargo xtask run` as a person at a terminal has it: from the line that says "ready" to the exit status. What goes
//! wrong before the machine starts is tested in xtask itself.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use holdfast_tests::resp::{Client, Reply};
use holdfast_tests::store::{Store, StoreImage};
use holdfast_tests::xtask::{Run, xtask};
use rustix::process::{Signal, kill_process};
use xtask::size::MIB;

/// Waits until the store is ready, and connects where it says.
fn ready(run: &mut Run, detail: &str) -> Client {
    let (address, rest) = run.ready("redis-cli -p ");
    assert_eq!(rest, format!(" ({detail})"));
    Client::connect(address).unwrap()
}

const READY: &str = "pmem0 64.0 MiB, protection pks, durable power by adr";

#[test]
fn ctrl_c_shuts_down_cleanly() {
    let image = StoreImage::new(64 * MIB);
    let mut run = Run::start(image.path(), &[]);
    let mut client = ready(&mut run, READY);
    assert_eq!(client.set("key", b"value"), Reply::ok());
    run.signal(Signal::INT);
    let (status, printed) = run.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(printed.contains("shutting down; once more ends QEMU at once\nkvstore: stopped"), "{printed}");

    let information = xtask().args(["pool", "info"]).arg(image.path()).output().unwrap();
    let information = String::from_utf8(information.stdout).unwrap();
    assert!(information.contains("clean shutdown"), "{information}");
    let store = Store::boot(&image);
    assert_eq!(store.client().get("key").unwrap(), b"value");
}

#[test]
fn a_second_ctrl_c_ends_qemu() {
    // A guest that waits for a debugger does not listen to the power button.
    let mut command = xtask();
    command.args(["run", "--app", "hello", "--port", "0", "--gdb"]);
    let mut run = Run::spawn(command);
    assert!(run.after("waiting for: ").contains("xtask/gdb/holdfast.py"));
    run.signal(Signal::INT);
    run.after("shutting down; once more ends QEMU at once");
    run.signal(Signal::INT);
    let (status, printed) = run.end();
    assert_eq!(status.code(), Some(128 + 9), "{printed}");
    assert!(printed.ends_with("QEMU was ended"), "{printed}");
}

#[test]
fn a_killed_qemu_is_told_and_the_next_run_has_the_data() {
    let image = StoreImage::new(64 * MIB);
    let mut run = Run::start(image.path(), &[]);
    let mut client = ready(&mut run, READY);
    assert_eq!(client.set("key", b"value"), Reply::ok());
    kill_process(run.qemu(), Signal::KILL).unwrap();
    let (status, printed) = run.end();
    assert_eq!(status.code(), Some(128 + 9), "{printed}");
    assert!(printed.contains("QEMU was killed by signal 9"), "{printed}");

    let mut run = Run::start(image.path(), &[]);
    assert_eq!(ready(&mut run, READY).get("key").unwrap(), b"value");
}

#[test]
fn a_killed_xtask_takes_qemu_along_and_frees_the_image() {
    let image = StoreImage::new(64 * MIB);
    let mut run = Run::start(image.path(), &[]);
    assert_eq!(ready(&mut run, READY).set("key", b"value"), Reply::ok());
    run.signal(Signal::KILL);
    let (status, printed) = run.end();
    assert_eq!(status.code(), None, "{printed}");
    let store = Store::boot(&image);
    assert_eq!(store.client().get("key").unwrap(), b"value");
}

#[test]
fn a_second_run_on_the_same_image_is_refused_and_the_first_goes_on() {
    let image = StoreImage::new(64 * MIB);
    let mut run = Run::start(image.path(), &[]);
    let mut client = ready(&mut run, READY);
    let (status, printed) = Run::start(image.path(), &[]).end();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("is in use by another QEMU or kvstore"), "{printed}");
    assert_eq!(client.set("key", b"value"), Reply::ok());
    assert!(client.try_command(&[b"SHUTDOWN"]).is_err());
    let (status, printed) = run.end();
    assert_eq!(status.code(), Some(0), "{printed}");
}

/// Unix sockets cannot have such long paths.
#[test]
fn a_tmpdir_of_any_length_will_do_and_sigkill_of_xtask_leaves_nothing_there() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("x".repeat(120));
    fs::create_dir(&long).unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "read by the guest").unwrap();
    let mut command = xtask();
    command.args(["run", "--app", "hello", "--port", "0", "--file", &format!("etc/x={}", file.display())]);
    command.arg("--trace").arg(directory.path().join("trace.json")).env("TMPDIR", &long);
    let mut run = Run::spawn(command);
    run.ready("nc 127.0.0.1 ");
    run.signal(Signal::KILL);
    run.end();
    let left: Vec<_> = fs::read_dir(&long).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// As in `cargo xtask run | head -1`.
#[test]
fn a_closed_standard_output_does_not_end_the_machine() {
    let image = StoreImage::new(64 * MIB);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = xtask();
    let port = address.port().to_string();
    command.args(["run", "--port", &port, "--pmem-size", "64M", "--pmem"]).arg(image.path());
    let mut run = Run::spawn_unread(command);
    // It cannot say when it is ready, and QEMU takes a connection before the guest does.
    let mut client = loop {
        assert!(run.is_running());
        match Client::connect(address).and_then(|mut client| client.try_command(&[b"PING"]).map(|_| client)) {
            Ok(client) => break client,
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    };
    assert_eq!(client.set("key", b"value"), Reply::ok());
    // The guest prints a line, too.
    assert!(client.try_command(&[b"SHUTDOWN"]).is_err());
    assert_eq!(run.end().0.code(), Some(0));
}

/// Sparse images take room on the disk as data comes in.
#[test]
fn a_full_disk_under_an_image_is_foreseen_and_named_when_it_ends_qemu() {
    let directory = tempfile::tempdir().unwrap();
    let disk = |program: &OsStr| {
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs -o size=16M tmpfs \"$0\" && exec \"$@\"";
        command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(directory.path()).arg(program);
        command
    };
    if !disk("true".as_ref()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine lets nobody mount a file system (unshare --map-root-user --mount)");
        return;
    }
    let mut command = disk(xtask().get_program());
    command.args(["run", "--port", "0", "--pmem-size", "64M", "--pmem"]).arg(directory.path().join("pmem0.img"));
    let mut run = Run::spawn(command);
    let warning = run.after("WARNING: ");
    assert!(warning.contains("pmem0.img: it may take 64 MiB more, and its disk has 16 MiB"), "{warning}");
    let mut client = ready(&mut run, READY);
    let value = vec![b'x'; 1 << 20];
    let stored = (0..64).take_while(|key| client.try_command(&[b"SET", &[*key], &value]).is_ok()).count();
    assert!((1..16).contains(&stored), "{stored} values of a MiB on a disk of 16 MiB");
    let (status, printed) = run.end();
    assert_eq!(status.code(), Some(128 + 7), "{printed}");
    assert!(printed.contains("(SIGBUS): most likely the disk under an image is full"), "{printed}");
}

#[test]
fn the_exit_status_is_the_guests() {
    let image = StoreImage::new(64 * MIB);
    let (status, printed) = Run::start(image.path(), &["--", "--nonsense"]).end();
    assert_eq!(status.code(), Some(2), "{printed}");
    assert!(printed.contains("kvstore: ") && printed.contains("--nonsense"), "{printed}");
}

#[test]
fn a_run_without_protection_says_so_in_every_place() {
    let image = StoreImage::new(64 * MIB);
    let mut run = Run::start(image.path(), &["--protection", "none"]);
    ready(&mut run, "pmem0 64.0 MiB, protection none, durable power by adr");
    assert!(run.after("holdfast: WARNING: protection none").contains("corrupt"));
}
