//! A client of the GDB remote serial protocol, as far as QEMU's stub speaks it: what stops a guest, looks into it and
//! changes it from outside.
//!
//! This room owns the connection and the protocol. It knows nothing of what runs in the guest.
//!
//! What QEMU 7.2 does, and a user of this should know:
//!
//! - The guest stops when somebody connects, and goes on for good by [`Gdb::detach`].
//! - A thread of the protocol is a virtual CPU, numbered from 1. [`Gdb::resume`] lets all of them run, [`Gdb::step`]
//!   one only.
//! - While the guest runs, nothing can be asked; any byte sent to the stub stops it. So everything but [`Gdb::wait`]
//!   and [`Gdb::halt`] is refused then.
//! - Memory is reached through the page tables of the selected CPU, present bits only: neither write permission nor
//!   protection keys hold this access back. With [`Gdb::use_physical_addresses`] addresses are physical.
//! - A CPU that stands at a breakpoint hits it again when it is resumed: take it away, step, and put it back.
//! - The stub's steps leave the guest's interrupts and timers off unless [`StepMode::WITH_INTERRUPTS`] is chosen.

mod packet;
mod registers;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

pub use registers::{Register, Registers};

use packet::Link;

/// How long the stub may take for an answer. It answers between two steps of QEMU's main loop.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of memory that one packet carries: QEMU's packets have 4096 characters, two for each byte.
const MOST_BYTES: usize = 1024;

/// The signal of a step that was made and of a stop point.
const SIGTRAP: u8 = 5;

/// Why something asked of the stub did not happen.
#[derive(Debug)]
pub enum GdbError {
    /// The connection has ended: the machine is gone.
    Gone,
    /// No answer came in time.
    TimedOut,
    /// The stub refuses with this number of an error, 14 or so for memory that is not mapped.
    Refused(u8),
    /// The stub does not know the request.
    Unknown(String),
    /// What came is not what the protocol has at this place.
    Protocol(String),
    /// The socket failed.
    Socket(io::Error),
}

impl fmt::Display for GdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => write!(f, "QEMU has closed the debugger's connection"),
            Self::TimedOut => write!(f, "QEMU's debugger stub does not answer"),
            Self::Refused(number) => write!(f, "QEMU's debugger stub refuses with error {number}"),
            Self::Unknown(request) => write!(f, "QEMU's debugger stub does not know the request `{request}`"),
            Self::Protocol(what) => write!(f, "QEMU's debugger stub: {what}"),
            Self::Socket(error) => write!(f, "the debugger's connection: {error}"),
        }
    }
}

impl std::error::Error for GdbError {}

/// What the functions here return.
pub type Result<T> = std::result::Result<T, GdbError>;

/// How the guest stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The signal that the stub gives as the reason: 5 after a step or at a breakpoint, 2 when it was asked to stop.
    pub signal: u8,
    /// The CPU that the stop is about, numbered from 1.
    pub cpu: u32,
    /// The address that a watchpoint saw.
    pub watched: Option<u64>,
}

/// What stops the guest at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopPoint {
    /// Execution of the instruction there. QEMU changes no code for it.
    Execution,
    /// A store to this many bytes there.
    Write(u64),
    /// A load from this many bytes there.
    Read(u64),
    /// Either of them.
    Access(u64),
}

/// What a step of one instruction leaves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepMode(u8);

impl StepMode {
    /// Neither interrupts nor timers, as the stub begins: a step is the next instruction of the code at hand.
    pub const ALONE: Self = Self(0b111);
    /// Interrupts and timers go on: a step can lead into a handler.
    pub const WITH_INTERRUPTS: Self = Self(0b001);
}

/// A connection to the stub of one machine.
#[derive(Debug)]
pub struct Gdb {
    link: Link,
    running: bool,
}

