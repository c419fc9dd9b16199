//! A client that speaks RESP2, the protocol of Redis, one connection at a time and no cleverer than it has to be.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::machine;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`.
    Status(String),
    /// `-ERR …`, without the dash.
    Error(String),
    /// `:1`.
    Integer(i64),
    /// A string of bytes.
    Bulk(Vec<u8>),
    /// The null string or the null array.
    Null,
    /// A list.
    Array(Vec<Reply>),
}

impl Reply {
    /// The status `+OK`.
    pub fn ok() -> Self {
        Self::Status("OK".into())
    }

    /// The bytes of a string, `None` for the null one. Any other reply fails the test.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bulk(bytes) => Some(bytes),
            Self::Null => None,
            other => panic!("no string: {other:?}"),
        }
    }
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

    /// Sends one command and returns its reply.
    ///
    /// # Errors
    /// When the connection ends before.
    pub fn try_command(&mut self, arguments: &[&[u8]]) -> io::Result<Reply> {
        self.send(&encode(arguments))?;
        self.reply()
    }

    /// Sends one command, given as words, and returns its reply.
    pub fn command(&mut self, words: &str) -> Reply {
        let arguments: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        self.try_command(&arguments).unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    /// Sends several commands at once, each given as words, and returns their replies.
    pub fn pipeline(&mut self, commands: &[String]) -> Vec<Reply> {
        let encode_words = |words: &String| encode(&words.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        self.send(&commands.iter().flat_map(encode_words).collect::<Vec<_>>()).unwrap();
        commands.iter().map(|words| self.reply().unwrap_or_else(|error| panic!("{words}: {error}"))).collect()
    }

    /// Stores a value.
    pub fn set(&mut self, key: &str, value: &[u8]) -> Reply {
        self.try_command(&[b"SET", key.as_bytes(), value]).unwrap()
    }

    /// Loads a value.
    pub fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.try_command(&[b"GET", key.as_bytes()]).unwrap().into_bytes()
    }

    /// A field of `INFO`.
    pub fn info(&mut self, field: &str) -> String {
        let text = self.command("INFO everything").into_bytes().unwrap();
        let text = String::from_utf8(text).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("INFO has no {field}:\n{text}")).to_owned()
    }

    /// A field of `INFO` that is a number.
    pub fn count(&mut self, field: &str) -> u64 {
        self.info(field).parse().unwrap()
    }

    /// Fields of one `INFO` that are numbers.
    pub fn counts<const N: usize>(&mut self, fields: [&str; N]) -> [u64; N] {
        let text = String::from_utf8(self.command("INFO everything").into_bytes().unwrap()).unwrap();
        fields.map(|field| {
            let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            value.unwrap_or_else(|| panic!("INFO has no {field}:\n{text}")).parse().unwrap()
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        self.reader.get_mut().shutdown(Shutdown::Write).unwrap();
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// When the connection ends before, or the reply is no RESP2.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err(ErrorKind::UnexpectedEof.into()) };
        let (kind, rest) = line.split_at_checked(1).ok_or(ErrorKind::InvalidData)?;
        let rest = std::str::from_utf8(rest).map_err(io::Error::other)?;
        let number = || rest.parse::<i64>().map_err(io::Error::other);
        Ok(match kind {
            b"+" => Reply::Status(rest.to_owned()),
            b"-" => Reply::Error(rest.to_owned()),
            b":" => Reply::Integer(number()?),
            b"$" | b"*" if rest == "-1" => Reply::Null,
            b"$" => {
                let mut bytes = vec![0; usize::try_from(number()?).map_err(io::Error::other)? + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(bytes)
            }
            b"*" => Reply::Array((0..number()?).map(|_| self.reply()).collect::<io::Result<_>>()?),
            _ => return Err(ErrorKind::InvalidData.into()),
        })
    }
}

/// A command as RESP has it: an array of strings.
pub fn encode(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
