//! `cargo xtask` as a process: what it prints, line by line, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long `xtask run` may take for anything, the guest's build included.
const PATIENCE: Duration = Duration::from_secs(600);

/// The program behind `cargo xtask`, which lies beside the tests.
pub fn xtask() -> Command {
    let test = std::env::current_exe().unwrap();
    let program: PathBuf = test.ancestors().nth(2).unwrap().join("xtask");
    assert!(program.is_file(), "there is no {}: `cargo xtask test` has it built", program.display());
    Command::new(program)
}

/// An `xtask run`, ended with the test.
#[derive(Debug)]
pub struct Run {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Run {
    /// Starts one on this image of 64 MiB, at a free port.
    pub fn start(image: &Path, arguments: &[&str]) -> Self {
        let mut command = xtask();
        command.args(["run", "--port", "0", "--pmem-size", "64M", "--pmem"]).arg(image).args(arguments);
        Self::spawn(command)
    }

    /// Starts this command, whose output is to be read.
    pub fn spawn(mut command: Command) -> Self {
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

    /// Starts this command, whose standard output nobody reads, as when `head` has heard enough of it.
    pub fn spawn_unread(mut command: Command) -> Self {
        let (_, writer) = std::io::pipe().unwrap();
        command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), lines: mpsc::channel().1, seen: Vec::new() }
    }

    /// What follows `prefix` on the first line that starts with it.
    pub fn after(&mut self, prefix: &str) -> String {
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

    /// What follows `ready: ` and this on the line that says so, up to the port, and the rest: the port, and what the
    /// program says of itself, with the brackets.
    pub fn ready(&mut self, client: &str) -> (SocketAddr, String) {
        let line = self.after(&format!("ready: {client}"));
        let digits = line.find(|character: char| !character.is_ascii_digit()).unwrap_or(line.len());
        let (port, rest) = line.split_at(digits);
        (([127, 0, 0, 1], port.parse().unwrap()).into(), rest.to_owned())
    }

    /// Waits for the end; the exit status and everything that was printed.
    pub fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        // The pipes end with the last process that has them.
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.seen.push(line);
        }
        (self.child.wait().unwrap(), self.seen.join("\n"))
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends xtask a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The process of QEMU, which is the only child of xtask by then.
    pub fn qemu(&self) -> Pid {
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
