//! Threads, time and a TCP echo: an ordinary std program, which boots as an image of its own in the guest and runs as
//! a process on the host (`cargo run -p hello`).
//!
//! Little here but the one `use` below knows that there may be no operating system underneath.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

// The whole operating system: its entry point is the image's.
#[cfg(target_os = "hermit")]
use libos as _;

/// On the guest everybody may come in, on the host only this machine; an argument chooses another address.
const ADDRESS: &str = if cfg!(target_os = "hermit") { "0.0.0.0:7777" } else { "127.0.0.1:7777" };
/// How many clients are served at a time; one more is told to come back.
const MOST_CLIENTS: usize = 64;
/// How long a client may say nothing, or take nothing, before it is let go.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    say(format_args!("{} processors, {}", thread::available_parallelism().map_or(1, usize::from), today()));
    add_up();
    let address = std::env::args_os().nth(1).map_or(ADDRESS.into(), |address| address.to_string_lossy().into_owned());
    match serve(&address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("cannot serve on {address}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for people. `println!` panics when nobody reads any more, and the clients would be left alone.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "hello: {line}");
}

/// Threads and time: four threads share the numbers to add.
fn add_up() {
    let began = Instant::now();
    let parts: Vec<_> =
        (0..4u64).map(|part| thread::spawn(move || (part..1_000_000).step_by(4).sum::<u64>())).collect();
    let sum: u64 = parts.into_iter().map(|part| part.join().expect("adding numbers does not panic")).sum();
    say(format_args!("four threads found {sum} in {:?}", began.elapsed()));
}

/// The date of the wall clock.
fn today() -> String {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
    format!("{days} days since 1970")
}

/// A thread for each client, who gets back what it sends.
fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    // On the guest, this ends the report of how long the boot took.
    #[cfg(target_os = "hermit")]
    libos::boot::ready();
    // `cargo xtask run` waits for this line and forwards to the port that it names.
    say(format_args!("ready on port {} (echo)", listener.local_addr()?.port()));
    let clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let mut stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                // One that has gone already, or no more room for connections: both pass.
                say(format_args!("a client was not accepted: {error}"));
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        if clients.fetch_add(1, Ordering::Relaxed) >= MOST_CLIENTS {
            clients.fetch_sub(1, Ordering::Relaxed);
            // Whether it hears that makes no difference to anybody else.
            let _ = stream.write_all(b"hello: too many clients, come back later\n");
            continue;
        }
        let leaving = Arc::clone(&clients);
        let serve = move || {
            // A client that goes away in the middle is no error of ours.
            let _ = echo(stream);
            leaving.fetch_sub(1, Ordering::Relaxed);
        };
        thread::Builder::new().name("client".to_owned()).spawn(serve)?;
    }
    Ok(())
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            length => stream.write_all(&bytes[..length])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_comes_back_until_the_client_has_finished() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || echo(listener.accept().unwrap().0));
        client.write_all(b"one two three").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = String::new();
        client.read_to_string(&mut back).unwrap();
        assert_eq!(back, "one two three");
        server.join().unwrap().unwrap();
    }
}
