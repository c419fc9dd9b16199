//! The clients' connections.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::choice::Choice;
use super::{Answers, Traffic};
use crate::resp::{key, set};

/// How long the store may leave all clients without an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the random choices begin: the same ones each time.
const SEED: u64 = 1;

/// Clients that are connected.
#[derive(Debug)]
pub struct Clients {
    traffic: Traffic,
    choice: Choice,
    poll: Poll,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// When its pipeline was sent.
    sent: Instant,
    /// What that is to be answered, and how much of it has come.
    reply: Vec<u8>,
    received: usize,
}

impl Clients {
    /// Connects all clients. The keys that they read are to have values as [`crate::resp::Client::fill`] gives them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub fn connect(traffic: Traffic, address: SocketAddr) -> Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for number in 0..traffic.connections + traffic.writers {
            let stream = std::net::TcpStream::connect(address).context("cannot connect to the store")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            connections.push(Connection { stream, sent: Instant::now(), reply: Vec::new(), received: 0 });
        }
        Ok(Self { traffic, choice: Choice::new(&traffic, SEED), poll, connections })
    }

    /// Sends so many requests, whole pipelines, and takes the answers. Who is beside goes on until then.
    ///
    /// # Errors
    /// When the store answers something else, or not at all.
    pub fn run(&mut self, requests: u64) -> Result<Answers> {
        let begun = Instant::now();
        let pipelines = requests / self.traffic.pipeline as u64;
        let (mut unsent, mut under_way) = (pipelines, 0);
        let (mut waits, mut took) = (Vec::new(), begun.elapsed());
        for number in 0..self.connections.len() {
            if self.is_beside(number) || unsent > 0 {
                self.send(number)?;
                under_way += 1;
                unsent -= u64::from(!self.is_beside(number));
            }
        }
        let mut events = Events::with_capacity(self.connections.len());
        while under_way > 0 {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                bail!("the store does not answer");
            }
            for event in &events {
                let Token(number) = event.token();
                let connection = &mut self.connections[number];
                if !connection.receive()? {
                    continue;
                }
                under_way -= 1;
                let goes_on = if self.is_beside(number) {
                    (waits.len() as u64) < pipelines
                } else {
                    waits.push(self.connections[number].sent.elapsed());
                    took = begun.elapsed();
                    unsent > 0
                };
                if goes_on {
                    self.send(number)?;
                    under_way += 1;
                    unsent -= u64::from(!self.is_beside(number));
                }
            }
        }
        Ok(Answers::new(pipelines * self.traffic.pipeline as u64, took, waits))
    }

    /// Whether a client is one of those of whom nothing is told.
    fn is_beside(&self, number: usize) -> bool {
        number >= self.traffic.connections
    }

    /// Sends a pipeline.
    fn send(&mut self, number: usize) -> Result<()> {
        let beside = self.is_beside(number);
        let connection = &mut self.connections[number];
        let mut requests = String::new();
        connection.reply.clear();
        connection.received = 0;
        for _ in 0..if beside { 1 } else { self.traffic.pipeline } {
            let reads = !beside && self.choice.reads();
            requests.push_str(&request(reads, &key(self.choice.key()), self.traffic.value));
            connection.reply.extend(reply(reads, self.traffic.value));
        }
        connection.sent = Instant::now();
        // All of it fits the socket's buffer, which is empty: the last pipeline was answered.
        connection.stream.write_all(requests.as_bytes()).context("cannot send to the store")
    }
}

impl Connection {
    /// Takes what has come; says whether that ends the reply.
    fn receive(&mut self) -> Result<bool> {
        let mut buffer = [0; 4096];
        while self.received < self.reply.len() {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the store closes a connection"),
                Ok(length) => {
                    let answer = &buffer[..length];
                    if !self.reply[self.received..].starts_with(answer) {
                        bail!("the store answers with `{}`", String::from_utf8_lossy(answer).escape_debug());
                    }
                    self.received += length;
                    if self.received == self.reply.len() {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("cannot receive from the store"),
            }
        }
        Ok(false)
    }
}

/// A request for a key.
fn request(reads: bool, key: &str, value: usize) -> String {
    match reads {
        true => format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()),
        false => set(key, &"x".repeat(value)),
    }
}

/// What a request is answered: all keys have the same value.
fn reply(reads: bool, value: usize) -> Vec<u8> {
    match reads {
        true => format!("${value}\r\n{}\r\n", "x".repeat(value)).into_bytes(),
        false => b"+OK\r\n".to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::super::Popularity;
    use super::*;

    const WRITES: Traffic = Traffic {
        connections: 1,
        pipeline: 1,
        value: 64,
        keys: 10,
        popularity: Popularity::Uniform,
        reads: 0,
        writers: 0,
    };

    #[test]
    fn requests_are_whole() {
        assert_eq!(request(true, &key(7), 64), "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000007\r\n");
        assert!(request(false, &key(7), 64).starts_with("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000007\r\n$64\r\nxx"));
    }

    /// One connection to a server that answers each of two requests with these bytes, in pieces of `piece`.
    fn run_against(answer: &'static [u8], piece: usize) -> Result<Answers> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            for _ in 0..2 {
                let mut asked = vec![0; request(false, &key(0), WRITES.value).len()];
                // A client that has found a wrong answer is gone.
                if client.read_exact(&mut asked).is_err()
                    || answer.chunks(piece).any(|piece| client.write_all(piece).is_err())
                {
                    return;
                }
            }
        });
        let result = Clients::connect(WRITES, address).unwrap().run(2);
        server.join().unwrap();
        result
    }

    #[test]
    fn answers_may_come_in_pieces_and_must_be_right() {
        assert!(run_against(b"+OK\r\n", 2).unwrap().rate() > 0.0);
        for wrong in [&b"-ERR\r\n"[..], b"+OK\r\n+OK\r\n"] {
            let error = run_against(wrong, wrong.len()).unwrap_err().to_string();
            assert!(error.contains(&String::from_utf8_lossy(wrong).escape_debug().to_string()), "{error}");
        }
    }

    #[test]
    fn who_is_beside_writes_until_the_others_have_their_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let clients: Vec<_> = (0..2).map(|_| listener.accept().unwrap().0).collect();
            let serve = |mut client: std::net::TcpStream| {
                let (mut count, mut asked) = (0, [0; 4096]);
                while let Ok(1..) = client.read(&mut asked) {
                    let answer = if asked.starts_with(b"*2") { reply(true, 64) } else { reply(false, 64) };
                    client.write_all(&answer).unwrap();
                    count += 1;
                }
                (asked.starts_with(b"*2"), count)
            };
            let served: Vec<_> = clients.into_iter().map(|client| thread::spawn(move || serve(client))).collect();
            served.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
        });
        let traffic = Traffic { reads: 100, writers: 1, ..WRITES };
        let answers = Clients::connect(traffic, address).unwrap().run(50).unwrap();
        assert!(answers.rate() > 0.0);
        let served = server.join().unwrap();
        assert_eq!(served.iter().find(|(reads, _)| *reads).unwrap().1, 50);
        assert!(served.iter().find(|(reads, _)| !*reads).unwrap().1 > 1);
    }
}
