//! A machine from its start to its end.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;

use super::console::read_lines;
use super::qmp::Qmp;
use super::{Console, Event, Exit, MachineOptions, Network, files};
use crate::forward::{Forwarder, Target};
use crate::handed;
use crate::image::PmemImage;
use crate::launcher;
use crate::processor_time::processor_time;
use crate::setup::QEMU;
use crate::trace::Region;

/// How long QEMU may take from its start to its monitor. A loaded machine may be slow to load the program.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A virtual machine. Dropping it kills QEMU and waits for its end, so that its images are free afterwards.
#[derive(Debug)]
pub struct Machine {
    console: Arc<Console>,
    qmp: Mutex<Qmp>,
    process: OwnedFd,
    process_id: u32,
    network: Network,
    /// Held until the machine is gone.
    _pmem: Vec<PmemImage>,
    trace: Option<Region>,
}

impl Machine {
    /// Starts QEMU. News go to `events` as they come, when there is one, and to [`Machine::console`] in any case.
    ///
    /// # Errors
    /// When QEMU is missing or does not like its options; the message has what it said.
    pub fn start(options: MachineOptions, events: Option<Sender<Event>>) -> Result<Self> {
        let (monitor, qemus_end) = UnixStream::pair().context("cannot make a socket for QEMU's monitor")?;
        let files = archive(&options)?;
        let mut command = Command::new(QEMU.program);
        command.args(options.qemu_arguments(qemus_end.as_fd(), files.as_ref())?);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut inherited: Vec<BorrowedFd<'_>> = vec![qemus_end.as_fd()];
        inherited.extend(options.pmem.iter().map(|image| image.lock_file().as_fd()));
        inherited.extend(options.trace.iter().map(|region| region.file().as_fd()));
        inherited.extend(files.iter().map(AsFd::as_fd));
        let child = launcher::spawn(command, &inherited)
            .with_context(|| format!("cannot run {} (`cargo xtask setup` installs it)", QEMU.program))?;
        // From here on only QEMU has it: when QEMU ends, so does the connection.
        drop(qemus_end);
        let process_id = child.id();
        let process = i32::try_from(process_id)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| anyhow!("QEMU has no process id"))
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).context("cannot watch QEMU"));
        let (process, child) = match process {
            Ok(process) => (process, child),
            Err(error) => return Err(discard(child, error)),
        };

        let console = Arc::new(Console::default());
        watch(child, &console, events);
        // From here on QEMU has a watcher that reaps it; on an error it is enough to kill it.
        let qmp = Qmp::new(monitor, START_PATIENCE);
        let qmp = match qmp {
            Ok(qmp) => qmp,
            Err(error) => return Err(start_failure(&process, &console, error)),
        };
        Ok(Self {
            console,
            qmp: Mutex::new(qmp),
            process,
            process_id,
            network: options.network,
            _pmem: options.pmem,
            trace: options.trace,
        })
    }

    /// What the guest prints, and the machine's end.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Where the guest records what it does, if it was asked to. It can be read while the machine runs, and after its
    /// end.
    pub fn trace(&self) -> Option<&Region> {
        self.trace.as_ref()
    }

    /// QEMU's process id.
    pub fn process_id(&self) -> u32 {
        self.process_id
    }

    /// How long processors have worked for the machine since its start, QEMU's own work included.
    pub fn processor_time(&self) -> std::io::Result<Duration> {
        processor_time(self.process_id)
    }

    /// Carries the connections that arrive at `listener` to `guest_port` of the guest, until the forwarder is dropped.
    ///
    /// # Errors
    /// When the machine has no network, or QEMU refuses to forward.
    pub fn forward(&self, listener: TcpListener, guest_port: u16) -> Result<Forwarder> {
        let target = match self.network {
            Network::User => Target::Paced(self.qmp().user_network_port(guest_port)?),
            Network::Tap(link) => Target::Direct(SocketAddr::from((link.guest, guest_port))),
            Network::None => bail!("the machine has no network to forward to"),
        };
        Forwarder::start(listener, target).context("cannot start the forwarder")
    }

    /// Forwards a free port of the host's loopback to `guest_port`; see [`Machine::forward`].
    ///
    /// # Errors
    /// As [`Machine::forward`], or when there is no free port.
    pub fn forward_any(&self, guest_port: u16) -> Result<Forwarder> {
        let listener = crate::forward::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        self.forward(listener, guest_port)
    }

    /// Presses the power button: the guest shuts down cleanly by itself.
    ///
    /// # Errors
    /// When QEMU cannot be reached.
    pub fn press_power_button(&self) -> Result<()> {
        self.qmp().execute("system_powerdown", json!({})).map(drop)
    }

    /// Runs a command of QEMU's machine protocol, for what has no method of its own here (`system_reset`
    /// and the like).
    ///
    /// # Errors
    /// When QEMU refuses it or cannot be reached.
    pub fn qmp_command(&self, command: &str, arguments: serde_json::Value) -> Result<serde_json::Value> {
        self.qmp().execute(command, arguments)
    }

    /// Runs a command of QEMU's human monitor and returns what it prints: for what QMP does not tell (`info
    /// registers`).
    ///
    /// # Errors
    /// When QEMU cannot be reached. What QEMU thinks of the command is in what it prints.
    pub fn monitor_command(&self, command_line: &str) -> Result<String> {
        self.qmp().human(command_line)
    }

    /// Sends every processor of the guest a non-maskable interrupt.
    ///
    /// # Errors
    /// When QEMU cannot be reached.
    pub fn inject_nmi(&self) -> Result<()> {
        self.qmp().execute("inject-nmi", json!({})).map(drop)
    }

    /// Kills QEMU by SIGKILL, as a power cut would end the machine, and waits until it is gone. What has been stored
    /// in an image stays: the image's pages belong to the host.
    pub fn kill(&self) -> Exit {
        kill(&self.process);
        self.wait(Duration::MAX).unwrap_or(Exit::Killed(9))
    }

    /// Waits for the machine's end, and says how it ended; `None` after `timeout`.
    pub fn wait(&self, timeout: Duration) -> Option<Exit> {
        self.console.wait_for_exit(timeout.min(Duration::from_secs(365 * 24 * 3600)))
    }

    fn qmp(&self) -> std::sync::MutexGuard<'_, Qmp> {
        // A panic between two messages leaves the connection usable; one within a message shows as an error of the
        // next.
        self.qmp.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.console.exit().is_none() {
            self.kill();
        }
    }
}