impl Gdb {
    /// Connects to the stub that listens on the Unix socket `path`, and waits for that for as long as `patience`. The
    /// guest stands still then.
    pub fn connect(path: &Path, patience: Duration) -> Result<Self> {
        let deadline = Instant::now() + patience;
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return Self::new(stream),
                Err(error) if Instant::now() >= deadline => return Err(GdbError::Socket(error)),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn new(stream: UnixStream) -> Result<Self> {
        let mut gdb = Self { link: Link::new(stream), running: false };
        // The first answer shows that the stub is there and that the guest stands still.
        gdb.ask("qSupported")?;
        // Registers can be changed one by one only by who has asked for their description.
        let description = gdb.ask("qXfer:features:read:target.xml:0,800")?;
        if !description.contains("i386-64bit.xml") && !description.contains("i386:x86-64") {
            return Err(unexpected("the description of an x86-64 CPU", &description));
        }
        Ok(gdb)
    }

    /// Whether the guest runs, as far as this side knows.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// The CPUs, numbered from 1.
    pub fn cpus(&mut self) -> Result<Vec<u32>> {
        let mut cpus = Vec::new();
        let mut answer = self.ask("qfThreadInfo")?;
        while let Some(list) = answer.strip_prefix('m') {
            for number in list.split(',') {
                cpus.push(u32::from_str_radix(number, 16).map_err(|_| unexpected("a list of CPUs", &answer))?);
            }
            answer = self.ask("qsThreadInfo")?;
        }
        if answer == "l" { Ok(cpus) } else { Err(unexpected("a list of CPUs", &answer)) }
    }

    /// Chooses the CPU whose registers and page tables are used from now on.
    pub fn select(&mut self, cpu: u32) -> Result<()> {
        self.command(&format!("Hg{cpu:x}"))
    }

    /// The registers of the selected CPU.
    pub fn registers(&mut self) -> Result<Registers> {
        let answer = self.ask("g")?;
        let bytes = from_hex(&answer)?;
        Registers::parse(&bytes).ok_or_else(|| GdbError::Protocol(format!("{} bytes of registers", bytes.len())))
    }

    /// One register of the selected CPU, zero-extended.
    pub fn register(&mut self, register: Register) -> Result<u128> {
        let answer = self.ask(&format!("p{:x}", register.number()))?;
        let bytes = from_hex(&answer)?;
        if bytes.len() != register.size() {
            return Err(unexpected("a register", &answer));
        }
        Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u128::from(byte)))
    }

    /// Changes a register of the selected CPU. What its width does not hold of `value` is cut off.
    pub fn set_register(&mut self, register: Register, value: u128) -> Result<()> {
        let bytes = &value.to_le_bytes()[..register.size()];
        self.command(&format!("P{:x}={}", register.number(), to_hex(bytes)))
    }

    /// Takes addresses of memory as physical ones from now on, or as those of the selected CPU again.
    pub fn use_physical_addresses(&mut self, physical: bool) -> Result<()> {
        self.command(&format!("Qqemu.PhyMemMode:{}", u8::from(physical)))
    }

    /// `length` bytes of memory.
    pub fn read(&mut self, address: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let most = MOST_BYTES.min(length - bytes.len());
            let answer = self.ask(&format!("m{:x},{most:x}", address + bytes.len() as u64))?;
            let piece = from_hex(&answer)?;
            if piece.len() != most {
                return Err(GdbError::Protocol(format!("{} bytes of memory instead of {most}", piece.len())));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The eight bytes at `address`, as a number.
    pub fn read_u64(&mut self, address: u64) -> Result<u64> {
        let bytes = self.read(address, 8)?;
        Ok(bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// Changes memory.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        for (piece, at) in bytes.chunks(MOST_BYTES).zip((address..).step_by(MOST_BYTES)) {
            self.command(&format!("M{at:x},{:x}:{}", piece.len(), to_hex(piece)))?;
        }
        Ok(())
    }

    /// Makes the guest stop at this address.
    pub fn insert(&mut self, point: StopPoint, address: u64) -> Result<()> {
        self.stop_point('Z', point, address)
    }

    /// Takes away what [`Gdb::insert`] put there.
    pub fn remove(&mut self, point: StopPoint, address: u64) -> Result<()> {
        self.stop_point('z', point, address)
    }

    fn stop_point(&mut self, action: char, point: StopPoint, address: u64) -> Result<()> {
        let (kind, length) = match point {
            StopPoint::Execution => (1, 1),
            StopPoint::Write(length) => (2, length),
            StopPoint::Read(length) => (3, length),
            StopPoint::Access(length) => (4, length),
        };
        self.command(&format!("{action}{kind},{address:x},{length:x}"))
    }

    /// Chooses what steps leave on.
    pub fn set_step_mode(&mut self, mode: StepMode) -> Result<()> {
        self.command(&format!("Qqemu.sstep=0x{:x}", mode.0))
    }

    /// Lets this CPU execute one instruction, and no other CPU any.
    pub fn step(&mut self, cpu: u32) -> Result<Stop> {
        self.start(&format!("vCont;s:{cpu:x}"))?;
        self.wait(PATIENCE)?.ok_or(GdbError::TimedOut)
    }

    /// As [`Gdb::step`], but gives up after `timeout`: a CPU that waits for an interrupt executes nothing. `None` then.
    pub fn try_step(&mut self, cpu: u32, timeout: Duration) -> Result<Option<Stop>> {
        // When the guest is halted, the stub takes the order to step back only from the CPU that is selected for it.
        self.command(&format!("Hc{cpu:x}"))?;
        self.start(&format!("vCont;s:{cpu:x}"))?;
        match self.wait(timeout)? {
            Some(stop) => Ok(Some(stop)),
            None => {
                let stop = self.halt()?;
                // It may have been about to stop by itself.
                Ok((stop.signal == SIGTRAP).then_some(stop))
            }
        }
    }

    /// Whether a CPU waits for an interrupt.
    pub fn is_idle(&mut self, cpu: u32) -> Result<bool> {
        let answer = self.ask(&format!("qThreadExtraInfo,{cpu:x}"))?;
        let text = from_hex(&answer)?;
        Ok(String::from_utf8_lossy(&text).contains("halted"))
    }

    /// Lets all CPUs run.
    pub fn resume(&mut self) -> Result<()> {
        self.start("vCont;c")
    }

    fn start(&mut self, request: &str) -> Result<()> {
        self.refuse_while_running()?;
        self.link.send(request, PATIENCE)?;
        self.running = true;
        Ok(())
    }

    /// Waits until the guest stops; `None` when it has not within `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Stop>> {
        if !self.running {
            return Err(GdbError::Protocol("the guest does not run".into()));
        }
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let packet = match self.link.receive(left) {
                Ok(packet) => packet,
                Err(GdbError::TimedOut) => return Ok(None),
                Err(error) => return Err(error),
            };
            match packet.as_bytes() {
                [b'T' | b'S', ..] => {
                    self.running = false;
                    return parse_stop(&packet).map(Some);
                }
                [b'W' | b'X', ..] => return Err(GdbError::Gone),
                [] => return Err(GdbError::Unknown("vCont".into())),
                // Output for the debugger's user.
                [b'O', digits @ ..] if digits != b"K" => {}
                _ => return Err(unexpected("a stop", &packet)),
            }
        }
    }

    /// Stops the guest. When it has just stopped by itself, that stop is returned.
    pub fn halt(&mut self) -> Result<Stop> {
        if self.running {
            self.link.interrupt()?;
        }
        self.wait(PATIENCE)?.ok_or(GdbError::TimedOut)
    }

    /// Lets the guest run and leaves it alone.
    pub fn detach(mut self) -> Result<()> {
        if self.running {
            self.halt()?;
        }
        self.command("D")
    }

    /// Asks for something that is answered by `OK`.
    fn command(&mut self, request: &str) -> Result<()> {
        let answer = self.ask(request)?;
        if answer == "OK" { Ok(()) } else { Err(unexpected("OK", &answer)) }
    }

    /// Sends a request and returns its answer, past the news of stops that are known already.
    fn ask(&mut self, request: &str) -> Result<String> {
        self.refuse_while_running()?;
        self.link.send(request, PATIENCE)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.link.receive(deadline.saturating_duration_since(Instant::now()))?;
            match answer.as_bytes() {
                [] => return Err(GdbError::Unknown(request.to_owned())),
                [b'T', ..] => {}
                [b'E', high, low] => {
                    let number = std::str::from_utf8(&[*high, *low]).ok().and_then(|n| u8::from_str_radix(n, 16).ok());
                    return Err(number.map_or_else(|| unexpected("an error", &answer), GdbError::Refused));
                }
                _ => return Ok(answer),
            }
        }
    }

    fn refuse_while_running(&self) -> Result<()> {
        if self.running {
            return Err(GdbError::Protocol("the guest runs; it has to be halted before anything is asked".into()));
        }
        Ok(())
    }
}

/// Reads `T05thread:01;watch:1000;`, or `S05`.
fn parse_stop(packet: &str) -> Result<Stop> {
    let signal = packet.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let mut stop = Stop { signal: signal.ok_or_else(|| unexpected("a stop", packet))?, cpu: 1, watched: None };
    for (name, value) in packet[3..].split(';').filter_map(|field| field.split_once(':')) {
        let number = || u64::from_str_radix(value, 16).map_err(|_| unexpected("a number in a stop", packet));
        match name {
            "thread" => stop.cpu = number()? as u32,
            "watch" | "rwatch" | "awatch" => stop.watched = Some(number()?),
            _ => {}
        }
    }
    Ok(stop)
}

fn unexpected(wanted: &str, got: &str) -> GdbError {
    GdbError::Protocol(format!("`{got}` came instead of {wanted}"))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    bytes.collect::<Option<Vec<u8>>>().ok_or_else(|| unexpected("hexadecimal digits", text))
}
