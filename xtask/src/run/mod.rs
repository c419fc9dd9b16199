//! `cargo xtask run`: a program in its machine, from the checks before the start to the guest's exit status.
//!
//! What people type is in [`arguments`]; what that makes of the machine is in `qemu/command.rs`.
//!
//! A server says that it accepts clients, and where, by one line on its console:
//!
//! ```text
//! NAME: ready on port PORT
//! NAME: ready on port PORT (WHAT IT SAYS OF ITSELF)
//! ```
//!
//! So the port in the guest is the program's own business, whether it is fixed, an argument or chosen by the system.
//! Upon that line connections to the port on this machine are carried there, the way is tried with the program's probe
//! ([`crate::apps`]), and the user is told what to type. A program that never prints such a line runs just as well,
//! without clients.

pub mod arguments;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::annotate::Annotator;
use crate::apps::{self, App};
use crate::forward::{self, Forwarder};
use crate::guest::{self, Profile};
use crate::image::PmemImage;
use crate::output::{say, warn};
use crate::qemu::{Accelerator, Event, Exit, Machine, MachineOptions};
use crate::setup::{
    self,
    toolchain::{Choice, find_program},
};
use crate::trace::{Output, Region};
use crate::workspace;
use crate::{size, stripped};

/// How long a program may take from saying that it is ready to its first answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

/// The script that tells GDB of the guest's threads, under the workspace's root.
pub const GDB_SCRIPT: &str = "xtask/gdb/holdfast.py";

/// What `run` is asked for.
#[derive(Debug)]
pub struct RunOptions {
    /// The program's name: one of [`apps::all`].
    pub app: String,
    /// Whether to build it as it is put to work.
    pub release: bool,
    /// The image file; the program's default one, if it has one, if `None`.
    pub pmem: Option<PathBuf>,
    /// The size of an image that is to be created.
    pub pmem_size: Option<u64>,
    /// The address that clients connect to.
    pub listen: IpAddr,
    /// The port that clients connect to; the program's default one if `None`.
    pub port: Option<u16>,
    /// Where a trace of what the guest does is to be written.
    pub trace: Option<PathBuf>,
    /// The toolchain for the guest.
    pub toolchain: Choice,
    /// The machine; its image, name and pmem are filled in.
    pub machine: MachineOptions,
}

/// What the loop of `run` waits for.
enum News {
    Machine(Event),
    Interrupt,
    Answered(Result<()>),
}

