//! Packets: `$` data `#` checksum, each acknowledged by `+` or asked for again by `-`.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{GdbError, Result};

/// How often a packet is sent again, or asked for again, before the connection counts as broken.
const MOST_ATTEMPTS: usize = 5;
/// The longest packet that is taken. QEMU's have 4096 characters.
const LONGEST: usize = 1 << 16;
/// What asks the stub to stop the guest.
const INTERRUPT: u8 = 3;

/// One side of a connection: packets in and out, whole and right.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    /// What has been read and not looked at yet, the oldest byte first from `seen` on.
    buffer: Vec<u8>,
    seen: usize,
    /// Packets that came while an acknowledgement was waited for.
    early: Vec<String>,
}

/// What can come in.
enum Item {
    Acknowledged,
    AskedAgain,
    Packet(String),
    Damaged,
}

impl Link {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Vec::new(), seen: 0, early: Vec::new() }
    }

    /// Sends a packet and waits until it has arrived.
    pub(super) fn send(&mut self, data: &str, timeout: Duration) -> Result<()> {
        let packet = frame(data);
        let deadline = Instant::now() + timeout;
        for _ in 0..MOST_ATTEMPTS {
            self.write(&packet)?;
            loop {
                match self.item(deadline)? {
                    Item::Acknowledged => return Ok(()),
                    Item::AskedAgain => break,
                    Item::Packet(packet) => {
                        self.write(b"+")?;
                        self.early.push(packet);
                    }
                    Item::Damaged => self.write(b"-")?,
                }
            }
        }
        Err(GdbError::Protocol(format!("`{data}` does not arrive whole")))
    }

    /// The next packet.
    pub(super) fn receive(&mut self, timeout: Duration) -> Result<String> {
        if !self.early.is_empty() {
            return Ok(self.early.remove(0));
        }
        let deadline = Instant::now() + timeout;
        for _ in 0..MOST_ATTEMPTS {
            loop {
                match self.item(deadline)? {
                    Item::Packet(packet) => {
                        self.write(b"+")?;
                        return Ok(packet);
                    }
                    Item::Damaged => break,
                    // They belong to something that has been given up.
                    Item::Acknowledged | Item::AskedAgain => {}
                }
            }
            self.write(b"-")?;
        }
        Err(GdbError::Protocol("no packet arrives whole".into()))
    }

    /// Asks the stub to stop the guest.
    pub(super) fn interrupt(&mut self) -> Result<()> {
        self.write(&[INTERRUPT])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).map_err(from_io)
    }

    fn item(&mut self, deadline: Instant) -> Result<Item> {
        loop {
            match self.byte(deadline)? {
                b'+' => return Ok(Item::Acknowledged),
                b'-' => return Ok(Item::AskedAgain),
                b'$' => return self.packet(deadline),
                // Bytes between packets mean nothing.
                _ => {}
            }
        }
    }

    /// The rest of a packet whose `$` has been read.
    fn packet(&mut self, deadline: Instant) -> Result<Item> {
        let mut data = Vec::new();
        let mut sum = 0_u8;
        loop {
            match self.byte(deadline)? {
                b'#' => break,
                // The packet was cut short, and another one begins.
                b'$' => {
                    data.clear();
                    sum = 0;
                }
                byte => {
                    sum = sum.wrapping_add(byte);
                    data.push(byte);
                    if data.len() > LONGEST {
                        return Err(GdbError::Protocol("a packet without an end".into()));
                    }
                }
            }
        }
        let digits = [self.byte(deadline)?, self.byte(deadline)?];
        let claimed = std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let decoded = (claimed == Some(sum)).then(|| decode(&data)).flatten();
        Ok(decoded.map_or(Item::Damaged, Item::Packet))
    }

    fn byte(&mut self, deadline: Instant) -> Result<u8> {
        while self.seen == self.buffer.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            // A timeout of zero would mean none.
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).map_err(GdbError::Socket)?;
            self.buffer.resize(4096, 0);
            self.seen = 0;
            let read = self.stream.read(&mut self.buffer);
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(GdbError::Gone),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(from_io(error)),
            }
        }
        self.seen += 1;
        Ok(self.buffer[self.seen - 1])
    }
}

fn from_io(error: std::io::Error) -> GdbError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => GdbError::TimedOut,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => GdbError::Gone,
        _ => GdbError::Socket(error),
    }
}

/// A packet with this data. Nothing that is sent here has a byte that would have to be escaped.
pub(super) fn frame(data: &str) -> Vec<u8> {
    let sum = data.bytes().fold(0_u8, u8::wrapping_add);
    format!("${data}#{sum:02x}").into_bytes()
}

/// Undoes escapes (`}` and the byte with bit 5 turned) and runs (`0*"` is `0000`). `None` if they make no sense.
fn decode(data: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(data.len());
    let mut bytes = data.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'}' => text.push(char::from(bytes.next()? ^ 0x20)),
            b'*' => {
                let count = bytes.next()?.checked_sub(29)?;
                let last = text.chars().next_back()?;
                text.extend(std::iter::repeat_n(last, usize::from(count)));
            }
            _ => text.push(char::from(byte)),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_sum_of_the_data() {
        assert_eq!(frame("OK"), b"$OK#9a");
        assert_eq!(frame(""), b"$#00");
    }

    #[test]
    fn escapes_and_runs_are_undone() {
        assert_eq!(decode(b"0* x").as_deref(), Some("0000x"));
        assert_eq!(decode(b"a}\x03b").as_deref(), Some("a#b"));
        for nonsense in [&b"*!"[..], b"0*", b"a}", b"0*\x01"] {
            assert_eq!(decode(nonsense), None);
        }
    }
}
