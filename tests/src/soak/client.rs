//! A client: one connection after the other, each in another manner.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::stream::Stream;
use fastrand::Rng;

use crate::machine;

/// How a client uses a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Sends all, ends its half, reads to the end.
    Asks,
    /// Reads what it wanted, then sends, then ends.
    Listens,
    /// Both at once.
    Talks,
    /// A message, an answer, many times.
    Converses,
    /// Only reads; the guest ends first.
    Downloads,
    /// Reads little by little, with pauses.
    Dawdles,
    /// Resets in the middle.
    Resets,
    /// Goes in the middle, with bytes unread.
    Vanishes,
    /// Ends its half at once, without having said anything.
    Changes,
}

/// How often each manner is chosen.
const MANNERS: [Manner; 14] = [
    Manner::Asks,
    Manner::Asks,
    Manner::Listens,
    Manner::Listens,
    Manner::Talks,
    Manner::Talks,
    Manner::Talks,
    Manner::Converses,
    Manner::Converses,
    Manner::Downloads,
    Manner::Dawdles,
    Manner::Resets,
    Manner::Vanishes,
    Manner::Changes,
];

/// What clients have done, and what went wrong.
#[derive(Debug, Default)]
pub struct Tally {
    whole: AtomicU64,
    broken_off: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    now: AtomicU64,
    most: AtomicU64,
    problems: Mutex<Vec<String>>,
}

impl Tally {
    /// Connections that carried all that they should.
    pub fn whole(&self) -> u64 {
        self.whole.load(Ordering::Relaxed)
    }

    /// Connections that their client broke off on purpose.
    pub fn broken_off(&self) -> u64 {
        self.broken_off.load(Ordering::Relaxed)
    }

    /// The most connections at once.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// What went wrong.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mib = |count: &AtomicU64| number(count) as f64 / (1 << 20) as f64;
        write!(
            f,
            "{} connections whole, {} broken off on purpose, up to {} at once, {:.1} MiB up, {:.1} MiB down",
            number(&self.whole),
            number(&self.broken_off),
            number(&self.most),
            mib(&self.up),
            mib(&self.down),
        )
    }
}

/// Uses connections until it is told to stop.
pub(super) fn run(address: SocketAddr, mut random: Rng, stop: &AtomicBool, tally: &Tally) {
    // Not all at once: the link shall see handshakes all the time.
    pause(&mut random, 2000, stop);
    while !stop.load(Ordering::Relaxed) {
        let manner = MANNERS[random.u64(..MANNERS.len() as u64) as usize];
        let now = tally.now.fetch_add(1, Ordering::Relaxed) + 1;
        tally.most.fetch_max(now, Ordering::Relaxed);
        let outcome = use_one(address, manner, &mut random, tally);
        tally.now.fetch_sub(1, Ordering::Relaxed);
        match outcome {
            Ok(true) => _ = tally.whole.fetch_add(1, Ordering::Relaxed),
            Ok(false) => _ = tally.broken_off.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                let problem = match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "is stuck".to_owned(),
                    _ => format!("failed: {error}"),
                };
                let mut problems = tally.problems.lock().unwrap_or_else(PoisonError::into_inner);
                problems.push(format!("a connection of a client that {manner:?} {problem}"));
            }
        }
        pause(&mut random, 100, stop);
    }
}

fn pause(random: &mut Rng, most: u64, stop: &AtomicBool) {
    if !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(random.u64(..most)));
    }
}

/// A length, more often a small one than a large one.
fn length(random: &mut Rng, most_bits: u64) -> u64 {
    let bits = random.u64(..most_bits + 1);
    random.u64(..1 << bits)
}

