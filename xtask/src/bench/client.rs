//! A connection that fills a server, and asks it what it has done.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Requests that are sent at once.
const PIPELINE: u64 = 32;

/// A connection.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects to a server on this computer that answers.
    ///
    /// # Errors
    /// When none does.
    pub fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self(BufReader::new(stream));
        client.send(b"PING\r\n")?;
        match client.line()?.as_str() {
            "+PONG" => Ok(client),
            other => bail!("PING is answered with `{other}`"),
        }
    }

    /// Puts the keys `key:000000000000` and so on, which `redis-benchmark` asks for, with values of so many bytes.
    ///
    /// # Errors
    /// When the server refuses one.
    pub fn fill(&mut self, keys: u64, value: u64) -> Result<()> {
        let value = "x".repeat(usize::try_from(value)?);
        for first in (0..keys).step_by(PIPELINE as usize) {
            let numbers = first..keys.min(first + PIPELINE);
            let requests: String = numbers.clone().map(|number| set(number, &value)).collect();
            self.send(requests.as_bytes())?;
            for _ in numbers {
                match self.line()?.as_str() {
                    "+OK" => {}
                    other => bail!("SET is answered with `{other}`"),
                }
            }
        }
        Ok(())
    }

    /// How many commands the server has carried out.
    ///
    /// # Errors
    /// When it does not say.
    pub fn commands(&mut self) -> Result<u64> {
        self.send(b"INFO stats\r\n")?;
        let head = self.line()?;
        let length = head.strip_prefix('$').and_then(|it| it.parse().ok());
        let mut text = vec![0; length.with_context(|| format!("INFO is answered with `{head}`"))?];
        self.0.read_exact(&mut text)?;
        self.line()?;
        processed(&String::from_utf8_lossy(&text)).context("INFO does not say how many commands there were")
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.get_mut().write_all(bytes).context("cannot send to a server")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).context("a server does not answer")? == 0 {
            bail!("a server closes the connection");
        }
        Ok(line.trim_end().to_owned())
    }
}

/// A request.
fn set(number: u64, value: &str) -> String {
    format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:{number:012}\r\n${}\r\n{value}\r\n", value.len())
}

/// The count of commands in the text of `INFO stats`.
fn processed(info: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_whole() {
        assert_eq!(set(7, "xy"), "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000007\r\n$2\r\nxy\r\n");
    }

    #[test]
    fn commands_are_counted_by_the_server() {
        assert_eq!(processed("# Stats\r\ntotal_commands_processed:42\r\nx:1\r\n"), Some(42));
        assert_eq!(processed("# Stats\r\n"), None);
    }
}