/// Builds the program, boots it, carries its clients, and returns the exit status of the guest.
///
/// # Errors
/// When something is missing, in use or wrong. Program, options, port and image are checked before anything is built or
/// changed.
pub fn run(options: RunOptions) -> Result<u8> {
    let RunOptions { app, release, pmem, pmem_size, listen, port, trace, toolchain, mut machine } = options;
    let app = apps::find(&app)?;
    machine.name.clone_from(&app.name);
    machine.check()?;
    let listener = forward::listen(SocketAddr::new(listen, port.unwrap_or(app.port)))?;
    let image = match (&pmem, &app.pmem) {
        (Some(path), _) => Some(PmemImage::open(path, pmem_size)?),
        (None, Some(default)) => Some(PmemImage::open_default(&default.image, pmem_size, default.size)?),
        (None, None) if pmem_size.is_some() => {
            bail!("{} asks for no NVDIMM; to give it one all the same, name its image with --pmem", app.name)
        }
        (None, None) => None,
    };
    // Where the machine does not come to start, it is not left behind.
    let provisional = image.as_ref().map(PmemImage::provisional);
    let trace = trace.as_deref().map(Output::create).transpose()?;
    // The ready line is a command to type; but only what boots is worth failing for.
    let mut tools = vec![setup::QEMU];
    if app.client_program() == Some(setup::REDIS_CLI.program) && setup::apt::may_install().is_ok() {
        tools.push(setup::REDIS_CLI);
    }
    let toolchain = setup::ensure(toolchain, &tools)?;

    say(format_args!("building {} for {} ({})", app.name, workspace::GUEST_TARGET, toolchain.description()));
    let profile = match (machine.gdb, release) {
        (true, _) => Profile::Checked,
        (false, true) => Profile::Release,
        (false, false) => Profile::Quick,
    };
    machine.image = guest::build(&toolchain, &[&app.name], profile)?.join(&app.name);
    if profile == Profile::Release {
        machine.image = stripped::make(&machine.image)?;
        say(format_args!("the image to put to work: {}", describe(&machine.image)?));
    }
    let annotator = Annotator::load(&machine.image)?;
    // It has to outlive the machine that uses it.
    let _tap = machine.network.tap()?;

    let (news, inbox) = mpsc::channel();
    let interrupts = news.clone();
    crate::signals::on_interrupt(move || {
        // Without a receiver the process is at its end anyway.
        let _ = interrupts.send(News::Interrupt);
    })?;
    if let Some(image) = &image
        && let Some(shortage) = image.shortage()
    {
        warn(format_args!("WARNING: {}: {shortage}", workspace::display(image.path())));
    }
    match &image {
        Some(image) => {
            say(format_args!("booting with {} as pmem0; Ctrl-C shuts down", workspace::display(image.path())))
        }
        None => say("booting without persistent memory; Ctrl-C shuts down"),
    }
    if machine.gdb {
        say(format_args!("waiting for: {}", debugger_command(&machine.image)));
    }
    machine.pmem.extend(image);
    machine.trace = trace.is_some().then(|| Region::create(machine.smp)).transpose()?;
    let (events, machine_events) = mpsc::channel();
    let on_kvm = machine.accelerator == Accelerator::Kvm;
    let started = Machine::start(machine, Some(events));
    let machine =
        if on_kvm { started.context("KVM does not run it here; --accel tcg runs everywhere")? } else { started? };
    if let Some(image) = provisional {
        image.keep();
    }
    let machine_news = news.clone();
    thread::spawn(move || machine_events.into_iter().try_for_each(|event| machine_news.send(News::Machine(event))));

    let mut session = Session {
        app,
        machine,
        annotator,
        news,
        listener: Some(listener),
        forwarder: None,
        detail: String::new(),
        interrupts: 0,
    };
    let mut ends = inbox.into_iter().filter_map(|event| session.handle(event).transpose());
    let end = ends.next().unwrap_or_else(|| Err(anyhow!("the machine is gone without a word")));
    drop(ends);
    // However it has ended.
    if let (Some(output), Some(region)) = (trace, session.machine.trace()) {
        say(output.write(region)?);
    }
    end
}

/// Where an image is, how long it is, and where what its reports mean is told.
fn describe(image: &Path) -> Result<String> {
    let length = size::display(std::fs::metadata(image)?.len());
    let symbols = stripped::with_symbols(image);
    Ok(format!("{}, {length} (names and lines: {})", workspace::display(image), workspace::display(&symbols)))
}

/// What a person types to look into a machine that waits for a debugger. `rust-gdb` knows how to show Rust's own types.
fn debugger_command(image: &Path) -> String {
    let debugger = if find_program("rust-gdb").is_some() { "rust-gdb" } else { "gdb" };
    let script = workspace::root().join(GDB_SCRIPT);
    format!("{debugger} -x {} {} -ex 'target remote :1234'", workspace::display(&script), workspace::display(image))
}

/// A machine that runs a program, and what the user sees of it.
struct Session {
    app: App,
    machine: Machine,
    annotator: Annotator,
    news: Sender<News>,
    /// The socket that clients connect to, until the forwarder has it.
    listener: Option<TcpListener>,
    forwarder: Option<Forwarder>,
    /// What the program said of itself when it was ready, in brackets after a space; or nothing.
    detail: String,
    interrupts: u32,
}

impl Session {
    /// Deals with one piece of news, and returns the exit status with the last.
    fn handle(&mut self, news: News) -> Result<Option<u8>> {
        match news {
            News::Machine(Event::Line(line)) => match (Ready::parse(&self.app.name, &line), self.listener.take()) {
                (Some(ready), Some(listener)) => self.open(listener, ready)?,
                (_, listener) => {
                    self.listener = listener;
                    say(self.annotator.annotate(&line));
                }
            },
            News::Machine(Event::Diagnostic(line)) => warn(format_args!("QEMU: {line}")),
            News::Machine(Event::Exited(exit)) => return Ok(Some(self.conclude(exit))),
            News::Answered(Ok(())) => self.announce(),
            News::Answered(Err(error)) => {
                return Err(error.context(format!("{} says that it is ready, but it does not answer", self.app.name)));
            }
            News::Interrupt => self.interrupt()?,
        }
        Ok(None)
    }

