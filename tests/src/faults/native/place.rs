//! Where the runs of a campaign are made: on this computer, or in a machine whose processor has protection keys.

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use xtask::linux::{Hardware, Initrd, Machine};
use xtask::size::MIB;

use super::worker::Order;
use crate::faults::campaign::INTERRUPTED;
use crate::faults::record::Group;

/// The option by which the program behind `cargo xtask faults` becomes a worker.
pub const WORKER: &str = "--worker";
/// Where the order is in the machine.
const ORDER: &str = "/order.json";
/// The machine's RAM: two devices for every run that goes on, in files.
const RAM: u64 = 2048 * MIB;
/// How often it is looked whether anybody still wants an answer.
const LOOK: Duration = Duration::from_millis(200);
/// How long the machine may say nothing. Runs that hang take a while.
const PATIENCE: Duration = Duration::from_secs(300);

/// See above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this computer.
    Here,
    /// On Debian's kernel in QEMU, with so many processors.
    Machine(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("on this computer"),
            Self::Machine(_) => {
                f.write_str("on Debian's kernel in QEMU, for protection keys, which this computer lacks")
            }
        }
    }
}

impl Place {
    /// Where these groups can be.
    pub fn of(groups: &[Group], smp: u32) -> Self {
        let keys = groups.iter().any(|group| group.is_protected());
        if keys && !xtask::keys::are_here() { Self::Machine(smp) } else { Self::Here }
    }

    /// Has `worker` carry out an order, and hands every line that it says to `line`.
    ///
    /// # Errors
    /// When the worker cannot be started or fails, when `line` fails, or when it was told to `stop`.
    pub fn carry_out(
        self,
        worker: &Path,
        order: &Order,
        stop: &AtomicBool,
        mut line: impl FnMut(&str) -> io::Result<()>,
    ) -> io::Result<()> {
        let order_text = serde_json::to_string(order)?;
        let mut running = match self {
            Self::Here => Running::here(worker, &order_text)?,
            Self::Machine(smp) => Running::machine(worker, &order.store, order_text, smp).map_err(other)?,
        };
        while let Some(text) = running.next_line(stop)? {
            line(&text)?;
        }
        if running.end()? { Ok(()) } else { Err(io::Error::other("the runs ended before they were all made")) }
    }
}

/// A worker at work, which is ended with this.
enum Running {
    Here(Process),
    Machine(Machine),
}

struct Process {
    child: Child,
    lines: Receiver<String>,
    _order: tempfile::NamedTempFile,
}

impl Running {
    fn here(worker: &Path, order: &str) -> io::Result<Self> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), order)?;
        let mut command = Command::new(worker);
        command.arg(WORKER).arg(file.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (sender, lines) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Ok(Self::Here(Process { child, lines, _order: file }))
    }

    fn machine(worker: &Path, store: &Path, order: String, smp: u32) -> anyhow::Result<Self> {
        let mut initrd = Initrd::new()?;
        initrd.program(worker)?;
        initrd.program(store)?;
        initrd.bytes(ORDER, order.into_bytes());
        let hardware = Hardware { smp, memory: RAM, patience: PATIENCE, ..Hardware::default() };
        let worker: PathBuf = worker.canonicalize()?;
        Ok(Self::Machine(Machine::start(&hardware, &initrd, &format!("'{}' {WORKER} {ORDER}\n", worker.display()))?))
    }

    /// The next line; none when there are no more.
    fn next_line(&mut self, stop: &AtomicBool) -> io::Result<Option<String>> {
        let stopped = || stop.load(Ordering::SeqCst);
        let line = match self {
            Self::Machine(machine) => machine.next_line_unless(stopped).map_err(other)?,
            Self::Here(process) => loop {
                match process.lines.recv_timeout(LOOK) {
                    Ok(line) => break Some(line),
                    Err(RecvTimeoutError::Timeout) if !stopped() => {}
                    Err(_) => break None,
                }
            },
        };
        if stopped() { Err(io::Error::other(INTERRUPTED)) } else { Ok(line) }
    }

    /// Whether it has done everything.
    fn end(self) -> io::Result<bool> {
        match self {
            Self::Here(mut process) => Ok(process.child.wait()?.success()),
            Self::Machine(machine) => machine.status().map(|status| status == 0).map_err(other),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself. Its stores end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn other(error: anyhow::Error) -> io::Error {
    io::Error::other(format!("{error:#}"))
}
