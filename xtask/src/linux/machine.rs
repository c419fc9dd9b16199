//! A machine with Linux in it, from its start to the script's exit status.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::Initrd;
use super::packages::kernel;
use crate::launcher;
use crate::setup::QEMU;
use crate::size::MIB;

/// How long a machine may say nothing before it is taken for stuck. Nobody waits for it where nothing is wrong.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often it is asked whether a line is still wanted.
const ASK: Duration = Duration::from_millis(200);
/// How many of the kernel's last lines are shown with an error.
const SHOWN: usize = 40;
/// How many are where it panicked: the first of them says why, and how many follow depends on what its stack holds.
const SHOWN_OF_PANIC: usize = 200;

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Hardware {
    /// Processors.
    pub smp: u32,
    /// RAM, in bytes, beside what its file system takes, which lies in RAM.
    pub memory: u64,
    /// What else QEMU is told.
    pub arguments: Vec<OsString>,
    /// How long the machine may say nothing before it is taken for stuck.
    pub patience: Duration,
}

impl Default for Hardware {
    fn default() -> Self {
        Self { smp: 2, memory: 1024 * MIB, arguments: Vec::new(), patience: PATIENCE }
    }
}

/// A machine that runs, or has run.
pub struct Machine {
    qemu: Child,
    printed: Receiver<Vec<u8>>,
    patience: Duration,
    /// The archive, and what the machine writes to its first and its third serial port.
    files: TempDir,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("process", &self.process()).finish_non_exhaustive()
    }
}

impl Machine {
    /// Boots Linux with this file system, and has it run a script for the shell.
    ///
    /// The emulated processor has all that QEMU can emulate, protection keys among it, and is the same everywhere. What
    /// the kernel says, what the script prints and its exit status go over a serial port each, so nothing is mixed up.
    ///
    /// # Errors
    /// When the kernel cannot be fetched, the file system not be written, or QEMU not be run.
    pub fn start(hardware: &Hardware, initrd: &Initrd, script: &str) -> Result<Self> {
        let files = tempfile::Builder::new().prefix("holdfast-linux-").tempdir()?;
        let path = |name: &str| files.path().join(name);
        initrd.write(&path("initrd"), script).context("cannot write the machine's file system")?;
        let memory = hardware.memory + for_file_system(fs::metadata(path("initrd"))?.len());
        let mut qemu = Command::new(QEMU.program);
        qemu.args(["-accel", "tcg", "-cpu", "max", "-machine", "q35,nvdimm=on", "-nodefaults", "-no-user-config"]);
        qemu.args(["-no-reboot", "-display", "none", "-smp", &hardware.smp.to_string()]);
        qemu.arg("-m").arg(format!("{}M,slots=4,maxmem=64G", memory.div_ceil(MIB)));
        qemu.arg("-kernel").arg(kernel()?.image).arg("-initrd").arg(path("initrd"));
        qemu.args(["-append", "console=ttyS0 quiet panic=-1 nowatchdog"]);
        qemu.arg("-serial").arg(format!("file:{}", path("kernel").display()));
        qemu.args(["-serial", "stdio"]);
        qemu.arg("-serial").arg(format!("file:{}", path("status").display()));
        qemu.args(&hardware.arguments);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut qemu = launcher::spawn(qemu, &[]).context("cannot run QEMU")?;
        let (sender, printed) = channel();
        if let Some(output) = qemu.stdout.take() {
            thread::spawn(move || forward(BufReader::new(output), &sender));
        }
        Ok(Self { qemu, printed, patience: hardware.patience, files })
    }

    /// QEMU's number.
    pub fn process(&self) -> u32 {
        self.qemu.id()
    }

    /// The next line that the script prints; none when the machine has ended.
    ///
    /// # Errors
    /// When the machine has said nothing for too long.
    pub fn next_line(&mut self) -> Result<Option<String>> {
        self.next_line_unless(|| false)
    }

    /// The same; but none, too, once nobody wants a line any more, which is asked a few times a second.
    ///
    /// # Errors
    /// As [`Self::next_line`].
    pub fn next_line_unless(&mut self, unwanted: impl Fn() -> bool) -> Result<Option<String>> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.printed.recv_timeout(ASK.min(self.patience)) {
                Ok(line) => return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned())),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if unwanted() => return Ok(None),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = self.patience.as_secs();
                    bail!("Linux has said nothing for {seconds} s and was ended. {}", self.kernel_says())
                }
            }
        }
    }

    /// The script's exit status, once there are no more lines.
    ///
    /// # Errors
    /// When the machine has ended without one: the kernel panicked, or QEMU was ended.
    pub fn status(mut self) -> Result<u8> {
        while self.next_line()?.is_some() {}
        let ended = self.qemu.wait().context("cannot wait for QEMU")?;
        match read(&self.files.path().join("status")).trim().parse() {
            Ok(status) => Ok(status),
            Err(_) => {
                bail!("Linux has ended without saying how the script did (QEMU: {ended}). {}", self.kernel_says())
            }
        }
    }

    /// The last that the kernel has said, for people.
    fn kernel_says(&self) -> String {
        let text = read(&self.files.path().join("kernel"));
        match last_words(&text) {
            words if words.is_empty() => "The kernel has said nothing".to_owned(),
            words => format!("The kernel's last lines:\n{}", words.join("\n")),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The RAM that a file system takes whose archive is this long: while the kernel unpacks it, it is there twice; and the
/// kernel lets it take no more than half of all RAM.
fn for_file_system(archive: u64) -> u64 {
    3 * archive
}

/// Sends every line on until there are no more, or nobody listens.
fn forward(output: impl BufRead, to: &Sender<Vec<u8>>) {
    for line in output.split(b'\n').map_while(Result::ok) {
        if to.send(line).is_err() {
            return;
        }
    }
}

/// The last lines of what a kernel has said; where it panicked, from there on.
fn last_words(text: &str) -> Vec<&str> {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    let last = lines.len().saturating_sub(SHOWN);
    let panic = lines.iter().rposition(|line| line.contains("Kernel panic"));
    let first = panic.map_or(last, |panic| panic.clamp(lines.len().saturating_sub(SHOWN_OF_PANIC), last));
    lines[first..].to_vec()
}

/// A file's text; none where there is no file.
fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_shown_from_its_first_line_however_long_its_stack_is() {
        let said = |before: usize, stack: usize| {
            let lines = (0..before).map(|line| format!("booting {line}"));
            let panic = (stack > 0).then(|| "[ 3.5] Kernel panic - not syncing: sysrq".to_owned());
            lines.chain(panic).chain((1..stack).map(|line| format!("frame {line}"))).collect::<Vec<_>>().join("\r\n")
        };
        let first_and_number = |text: &str| {
            let words = last_words(text);
            (words.first().map_or("", |line| line).to_owned(), words.len())
        };
        assert_eq!(first_and_number(""), (String::new(), 0));
        assert_eq!(first_and_number(&said(3, 0)), ("booting 0".to_owned(), 3));
        assert_eq!(first_and_number(&said(100, 0)), ("booting 60".to_owned(), SHOWN));
        assert_eq!(first_and_number(&said(100, 10)), ("booting 70".to_owned(), SHOWN));
        assert_eq!(first_and_number(&said(100, 55)), ("[ 3.5] Kernel panic - not syncing: sysrq".to_owned(), 55));
        assert_eq!(first_and_number(&said(100, 900)), ("frame 700".to_owned(), SHOWN_OF_PANIC));
    }
}