    /// Lets the clients in, and has the way to the program tried.
    fn open(&mut self, listener: TcpListener, ready: Ready) -> Result<()> {
        let forwarder = self.machine.forward(listener, ready.port)?;
        let address = forwarder.address();
        self.forwarder = Some(forwarder);
        self.detail = ready.detail;
        if self.app.probe.is_empty() {
            self.announce();
            return Ok(());
        }
        let (news, probe) = (self.news.clone(), self.app.probe.clone());
        thread::spawn(move || news.send(News::Answered(ask(address, &probe))));
        Ok(())
    }

    /// Tells the user what to type.
    fn announce(&self) {
        if let Some(forwarder) = &self.forwarder {
            say(format_args!("ready: {}{}", self.app.client(forwarder.address()), self.detail));
        }
    }

    fn interrupt(&mut self) -> Result<()> {
        self.interrupts += 1;
        if self.interrupts == 1 {
            say("shutting down; once more ends QEMU at once");
            self.machine.press_power_button()
        } else {
            self.machine.kill();
            Ok(())
        }
    }

    fn conclude(&self, exit: Exit) -> u8 {
        match exit {
            Exit::Guest(0) => {}
            Exit::Killed(_) if self.interrupts > 1 => say("QEMU was ended"),
            _ => warn(exit),
        }
        exit.code()
    }
}

/// The line by which a program says that it accepts clients: `kvstore: ready on port 6379 (pmem0 1.0 GiB, protection
/// pks)`.
#[derive(Debug, PartialEq, Eq)]
struct Ready {
    port: u16,
    /// What it says of itself, with the space and the brackets around it; or nothing.
    detail: String,
}

impl Ready {
    fn parse(program: &str, line: &str) -> Option<Self> {
        let said = line.trim_end().strip_prefix(program)?.strip_prefix(": ready on port ")?;
        let (port, detail) = said.split_at(said.find(' ').unwrap_or(said.len()));
        let is_understood = detail.is_empty() || (detail.starts_with(" (") && detail.ends_with(')'));
        if !is_understood {
            return None;
        }
        Some(Self { port: port.parse().ok().filter(|&port| port != 0)?, detail: detail.to_owned() })
    }
}

/// Sends the probe the way a client would, and waits for the answer.
fn ask(address: SocketAddr, probe: &[u8]) -> Result<()> {
    let address = apps::reachable(address);
    let deadline = Instant::now() + ANSWER_PATIENCE;
    loop {
        let error = match try_to_ask(address, probe, deadline) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // The guest's network may come up a moment after its program: then the connection is reset, and another one is
        // due.
        let again =
            matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe);
        if !again || Instant::now() >= deadline {
            return Err(error).with_context(|| format!("no answer on {address}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn try_to_ask(address: SocketAddr, probe: &[u8], deadline: Instant) -> std::io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&address, left)?;
    stream.set_read_timeout(Some(left))?;
    stream.write_all(probe)?;
    // Any answer will do, an error too: there is a server that reads and writes.
    stream.read_exact(&mut [0; 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_understood() {
        for detail in ["", " (pmem0 1.0 GiB, protection pks)"] {
            let ready = Ready::parse("app", &format!("app: ready on port 6379{detail}\r")).unwrap();
            assert_eq!(ready, Ready { port: 6379, detail: detail.into() });
        }
    }

    #[test]
    fn other_lines_are_not_taken_for_it() {
        for line in [
            "",
            "app: ready",
            "app: ready on port",
            "app: ready on port 0",
            "app: ready on port x (d)",
            "app: ready on port 70000 (d)",
            "another app: ready on port 1 (d)",
            "app: ready on port 1 (d",
            "app: ready on port 1 d",
        ] {
            assert_eq!(Ready::parse("app", line), None, "{line}");
        }
    }

    #[test]
    fn a_server_that_answers_is_heard() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let served = thread::spawn(move || {
            // The first connection is reset, as by a guest whose network is not up yet.
            drop(server.accept().unwrap());
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 6];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"+PONG\r\n").unwrap();
            request
        });
        ask(address, b"PING\r\n").unwrap();
        assert_eq!(&served.join().unwrap(), b"PING\r\n");
    }
}
