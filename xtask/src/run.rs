//! `cargo xtask run`: the store in its machine, from the checks before the start to the guest's exit status.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::annotate::Annotator;
use crate::forward::{self, Forwarder};
use crate::guest::{self, Profile};
use crate::image::PmemImage;
use crate::qemu::{Accelerator, Event, Exit, Machine, MachineOptions, Network};
use crate::setup::{self, toolchain::Choice};
use crate::tap::Tap;
use crate::workspace;

/// The program that runs.
const PROGRAM: &str = "kvstore";
/// How long the store may take from saying that it is ready to its first answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

/// What `run` is asked for.
#[derive(Debug)]
pub struct RunOptions {
    /// The image file; the default one if `None`.
    pub pmem: Option<PathBuf>,
    /// The size of an image that is to be created.
    pub pmem_size: Option<u64>,
    /// The address and port that clients connect to.
    pub listen: SocketAddr,
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

/// Builds the store, boots it, carries its clients, and returns the exit status of the guest.
///
/// # Errors
/// When something is missing, in use or wrong. Options, port and image are checked before anything is built or changed.
pub fn run(options: RunOptions) -> Result<u8> {
    let RunOptions { pmem, pmem_size, listen, toolchain, mut machine } = options;
    let listener = forward::listen(listen)?;
    let image = match &pmem {
        Some(path) => PmemImage::open(path, pmem_size)?,
        None => PmemImage::open_default(pmem_size)?,
    };
    // The ready line is a command to type; but only what boots is worth failing for.
    let with_client = [setup::QEMU, setup::REDIS_CLI];
    let tools = if setup::apt::may_install().is_ok() { &with_client[..] } else { &with_client[..1] };
    let toolchain = setup::ensure(toolchain, tools)?;

    println!("building {PROGRAM} for {} ({})", workspace::GUEST_TARGET, toolchain.description());
    machine.image = guest::build(&toolchain, &[PROGRAM], Profile::Release)?.join(PROGRAM);
    PROGRAM.clone_into(&mut machine.name);
    let annotator = Annotator::load(&machine.image)?;
    // It has to outlive the machine that uses it.
    let _tap = if machine.network == Network::Tap { Some(Tap::create()?) } else { None };

    let (news, inbox) = mpsc::channel();
    let interrupts = news.clone();
    crate::signals::on_interrupt(move || {
        // Without a receiver the process is at its end anyway.
        let _ = interrupts.send(News::Interrupt);
    })?;
    println!("booting with {} as pmem0; Ctrl-C shuts down", workspace::display(image.path()));
    if machine.gdb {
        println!("waiting for: gdb {} -ex 'target remote :1234'", workspace::display(&machine.image));
    }
    machine.pmem.push(image);
    let (events, machine_events) = mpsc::channel();
    let on_kvm = machine.accelerator == Accelerator::Kvm;
    let started = Machine::start(machine, Some(events));
    let machine =
        if on_kvm { started.context("KVM does not run it here; --accel tcg runs everywhere")? } else { started? };
    let machine_news = news.clone();
    thread::spawn(move || machine_events.into_iter().try_for_each(|event| machine_news.send(News::Machine(event))));

    let mut session = Session {
        machine,
        annotator,
        news,
        listener: Some(listener),
        forwarder: None,
        detail: String::new(),
        interrupts: 0,
    };
    for event in inbox {
        if let Some(code) = session.handle(event)? {
            return Ok(code);
        }
    }
    bail!("the machine is gone without a word")
}

/// A machine that runs the store, and what the user sees of it.
struct Session {
    machine: Machine,
    annotator: Annotator,
    news: Sender<News>,
    /// The socket that clients connect to, until the forwarder has it.
    listener: Option<TcpListener>,
    forwarder: Option<Forwarder>,
    /// What the store said of itself when it was ready.
    detail: String,
    interrupts: u32,
}

impl Session {
    /// Deals with one piece of news, and returns the exit status with the last.
    fn handle(&mut self, news: News) -> Result<Option<u8>> {
        match news {
            News::Machine(Event::Line(line)) => match (Ready::parse(&line), self.listener.take()) {
                (Some(ready), Some(listener)) => self.open(listener, ready)?,
                (_, listener) => {
                    self.listener = listener;
                    println!("{}", self.annotator.annotate(&line));
                }
            },
            News::Machine(Event::Diagnostic(line)) => eprintln!("QEMU: {line}"),
            News::Machine(Event::Exited(exit)) => return Ok(Some(self.conclude(exit))),
            News::Answered(Ok(())) => {
                if let Some(forwarder) = &self.forwarder {
                    println!("ready: redis-cli{} ({})", client_arguments(forwarder.address()), self.detail);
                }
            }
            News::Answered(Err(error)) => {
                return Err(error.context("the store says that it is ready, but it does not answer"));
            }
            News::Interrupt => self.interrupt()?,
        }
        Ok(None)
    }

