//! A client that speaks as much HTTP/1.1 as the tests need: one connection, one request at a time.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::machine;

/// The most bytes that a test takes for a body.
const LONGEST: usize = 1 << 20;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body.
    pub text: String,
    /// Whether the server ends the connection.
    pub closes: bool,
}

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { reader: BufReader::new(machine::connect(address)?) })
    }

    /// Sends a request and returns its reply.
    ///
    /// # Errors
    /// When the connection ends before.
    pub fn try_request(&mut self, method: &str, target: &str, body: &str) -> io::Result<Reply> {
        let length = body.len();
        let request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}");
        self.send(request.as_bytes())?;
        self.reply()
    }

    /// Gets what is there, which has to be something.
    pub fn get(&mut self, target: &str) -> String {
        let reply = self.try_request("GET", target, "").unwrap_or_else(|error| panic!("GET {target}: {error}"));
        assert_eq!(reply.status, 200, "GET {target}: {}", reply.text);
        reply.text
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// When the connection ends before, or the reply is none of HTTP/1.1 with a Content-Length.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let status = self.line()?;
        let status = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or(ErrorKind::InvalidData)?;
        let (mut length, mut closes) = (None, false);
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("Content-Length", value)) => {
                    length = value.parse::<usize>().ok().filter(|&bytes| bytes <= LONGEST)
                }
                Some(("Connection", "close")) => closes = true,
                Some(_) => {}
                None if line.is_empty() => break,
                None => return Err(ErrorKind::InvalidData.into()),
            }
        }
        let mut body = vec![0; length.ok_or(ErrorKind::InvalidData)?];
        self.reader.read_exact(&mut body)?;
        Ok(Reply { status, text: String::from_utf8(body).map_err(io::Error::other)?, closes })
    }

    /// Whether the server has ended the connection: waits for that.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.reader.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }
}
