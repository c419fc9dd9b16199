//! A connection to the store or to Redis that speaks just enough of the protocol: it fills a server, and asks it what
//! it has and has done.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Requests that are sent at once.
const PIPELINE: u64 = 32;

/// A connection.
#[derive(Debug)]
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects to a server, whose answers may take so long.
    ///
    /// # Errors
    /// When there is none.
    pub fn connect(address: impl ToSocketAddrs, patience: Duration) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sees whether the server answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn ping(&mut self) -> Result<()> {
        self.send(b"PING\r\n")?;
        match self.line()?.as_str() {
            "+PONG" => Ok(()),
            other => bail!("PING is answered with `{other}`"),
        }
    }

    /// The value of a key; an error if there is none.
    ///
    /// # Errors
    /// When the server does not tell.
    pub fn get(&mut self, key: &str) -> Result<Vec<u8>> {
        self.send(format!("GET {key}\r\n").as_bytes())?;
        self.bulk_string()
    }

    /// Gives a key a value.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.send(set(key, value).as_bytes())?;
        self.expect_ok()
    }

    /// Changes a setting.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn configure(&mut self, name: &str, value: &str) -> Result<()> {
        self.send(format!("CONFIG SET {name} {value}\r\n").as_bytes())?;
        self.expect_ok().with_context(|| format!("the setting {name} cannot be {value}"))
    }

    /// Puts so many keys with values of so many bytes.
    ///
    /// # Errors
    /// When the server refuses one.
    pub fn fill(&mut self, keys: u64, value: u64) -> Result<()> {
        let value = "x".repeat(usize::try_from(value)?);
        for first in (0..keys).step_by(PIPELINE as usize) {
            let numbers = first..keys.min(first + PIPELINE);
            let requests: String = numbers.clone().map(|number| set(&key(number), &value)).collect();
            self.send(requests.as_bytes())?;
            for _ in numbers {
                self.expect_ok()?;
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
        let text = self.bulk_string()?;
        processed(&String::from_utf8_lossy(&text)).context("INFO does not say how many commands there were")
    }

    fn expect_ok(&mut self) -> Result<()> {
        match self.line()?.as_str() {
            "+OK" => Ok(()),
            other => bail!("a server answers with `{other}`, and not with OK"),
        }
    }

    /// Reads a reply that is a string of known length.
    fn bulk_string(&mut self) -> Result<Vec<u8>> {
        let head = self.line()?;
        let length = head.strip_prefix('$').and_then(|length| length.parse().ok());
        let mut text =
            vec![0; length.with_context(|| format!("a server answers with `{head}`, and not with a string"))?];
        self.0.read_exact(&mut text)?;
        self.line()?;
        Ok(text)
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

/// The name of a key, as `redis-benchmark` asks for it.
pub fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// The request that gives a key a value.
pub fn set(key: &str, value: &str) -> String {
    format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len())
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
        assert_eq!(set(&key(7), "xy"), "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000007\r\n$2\r\nxy\r\n");
    }

    #[test]
    fn commands_are_counted_by_the_server() {
        assert_eq!(processed("# Stats\r\ntotal_commands_processed:42\r\nx:1\r\n"), Some(42));
        assert_eq!(processed("# Stats\r\n"), None);
    }
}