    /// Lets the clients in, and has the way to the store tried.
    fn open(&mut self, listener: TcpListener, ready: Ready) -> Result<()> {
        let forwarder = self.machine.forward(listener, ready.port)?;
        let address = forwarder.address();
        self.forwarder = Some(forwarder);
        self.detail = ready.detail;
        let news = self.news.clone();
        thread::spawn(move || news.send(News::Answered(ask(address))));
        Ok(())
    }

    fn interrupt(&mut self) -> Result<()> {
        self.interrupts += 1;
        if self.interrupts == 1 {
            println!("shutting down; once more ends QEMU at once");
            self.machine.press_power_button()
        } else {
            self.machine.kill();
            Ok(())
        }
    }

    fn conclude(&self, exit: Exit) -> u8 {
        match exit {
            Exit::Guest(0) => {}
            Exit::Killed(_) if self.interrupts > 1 => println!("QEMU was ended"),
            _ => eprintln!("{exit}"),
        }
        exit.code()
    }
}

/// The line by which the store says that it accepts clients: `kvstore: ready on port 6379 (pmem0 1.0 GiB, protection
/// pks)`.
#[derive(Debug, PartialEq, Eq)]
struct Ready {
    port: u16,
    detail: String,
}

impl Ready {
    fn parse(line: &str) -> Option<Self> {
        let (port, detail) = line.strip_prefix("kvstore: ready on port ")?.split_once(' ')?;
        let detail = detail.trim_end().strip_prefix('(')?.strip_suffix(')')?;
        Some(Self { port: port.parse().ok()?, detail: detail.to_owned() })
    }
}

/// What `redis-cli` needs to reach `address` from this machine.
fn client_arguments(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_loopback() && ip.is_ipv4() || ip.is_unspecified() => format!(" -p {}", address.port()),
        ip => format!(" -h {ip} -p {}", address.port()),
    }
}

/// Sends one PING the way a client would, and waits for the answer.
fn ask(address: SocketAddr) -> Result<()> {
    let address = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    };
    let deadline = Instant::now() + ANSWER_PATIENCE;
    loop {
        let error = match ping(address, deadline) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // The guest's network may come up a moment after its store: then the connection is reset, and another one is
        // due.
        let again =
            matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe);
        if !again || Instant::now() >= deadline {
            return Err(error).with_context(|| format!("no answer on {address}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn ping(address: SocketAddr, deadline: Instant) -> std::io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&address, left)?;
    stream.set_read_timeout(Some(left))?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    // Any answer will do, an error too: there is a server that reads and writes.
    stream.read_exact(&mut [0; 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_understood() {
        let ready = Ready::parse("kvstore: ready on port 6379 (pmem0 1.0 GiB, protection pks)").unwrap();
        assert_eq!(ready, Ready { port: 6379, detail: "pmem0 1.0 GiB, protection pks".into() });
    }

    #[test]
    fn other_lines_are_not_taken_for_it() {
        for line in [
            "",
            "kvstore: ready",
            "kvstore: ready on port 6379",
            "kvstore: ready on port x (d)",
            "kvstore: ready on port 70000 (d)",
            "log: kvstore: ready on port 1 (d)",
            "kvstore: ready on port 1 (d",
        ] {
            assert_eq!(Ready::parse(line), None, "{line}");
        }
    }

    #[test]
    fn the_hint_fits_the_address() {
        assert_eq!(client_arguments("127.0.0.1:6379".parse().unwrap()), " -p 6379");
        assert_eq!(client_arguments("0.0.0.0:7000".parse().unwrap()), " -p 7000");
        assert_eq!(client_arguments("192.0.2.7:6379".parse().unwrap()), " -h 192.0.2.7 -p 6379");
        assert_eq!(client_arguments("[::1]:6379".parse().unwrap()), " -h ::1 -p 6379");
    }

    #[test]
    fn a_server_that_answers_is_heard() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let served = thread::spawn(move || {
            // The first connection is reset, as by a guest whose network is not up yet.
            drop(server.accept().unwrap());
            let (mut stream, _) = server.accept().unwrap();
            let mut request = [0; 14];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"+PONG\r\n").unwrap();
            request
        });
        ask(address).unwrap();
        assert_eq!(&served.join().unwrap(), b"*1\r\n$4\r\nPING\r\n");
    }
}
