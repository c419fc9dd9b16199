//! Does what its arguments say, one after the other, and prints a line for each: `lookup=HOST` looks a name up,
//! `tcp=PLACE` and `udp=PLACE` send a word there and wait for it to come back, `refused=PLACE` connects to where nobody
//! listens, `crowd=NUMBER` has so many connections at once with itself.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

#[cfg(target_os = "hermit")]
use libos as _;

const WORD: &[u8] = b"a word that comes back";

fn main() {
    for argument in std::env::args().skip(1) {
        let (what, place) = argument.split_once('=').expect("WHAT=PLACE");
        let start = Instant::now();
        let outcome = match what {
            "lookup" => (place, 80).to_socket_addrs().map(|found| {
                let found: Vec<String> = found.map(|address| address.to_string()).collect();
                found.join(" ")
            }),
            "tcp" => tcp(place),
            "udp" => udp(place),
            "crowd" => crowd(place.parse().expect("a number")),
            "refused" => TcpStream::connect(place).map(|_| "connected".to_owned()),
            _ => panic!("{what}: no such thing to do"),
        };
        let seconds = start.elapsed().as_secs();
        match outcome {
            Ok(text) => println!("{argument}: {text}"),
            Err(error) => println!("{argument}: {:?}: {error} (after {seconds} s)", error.kind()),
        }
    }
}

fn tcp(place: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(place)?;
    stream.write_all(WORD)?;
    stream.shutdown(Shutdown::Write)?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    Ok(if back == WORD { "came back".to_owned() } else { format!("came back as {back:?}") })
}

/// Datagrams are lost; another may arrive.
fn udp(place: &str) -> io::Result<String> {
    let to = place.to_socket_addrs()?.next().expect("an address");
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(3)))?;
    let mut back = [0; 100];
    for _ in 0..10 {
        socket.send(WORD)?;
        match socket.recv(&mut back) {
            Ok(len) if back[..len] == *WORD => return Ok("came back".to_owned()),
            Ok(len) => return Ok(format!("came back as {:?}", &back[..len])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Opens connections, and sends a word over each, forth and back, while all are open.
fn crowd(number: usize) -> io::Result<String> {
    let listener = TcpListener::bind("[::1]:0")?;
    let address = listener.local_addr()?;
    let mut ends = Vec::new();
    for _ in 0..number {
        let client = TcpStream::connect(address)?;
        ends.push((client, listener.accept()?.0));
    }
    let mut back = [0; WORD.len()];
    for (client, server) in &mut ends {
        client.write_all(WORD)?;
        server.read_exact(&mut back)?;
        server.write_all(&back)?;
        client.read_exact(&mut back)?;
        assert_eq!(back, WORD);
    }
    Ok(format!("{number} connections at once"))
}