/// Uses one connection. Whether it carried all that there was.
fn use_one(address: SocketAddr, manner: Manner, random: &mut Rng, tally: &Tally) -> io::Result<bool> {
    let stream = machine::connect(address)?;
    if manner == Manner::Changes {
        // Where the connection has ended by now, reading tells why.
        let _ = stream.shutdown(Shutdown::Write);
    }
    // The guest speaks first.
    (&stream).read_exact(&mut [0])?;
    let breaks = matches!(manner, Manner::Resets | Manner::Vanishes);
    let (way, up, down) = match manner {
        Manner::Asks | Manner::Listens | Manner::Talks => (1, length(random, 17), length(random, 17)),
        Manner::Dawdles => (1, length(random, 10), length(random, 15)),
        Manner::Converses => (2, length(random, 14), 0),
        Manner::Downloads => (3, 0, length(random, 17)),
        Manner::Resets | Manner::Vanishes => (1, 0, 1 << 20),
        Manner::Changes => return Ok(false),
    };
    let seed = random.u64(..1 << 48);
    let mut wish = vec![way, u8::from(breaks)];
    for number in [seed, up, down] {
        wish.extend(number.to_le_bytes());
    }
    (&stream).write_all(&wish)?;
    let mut connection = Connection { stream, up: Stream::new(seed), down: Stream::new(!seed) };
    match manner {
        Manner::Asks => {
            connection.send(up)?;
            connection.end()?;
            connection.receive(down, || ())?;
        }
        Manner::Listens => {
            connection.receive(down, || ())?;
            connection.send(up)?;
            connection.end()?;
        }
        Manner::Talks => {
            let Connection { stream, up: up_stream, down: down_stream } = &mut connection;
            let (mut reader, mut writer) = (&*stream, &*stream);
            thread::scope(|scope| {
                let sending = scope.spawn(move || {
                    send(&mut writer, up_stream, up)?;
                    writer.shutdown(Shutdown::Write)
                });
                receive(&mut reader, down_stream, down, || ())?;
                sending.join().unwrap_or_else(|_| Err(wrong("a thread has died")))
            })?;
        }
        Manner::Converses => {
            let mut left = up;
            while left > 0 {
                let part = left.min(1 + random.u64(..2000));
                connection.send(part)?;
                connection.receive(part, || ())?;
                left -= part;
            }
            connection.end()?;
        }
        Manner::Downloads => connection.receive(down, || ())?,
        Manner::Dawdles => {
            connection.send(up)?;
            connection.end()?;
            connection.receive(down, || thread::sleep(Duration::from_millis(20)))?;
        }
        Manner::Resets | Manner::Vanishes => {
            connection.receive(1 + length(random, 16), || ())?;
            if manner == Manner::Resets {
                SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO))?;
            }
            return Ok(false);
        }
        Manner::Changes => return Ok(false),
    }
    connection.verdict(up)?;
    tally.up.fetch_add(up, Ordering::Relaxed);
    tally.down.fetch_add(down, Ordering::Relaxed);
    Ok(true)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

struct Connection {
    stream: TcpStream,
    up: Stream,
    down: Stream,
}

impl Connection {
    fn send(&mut self, length: u64) -> io::Result<()> {
        send(&mut self.stream, &mut self.up, length)
    }

    fn receive(&mut self, length: u64, between: impl Fn()) -> io::Result<()> {
        receive(&mut self.stream, &mut self.down, length, between)
    }

    fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Reads what follows the stream: how much the guest got, and the end.
    fn verdict(&mut self, up: u64) -> io::Result<()> {
        let mut verdict = [0; 8];
        self.stream.read_exact(&mut verdict)?;
        if u64::from_le_bytes(verdict) != up {
            return Err(wrong("the guest got another number of bytes, or sent wrong ones"));
        }
        match self.stream.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(wrong("bytes follow the end")),
        }
    }
}

fn send(to: &mut impl Write, up: &mut Stream, length: u64) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    let mut left = length as usize;
    while left > 0 {
        let part = left.min(buffer.len());
        up.fill(&mut buffer[..part]);
        to.write_all(&buffer[..part])?;
        left -= part;
    }
    Ok(())
}

fn receive(from: &mut impl Read, down: &mut Stream, length: u64, between: impl Fn()) -> io::Result<()> {
    let mut buffer = [0; 4 << 10];
    let mut left = length as usize;
    while left > 0 {
        let most = left.min(buffer.len());
        match from.read(&mut buffer[..most])? {
            0 => return Err(wrong("the stream ends early")),
            got if !down.check(&buffer[..got]) => return Err(wrong("a byte is wrong or missing")),
            got => left -= got,
        }
        between();
    }
    Ok(())
}
