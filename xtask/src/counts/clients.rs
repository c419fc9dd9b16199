//! The clients of a load, all on one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::load::{Load, VALUE};
use crate::resp::{key, set};

/// How long the store may leave all clients without an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the random keys begin: the same ones each time.
const SEED: u64 = 1;

/// Clients that are connected.
#[derive(Debug)]
pub struct Clients {
    load: Load,
    keys: u64,
    random: fastrand::Rng,
    /// What a pipeline is answered.
    reply: Vec<u8>,
    poll: Poll,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Answered until now, of a pipeline that was sent.
    received: Vec<u8>,
}

impl Clients {
    /// Connects all clients of a load, who ask for the first `keys` keys.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub fn connect(load: Load, keys: u64, address: SocketAddr) -> Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for number in 0..load.connections() {
            let stream = std::net::TcpStream::connect(address).context("cannot connect to the store")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            connections.push(Connection { stream, received: Vec::new() });
        }
        let reply = reply(load).repeat(load.pipeline());
        Ok(Self { load, keys, random: fastrand::Rng::with_seed(SEED), reply, poll, connections })
    }

    /// Sends so many requests, whole pipelines, and takes the answers.
    ///
    /// # Errors
    /// When the store answers something else, or not at all.
    pub fn run(&mut self, requests: u64) -> Result<()> {
        let mut unsent = requests / self.load.pipeline() as u64;
        let mut unanswered = unsent;
        for number in 0..self.connections.len() {
            if unsent > 0 {
                self.send(number)?;
                unsent -= 1;
            }
        }
        let mut events = Events::with_capacity(self.connections.len());
        while unanswered > 0 {
            self.poll.poll(&mut events, Some(PATIENCE))?;
            if events.is_empty() {
                bail!("the store does not answer");
            }
            for event in &events {
                let Token(number) = event.token();
                if self.connections[number].receive(&self.reply)? {
                    unanswered -= 1;
                    if unsent > 0 {
                        self.send(number)?;
                        unsent -= 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends a pipeline.
    fn send(&mut self, number: usize) -> Result<()> {
        let mut requests = String::new();
        for _ in 0..self.load.pipeline() {
            requests.push_str(&request(self.load, &key(self.random.u64(..self.keys))));
        }
        // All of it fits the socket's buffer, which is empty: the last pipeline was answered.
        self.connections[number].stream.write_all(requests.as_bytes()).context("cannot send to the store")
    }
}

impl Connection {
    /// Takes what has come; says whether the reply is whole.
    fn receive(&mut self, reply: &[u8]) -> Result<bool> {
        let mut buffer = [0; 4096];
        while self.received.len() < reply.len() {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the store closes a connection"),
                Ok(length) => self.received.extend(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot receive from the store"),
            }
        }
        if !reply.starts_with(&self.received) {
            bail!("the store answers with `{}`", String::from_utf8_lossy(&self.received).escape_debug());
        }
        let whole = self.received.len() == reply.len();
        if whole {
            self.received.clear();
        }
        Ok(whole)
    }
}

/// A request for a key.
fn request(load: Load, key: &str) -> String {
    match load.writes() {
        true => set(key, &"x".repeat(VALUE)),
        false => format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()),
    }
}

/// What a request is answered: all keys have the same value.
fn reply(load: Load) -> Vec<u8> {
    match load.writes() {
        true => b"+OK\r\n".to_vec(),
        false => format!("${VALUE}\r\n{}\r\n", "x".repeat(VALUE)).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn requests_are_whole() {
        assert_eq!(request(Load::GetP1, &key(7)), "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000007\r\n");
        assert!(request(Load::SetP16, &key(7)).starts_with("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000007\r\n$64\r\nxx"));
    }

    /// One connection to a server that answers each of two pipelines with these bytes, in pieces of `piece`.
    fn run_against(answer: &'static [u8], piece: usize) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            for _ in 0..2 {
                let mut asked = vec![0; request(Load::SetOne, &key(0)).len()];
                // A client that has found a wrong answer is gone.
                if client.read_exact(&mut asked).is_err()
                    || answer.chunks(piece).any(|piece| client.write_all(piece).is_err())
                {
                    return;
                }
            }
        });
        let result = Clients::connect(Load::SetOne, 10, address).unwrap().run(2);
        server.join().unwrap();
        result
    }

    #[test]
    fn answers_may_come_in_pieces_and_must_be_right() {
        run_against(b"+OK\r\n", 2).unwrap();
        let error = run_against(b"-ERR\r\n", 6).unwrap_err().to_string();
        assert!(error.contains("-ERR"), "{error}");
    }
}
