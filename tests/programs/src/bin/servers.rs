//! Small servers for clients outside of the machine, each with a thread for every connection and plain blocking calls:
//!
//! - port 7000 sends back what it gets,
//! - port 7001 reads to the end and answers with `LENGTH CHECKSUM`,
//! - port 7002 sends for as long as anyone takes it,
//! - port 7003 tells how many connections the other three have, and closes.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[cfg(target_os = "hermit")]
use libos as _;

/// The stack of a connection's thread, in bytes: hundreds of them have to fit.
const STACK: usize = 64 << 10;

/// What a server does with a connection.
type Serve = fn(TcpStream) -> io::Result<()>;

/// Connections of the first three servers.
static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let servers: [(u16, Serve); 4] = [(7000, echo), (7001, sum), (7002, pour), (7003, count)];
    let listening = servers.map(|(port, serve)| {
        let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
        thread::spawn(move || listen(&listener, serve))
    });
    println!("servers: ready");
    listening.into_iter().for_each(|thread| thread.join().unwrap());
}

fn listen(listener: &TcpListener, serve: Serve) {
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        CONNECTIONS.fetch_add(1, Ordering::SeqCst);
        let serve = move || {
            // A connection may end in any way; what counts is that it ends.
            let _ = serve(stream);
            CONNECTIONS.fetch_sub(1, Ordering::SeqCst);
        };
        thread::Builder::new().stack_size(STACK).spawn(serve).unwrap();
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 << 10];
    loop {
        match stream.read(&mut buffer)? {
            0 => return stream.shutdown(Shutdown::Write),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}

fn sum(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let (mut length, mut sum) = (0, 0u64);
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            read => {
                length += read;
                sum = buffer[..read].iter().fold(sum, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            }
        }
    }
    writeln!(stream, "{length} {sum}")
}

fn pour(mut stream: TcpStream) -> io::Result<()> {
    let data: Vec<u8> = (0..16 << 10).map(|at| (at % 251) as u8).collect();
    loop {
        stream.write_all(&data)?;
    }
}

fn count(mut stream: TcpStream) -> io::Result<()> {
    // Less this one.
    writeln!(stream, "{}", CONNECTIONS.load(Ordering::SeqCst) - 1)
}
