//! `cargo xtask run` as a person at a terminal has it: from the line that says "ready" to the exit status. What goes wrong
//! before the machine starts is tested in xtask itself.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::resp::{Client, Reply};
use holdfast_tests::store::{Store, StoreImage};
use rustix::process::{Pid, Signal, kill_process};
use xtask::size::MIB;

/// How long `xtask run` may take for anything, the guest's build included.
const PATIENCE: Duration = Duration::from_secs(600);

/// The program behind `cargo xtask`, which lies beside the tests.
fn xtask() -> Command {
    let test = std::env::current_exe().unwrap();
    let program: PathBuf = test.ancestors().nth(2).unwrap().join("xtask");
    assert!(program.is_file(), "there is no {}: `cargo xtask test` has it built", program.display());
    Command::new(program)
}

/// An `xtask run`, ended with the test.
struct Run {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Run {
    fn start(image: &Path, arguments: &[&str]) -> Self {
        let mut command = xtask();
        command.args(["run", "--port", "0", "--pmem-size", "64M", "--pmem"]).arg(image).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let pipes: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for pipe in pipes {
            let sender = sender.clone();
            thread::spawn(move || {
                BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Self { child, lines, seen: Vec::new() }
    }

    /// What follows `prefix` on the first line that starts with it.
    fn after(&mut self, prefix: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(rest) = self.seen.iter().find_map(|line| line.strip_prefix(prefix)) {
                return rest.to_owned();
            }
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("no line starts with `{prefix}` ({error}):\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Waits for the line that says `ready`, and connects where it says.
    fn ready(&mut self, detail: &str) -> Client {
        let line = self.after("ready: redis-cli -p ");
        let (port, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest, format!("({detail})"));
        Client::connect(([127, 0, 0, 1], port.parse().unwrap()).into()).unwrap()
    }

    /// Waits for the end; the exit status and everything that was printed.
    fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        // The pipes end with the last process that has them.
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.seen.push(line);
        }
        (self.child.wait().unwrap(), self.seen.join("\n"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The process of QEMU, which is the only child of xtask by then.
    fn qemu(&self) -> Pid {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let children = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap());
        let children: String = children.collect();
        let mut pids = children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap());
        let qemu = pids.next().expect("QEMU runs");
        assert_eq!(pids.next(), None, "xtask has other children: {children}");
        qemu
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // After the end of the test nobody minds how this ends; QEMU ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const READY: &str = "pmem0 64.0 MiB, protection pks";

#[test]
fn ctrl_c_shuts_down_cleanly() {
    let image = StoreImage::new(64 * MIB);
    let mut run = Run::start(image.path(), &[]);
    let mut client = run.ready(READY);
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
    let image = StoreImage::new(64 * MIB);
    // A guest that waits for a debugger does not listen to the power button.
    let mut run = Run::start(image.path(), &["--gdb"]);
    run.after("waiting for: gdb ");
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
    let mut client = run.ready(READY);
    assert_eq!(client.set("key", b"value"), Reply::ok());
    kill_process(run.qemu(), Signal::KILL).unwrap();
    let (status, printed) = run.end();
    assert_eq!(status.code(), Some(128 + 9), "{printed}");
    assert!(printed.contains("QEMU was killed by signal 9"), "{printed}");

    let mut run = Run::start(image.path(), &[]);
    assert_eq!(run.ready(READY).get("key").unwrap(), b"value");
}

#[test]
fn a_killed_xtask_takes_qemu_along_and_frees_the_image() {
    let image = StoreImage::new(64 * MIB);
    let mut run = Run::start(image.path(), &[]);
    assert_eq!(run.ready(READY).set("key", b"value"), Reply::ok());
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
    let mut client = run.ready(READY);
    let (status, printed) = Run::start(image.path(), &[]).end();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("is in use by another QEMU or kvstore"), "{printed}");
    assert_eq!(client.set("key", b"value"), Reply::ok());
    assert!(client.try_command(&[b"SHUTDOWN"]).is_err());
    let (status, printed) = run.end();
    assert_eq!(status.code(), Some(0), "{printed}");
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
    run.ready("pmem0 64.0 MiB, protection none");
    assert!(run.after("holdfast: WARNING: protection none").contains("corrupt"));
}
