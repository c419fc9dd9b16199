//! The connection through which the guest is asked.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

use xtask::forward::Forwarder;

use super::accounts::{Numbers, parse};
use crate::machine::PATIENCE;

/// The connection.
#[derive(Debug)]
pub(super) struct Control {
    stream: BufReader<TcpStream>,
    _forwarder: Forwarder,
}

impl Control {
    /// Connects to the guest's port for questions.
    pub(super) fn connect(forwarder: Forwarder) -> io::Result<Self> {
        let stream = TcpStream::connect(forwarder.address())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = BufReader::new(stream);
        stream.read_line(&mut String::new())?;
        Ok(Self { stream, _forwarder: forwarder })
    }

    /// The guest's answer.
    pub(super) fn ask(&mut self, question: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(format!("{question}\n").as_bytes())?;
        let mut answer = String::new();
        match self.stream.read_line(&mut answer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(answer.trim_end().to_owned()),
        }
    }

    /// The numbers that the guest answers with.
    pub(super) fn numbers(&mut self, question: &str) -> Numbers {
        let answer =
            self.ask(question).unwrap_or_else(|error| panic!("the guest does not say its {question}: {error}"));
        parse(&answer).unwrap_or_else(|| panic!("{question}: {answer}"))
    }
}
