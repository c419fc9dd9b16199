//! One connection: what its client wants, the streams both ways, and the verdict at the end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::counts::{COUNTS, Plant, count};
use crate::stream::Stream;

/// The stacks of a connection's threads, in bytes: a thousand of them have to fit.
const STACK: usize = 64 << 10;
/// How long a connection may say nothing whose client has said that it may vanish: what the client sent to say so may
/// have been lost, and then nothing comes any more. It is long enough for five losses of the same segment, each of
/// which doubles the wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client wants, in 26 bytes: how, whether it may vanish, the seed, and the lengths of both streams,
/// little-endian.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    way: Way,
    may_vanish: bool,
    seed: u64,
    up: u64,
    down: u64,
}

/// How the two streams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Each by itself, both at once.
    Both,
    /// For each byte that comes one goes.
    Answers,
    /// Nothing comes; the server ends first.
    Down,
}

/// The peer sent something that it should not have.
fn wrong() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl Wish {
    fn read(stream: &mut TcpStream) -> io::Result<Self> {
        // The client waits for this before it sends anything.
        stream.write_all(b"!")?;
        let mut bytes = [0; 26];
        stream.read_exact(&mut bytes)?;
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let way = match bytes[0] {
            1 => Way::Both,
            2 => Way::Answers,
            3 => Way::Down,
            _ => return Err(wrong()),
        };
        Ok(Self { way, may_vanish: bytes[1] == 1, seed: number(2), up: number(10), down: number(18) })
    }
}

/// Serves each connection by a thread of its own. Another thread joins these, in the order in which they began.
pub fn listen(listener: &TcpListener) {
    let (begun, to_join) = mpsc::channel::<JoinHandle<()>>();
    thread::spawn(move || {
        for handle in to_join {
            if Plant::Handle.shows() {
                std::mem::forget(handle);
            } else if handle.join().is_ok() {
                count(&COUNTS.threads);
            }
            count(&COUNTS.ended);
        }
    });
    for stream in listener.incoming() {
        // A client that resets at once is one too.
        let Ok(stream) = stream else { continue };
        count(&COUNTS.begun);
        let serve = move || judge(stream);
        match thread::Builder::new().stack_size(STACK).spawn(serve) {
            Ok(handle) => begun.send(handle).unwrap_or_default(),
            Err(error) => panic!("no thread for a connection: {error}"),
        }
    }
}

/// Serves a connection and counts how it went.
fn judge(mut stream: TcpStream) {
    if Plant::Buffer.shows() {
        // Where nobody looks at it, the compiler would leave it out.
        std::mem::forget(std::hint::black_box(vec![1u8; 3000]));
    }
    let wish = match Wish::read(&mut stream) {
        Ok(wish) => wish,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return count(&COUNTS.wrong),
        Err(_) => return count(&COUNTS.empty),
    };
    let outcome = serve(&mut stream, wish);
    match outcome {
        Ok(()) => count(&COUNTS.whole),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            println!("soak: WRONG BYTE: {wish:?}");
            count(&COUNTS.wrong);
        }
        Err(_) if wish.may_vanish => count(&COUNTS.cut),
        Err(error) => {
            println!("soak: ENDED EARLY: {wish:?}: {error}");
            count(&COUNTS.short);
        }
    }
}

fn serve(stream: &mut TcpStream, wish: Wish) -> io::Result<()> {
    if wish.may_vanish {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    let (mut up, mut down) = (Stream::new(wish.seed), Stream::new(!wish.seed));
    let received = match wish.way {
        Way::Both => {
            let mut reader = stream.try_clone()?;
            thread::scope(|scope| {
                let read = move || receive(&mut reader, &mut up, |_| Ok(()));
                let reading = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, read)?;
                let sent = send(stream, &mut down, wish.down);
                let received = reading.join().unwrap_or_else(|_| Err(wrong()));
                count(&COUNTS.threads);
                sent.and(received)
            })?
        }
        Way::Answers => {
            let mut writer = stream.try_clone()?;
            receive(stream, &mut up, |count| send(&mut writer, &mut down, count))?
        }
        Way::Down => {
            send(stream, &mut down, wish.down)?;
            0
        }
    };
    // The client compares it with what it has sent.
    stream.write_all(&received.to_le_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    if received == wish.up { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Reads to the end, checks all, and says how much it was. `then` learns of each part.
fn receive(from: &mut TcpStream, up: &mut Stream, mut then: impl FnMut(u64) -> io::Result<()>) -> io::Result<u64> {
    let mut buffer = vec![0; 8 << 10];
    let mut received = 0;
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(received),
            length if !up.check(&buffer[..length]) => return Err(wrong()),
            length => {
                received += length as u64;
                then(length as u64)?;
            }
        }
    }
}

/// Sends `length` bytes of the stream.
fn send(to: &mut TcpStream, down: &mut Stream, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; 8 << 10];
    let mut left = length;
    while left > 0 {
        let part = &mut buffer[..left.min(8 << 10) as usize];
        down.fill(part);
        left -= part.len() as u64;
        // With enough bytes behind it that the client finds a wrong one, and does not wait for the last.
        let kept = if part.len() > 64 && Plant::Byte.shows() { &part[1..] } else { &part[..] };
        to.write_all(kept)?;
    }
    Ok(())
}
