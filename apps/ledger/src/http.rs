//! HTTP/1.1 (RFC 9112), as little as the ledger needs: requests in, replies out, and a limit on everything.
//!
//! Nobody can keep a thread for ever: a connection may be idle for [`IDLE`], a request has [`PATIENCE`] from its first
//! byte to its last, and so has a reply. Nobody can make a thread remember much: a head has at most [`LONGEST_HEAD`]
//! bytes, a body [`LONGEST_BODY`]. What is refused is refused with a status and a sentence. Syntax is the crate
//! `httparse`'s.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// How long a connection may wait between two requests.
const IDLE: Duration = Duration::from_secs(60);
/// How long a request may take to arrive, and a reply to leave.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of a request line with its headers.
const LONGEST_HEAD: usize = 8 << 10;
/// The most bytes of a body.
const LONGEST_BODY: usize = 4 << 10;
/// The most headers.
const MOST_HEADERS: usize = 32;
/// How much of a refused request is read and thrown away, so that the client hears why.
const REFUSED_BYTES: usize = 64 << 10;

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET` and the like.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the client wants the connection to stay.
    pub keep_alive: bool,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body: plain text.
    pub text: String,
    /// A further header line.
    pub header: Option<(&'static str, String)>,
}

impl Reply {
    /// A reply with this status and text.
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), header: None }
    }

    /// A refusal: the sentence says why.
    pub fn refuse(status: u16, why: impl AsRef<str>) -> Self {
        Self::new(status, format!("{}\n", why.as_ref()))
    }

    fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            201 => "Created",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            411 => "Length Required",
            413 => "Content Too Large",
            422 => "Unprocessable Content",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            507 => "Insufficient Storage",
            _ => "",
        }
    }

    fn bytes(&self, keep_alive: bool) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n",
            self.status,
            self.reason(),
            self.text.len()
        );
        if let Some((name, value)) = &self.header {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(if keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
        [head.as_bytes(), self.text.as_bytes()].concat()
    }
}

/// Why there is no request.
#[derive(Debug)]
pub enum Failure {
    /// The client is to be told this, and the connection ends: where the next request begins is not known.
    Refused(Reply),
    /// The connection has ended or failed, or was idle for too long. There is nobody to tell.
    Gone,
}

/// A client's connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What has arrived and is not part of a request yet.
    buffer: Vec<u8>,
}

impl Connection {
    /// Takes a new connection over.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Waits for the next request.
    pub fn request(&mut self) -> Result<Request, Failure> {
        let mut deadline = Instant::now() + if self.buffer.is_empty() { IDLE } else { PATIENCE };
        let mut continued = false;
        loop {
            match parse(&self.buffer).map_err(Failure::Refused)? {
                Parsed::Whole(request, length) => {
                    self.buffer.drain(..length);
                    return Ok(request);
                }
                Parsed::Part { expects_continue: true } if !continued => {
                    continued = true;
                    self.send(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Failure::Gone)?;
                }
                Parsed::Part { .. } => {}
            }
            let was_idle = self.buffer.is_empty();
            match self.receive(deadline) {
                Ok(0) => return Err(Failure::Gone),
                Ok(_) if was_idle => deadline = Instant::now() + PATIENCE,
                Ok(_) => {}
                Err(error) if is_timeout(&error) && !was_idle => {
                    let why = format!("the request was not complete within {} s", PATIENCE.as_secs());
                    return Err(Failure::Refused(Reply::refuse(408, why)));
                }
                Err(_) => return Err(Failure::Gone),
            }
        }
    }

    /// Sends a reply.
    pub fn reply(&mut self, reply: &Reply, keep_alive: bool) -> io::Result<()> {
        self.send(&reply.bytes(keep_alive))
    }

    /// Sends a refusal, and ends the connection so that the client can read it: a connection that is closed with bytes
    /// unread is reset, and a reset overtakes the reply.
    pub fn refuse(mut self, reply: &Reply) -> io::Result<()> {
        self.reply(reply, false)?;
        self.stream.shutdown(Shutdown::Write)?;
        let (deadline, mut read) = (Instant::now() + PATIENCE, 0);
        while read < REFUSED_BYTES {
            self.buffer.clear();
            match self.receive(deadline)? {
                0 => break,
                length => read += length,
            }
        }
        Ok(())
    }

    /// Receives what has arrived, waiting for some until `deadline`.
    fn receive(&mut self, deadline: Instant) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(deadline)?))?;
        let mut bytes = [0; 2048];
        let length = self.stream.read(&mut bytes)?;
        self.buffer.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(left(deadline)?))?;
            match self.stream.write(bytes)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                length => bytes = &bytes[length..],
            }
        }
        Ok(())
    }
}

/// The time until `deadline`; an error once it has passed.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// What bytes are, from their beginning on.
#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// A request, of so many bytes.
    Whole(Request, usize),
    /// The beginning of one, whose client may wait for leave to send the body.
    Part { expects_continue: bool },
}

/// Reads a request from the beginning of `bytes`. The error is what to tell the client.
fn parse(bytes: &[u8]) -> Result<Parsed, Reply> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(&bytes[..bytes.len().min(LONGEST_HEAD)]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => {
            return Ok(Parsed::Part { expects_continue: false });
        }
        Ok(httparse::Status::Partial) => {
            return Err(Reply::refuse(431, format!("a request's head may have {LONGEST_HEAD} bytes")));
        }
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Reply::refuse(431, format!("a request may have {MOST_HEADERS} headers")));
        }
        Err(httparse::Error::Version) => return Err(Reply::refuse(505, "this server speaks HTTP/1.1")),
        Err(error) => return Err(Reply::refuse(400, format!("this is no HTTP request: {error}"))),
    };
    let values = |name: &'static str| {
        head.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    };
    let has = |name, token: &str| {
        values(name).any(|value| {
            value.split(|&byte| byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    };
    let is_1_1 = head.version == Some(1);
    if is_1_1 && values("host").count() != 1 {
        return Err(Reply::refuse(400, "a request of HTTP/1.1 has one Host header"));
    }
    if values("transfer-encoding").next().is_some() {
        return Err(Reply::refuse(501, "bodies come with a Content-Length here, not with a Transfer-Encoding"));
    }
    let method = head.method.unwrap_or_default();
    let body = match (values("content-length").collect::<Vec<_>>().as_slice(), method) {
        ([], "POST") => return Err(Reply::refuse(411, "a POST needs a Content-Length")),
        ([], _) => 0,
        ([one], _) => content_length(one)?,
        _ => return Err(Reply::refuse(400, "a request has one Content-Length")),
    };
    let end = length + body;
    if bytes.len() < end {
        let expects_continue = is_1_1 && bytes.len() == length && has("expect", "100-continue");
        return Ok(Parsed::Part { expects_continue });
    }
    let target = head.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        body: bytes[length..end].to_vec(),
        keep_alive: is_1_1 && !has("connection", "close"),
    };
    Ok(Parsed::Whole(request, end))
}

/// Reads the value of Content-Length: digits alone, for servers that read it in different ways can be played off
/// against each other.
fn content_length(value: &[u8]) -> Result<usize, Reply> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let digits =
        digits.filter(|text| !text.is_empty()).ok_or_else(|| Reply::refuse(400, "Content-Length is no number"))?;
    // A number that does not fit is too large as well.
    let length = digits.parse().unwrap_or(usize::MAX);
    if length > LONGEST_BODY {
        return Err(Reply::refuse(413, format!("a body may have {LONGEST_BODY} bytes")));
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