/// Reads the machine's two pipes on threads of their own, and reaps QEMU when both have ended.
fn watch(mut child: Child, console: &Arc<Console>, events: Option<Sender<Event>>) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (lines, lines_out) = (Arc::clone(console), events.clone());
    let lines = thread::spawn(move || {
        let Some(stdout) = stdout else { return };
        read_lines(stdout, |line| {
            lines.push_line(line.clone());
            tell(lines_out.as_ref(), Event::Line(line));
        });
    });
    let (diagnostics, diagnostics_out) = (Arc::clone(console), events.clone());
    let diagnostics = thread::spawn(move || {
        let Some(stderr) = stderr else { return };
        read_lines(stderr, |line| {
            diagnostics.push_diagnostic(line.clone());
            tell(diagnostics_out.as_ref(), Event::Diagnostic(line));
        });
    });
    let console = Arc::clone(console);
    thread::spawn(move || {
        // A reader can only fail by a panic in it, and then there is nothing more to come from it.
        let _ = lines.join();
        let _ = diagnostics.join();
        // Waiting for a child of one's own fails only when it has been reaped elsewhere, which nothing here does.
        let exit = child.wait().map_or(Exit::Qemu(-1), Exit::from_status);
        console.set_exit(exit);
        tell(events.as_ref(), Event::Exited(exit));
    });
}

fn tell(events: Option<&Sender<Event>>, event: Event) {
    if let Some(events) = events {
        // A receiver that is gone has lost interest.
        let _ = events.send(event);
    }
}

fn kill(process: &OwnedFd) {
    // The one thing that can go wrong is that the process is gone already.
    let _ = pidfd_send_signal(process, Signal::KILL);
}

/// Ends a QEMU that did not come up, and makes one error of what is known about it.
fn start_failure(process: &OwnedFd, console: &Console, error: anyhow::Error) -> anyhow::Error {
    kill(process);
    let exit = console.wait_for_exit(START_PATIENCE);
    let said = console.diagnostics();
    let mut message = "QEMU cannot start the machine".to_owned();
    if let Some(exit) = exit.filter(|exit| !matches!(exit, Exit::Killed(9))) {
        message.push_str(&format!(" ({exit})"));
    }
    if said.is_empty() {
        return error.context(message);
    }
    // What QEMU says is the reason; that it then did not answer is only what followed from it.
    for line in said {
        message.push_str("\n    ");
        message.push_str(&line);
    }
    anyhow!(message)
}

/// The archive with the guest's files, if there are any.
fn archive(options: &MachineOptions) -> Result<Option<File>> {
    if options.files.is_empty() {
        return Ok(None);
    }
    files::check(&options.files, options.memory)?;
    let archive = handed::file("the guest's files")?;
    files::write(&options.files, archive.try_clone()?)?;
    Ok(Some(archive))
}

fn discard(mut child: Child, error: anyhow::Error) -> anyhow::Error {
    // The child may be gone already; the error at hand is the one to tell.
    let _ = child.kill();
    let _ = child.wait();
    error
}
