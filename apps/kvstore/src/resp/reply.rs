//! Writing replies.

use std::ops::Range;

use super::blocks::Blocks;
use crate::memory::NoMemory;
use crate::number;

/// The protocol that a client speaks; `HELLO` changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// What every connection begins with.
    #[default]
    Resp2,
    /// With maps, sets, nulls and verbatim strings.
    Resp3,
}

/// What ends a line.
const LINE_END: &[u8; 2] = b"\r\n";
/// The longest head, in bytes: what is announced, the number, the line's end.
const HEAD: usize = 1 + number::DIGITS + LINE_END.len();
/// Room left for the head of a value whose length is not known yet: it is the right one for two digits.
const GAP: usize = b"$64\r\n".len();
/// Where less room is left, a value begins in a block of its own.
const LEAST_ROOM: usize = 512;

/// What reads a value: see [`Reply::bulk_from`].
type Read<'a, E> = dyn FnMut(u64, u64, &mut Vec<u8>) -> Result<Option<u64>, E> + 'a;

/// Appends replies to the queue of one connection. Aggregates are announced first, then come their elements. What finds
/// no memory is left out, and the reply is short from then on.
pub struct Reply<'a> {
    out: &'a mut Blocks,
    protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// A writer at the end of `out`.
    pub fn new(out: &'a mut Blocks, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// Answers in `protocol` from here on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Where the writer stands, for [`Self::rewind`], in bytes.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Takes back everything that has been written since `position`.
    pub fn rewind(&mut self, position: usize) {
        self.out.truncate(position);
    }

    /// Fails if something is missing because there was no memory for it.
    pub fn check(&self) -> Result<(), NoMemory> {
        if self.out.is_short() { Err(NoMemory) } else { Ok(()) }
    }

    /// A status, such as `OK`. Line ends in it become spaces.
    pub fn status(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend(b"+OK\r\n");
    }

    /// An error: a code, a space and a text. Line ends in it become spaces.
    pub fn error(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.head(b':', value);
    }

    /// A truth value as Redis answers it: 1 or 0.
    pub fn flag(&mut self, value: bool) {
        self.out.extend(if value { b":1\r\n" } else { b":0\r\n" });
    }

    /// A string.
    pub fn bulk(&mut self, value: &[u8]) {
        self.head(b'$', value.len() as i64);
        self.out.extend(value);
        self.out.extend(LINE_END);
    }

    /// A string that is read piece by piece, straight to where it is sent from. `read` appends at most so many bytes
    /// from this byte on, and says how long the whole is. If there is no such string, or it cannot be read, nothing is
    /// written and the answer is handed on. Without memory for all of it, part of it may be written.
    pub fn bulk_from<E: From<NoMemory>>(
        &mut self,
        mut read: impl FnMut(u64, u64, &mut Vec<u8>) -> Result<Option<u64>, E>,
    ) -> Result<Option<u64>, E> {
        let first = self.out.append(LEAST_ROOM, |block, room| {
            let start = block.len();
            block.extend_from_slice(&[0; GAP]);
            let result = read(0, (room - HEAD - LINE_END.len()) as u64, block);
            let Ok(Some(length)) = result else {
                block.truncate(start);
                return result.map(|_| None);
            };
            let here = block.len() - start - GAP;
            put_head(block, start, length);
            if here as u64 == length {
                block.extend_from_slice(LINE_END);
            }
            Ok(Some((length, here)))
        })?;
        let Some((length, at)) = first? else { return Ok(None) };
        if at as u64 == length {
            return Ok(Some(length));
        }
        self.rest_from(length, at, &mut read)
    }

    /// Goes on with [`Self::bulk_from`]: of `length` bytes, `at` are there.
    fn rest_from<E: From<NoMemory>>(
        &mut self,
        length: u64,
        mut at: usize,
        read: &mut Read<'_, E>,
    ) -> Result<Option<u64>, E> {
        self.out.check((length as usize).saturating_sub(at))?;
        while (at as u64) < length {
            let left = length - at as u64;
            let (found, more) = self.out.append(1, |block, room| {
                let before = block.len();
                let found = read(at as u64, left.min(room as u64), block);
                (found, block.len() - before)
            })?;
            if found?.is_none() || more == 0 {
                return Ok(None);
            }
            at += more;
        }
        self.out.extend(LINE_END);
        Ok(Some(length))
    }

    /// A text for people, such as `INFO`'s.
    pub fn text(&mut self, value: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(value.as_bytes()),
            Protocol::Resp3 => {
                self.head(b'=', value.len() as i64 + 4);
                self.out.extend(b"txt:");
                self.out.extend(value.as_bytes());
                self.out.extend(LINE_END);
            }
        }
    }

    /// The absence of a value.
    pub fn null(&mut self) {
        self.out.extend(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The head of an array of `length` elements.
    pub fn array(&mut self, length: usize) {
        self.head(b'*', length as i64);
    }

    /// The head of a map of `length` pairs.
    pub fn map(&mut self, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.head(b'*', length as i64 * 2),
            Protocol::Resp3 => self.head(b'%', length as i64),
        }
    }

    /// The head of a set of `length` elements.
    pub fn set(&mut self, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.head(b'*', length as i64),
            Protocol::Resp3 => self.head(b'~', length as i64),
        }
    }

    /// Puts what `write` writes before what has been written since `position`: for heads of arrays whose length shows
    /// only at their end.
    pub fn before(&mut self, position: usize, write: impl FnOnce(&mut Self)) {
        let end = self.out.len();
        write(self);
        self.out.move_to(position, end);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.extend(&[kind]);
        for (number, part) in text.split(|byte| matches!(byte, b'\r' | b'\n')).enumerate() {
            self.out.extend(if number == 0 { b"" } else { b" " });
            self.out.extend(part);
        }
        self.out.extend(LINE_END);
    }

    fn head(&mut self, kind: u8, value: i64) {
        self.out.extend(head(kind, value, &mut [0; HEAD]));
    }
}

/// The line that announces a `value` of this `kind`.
fn head(kind: u8, value: i64, out: &mut [u8; HEAD]) -> &[u8] {
    let (line, end) = out.split_at_mut(HEAD - LINE_END.len());
    end.copy_from_slice(LINE_END);
    let start = number::format_at_end(value, line) - 1;
    line[start] = kind;
    &out[start..]
}

/// Puts the head of a string of `length` bytes into the gap of [`GAP`] bytes at `start`, which becomes as long.
fn put_head(block: &mut Vec<u8>, start: usize, length: u64) {
    let gap = start..start + GAP;
    if let 10..=99 = length {
        let digit = |value: u64| b'0' + value as u8;
        block[gap].copy_from_slice(&[b'$', digit(length / 10), digit(length % 10), b'\r', b'\n']);
    } else {
        put_other_head(block, gap, length);
    }
}

/// The same for a head that is shorter or longer than the gap.
#[inline(never)]
fn put_other_head(block: &mut Vec<u8>, gap: Range<usize>, length: u64) {
    drop(block.splice(gap, head(b'$', length as i64, &mut [0; HEAD]).iter().copied()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut out = Blocks::new(&Memory::new(64 << 20));
        write(&mut Reply::new(&mut out, protocol));
        let mut text = Vec::new();
        while out.len() > 0 {
            text.extend_from_slice(out.front());
            out.take(usize::MAX);
        }
        String::from_utf8(text).unwrap()
    }

    /// Reads of `value` as a pool is read.
    fn reader(value: &[u8]) -> impl FnMut(u64, u64, &mut Vec<u8>) -> Result<Option<u64>, NoMemory> {
        |at, most, out| {
            out.extend_from_slice(&value[at as usize..value.len().min((at + most) as usize)]);
            Ok(Some(value.len() as u64))
        }
    }

    #[test]
    fn both_protocols_have_their_own_aggregates() {
        let all = |reply: &mut Reply<'_>| {
            reply.null();
            reply.map(1);
            reply.set(2);
            reply.text("hi");
        };
        assert_eq!(written(Protocol::Resp2, all), "$-1\r\n*2\r\n*2\r\n$2\r\nhi\r\n");
        assert_eq!(written(Protocol::Resp3, all), "_\r\n%1\r\n~2\r\n=6\r\ntxt:hi\r\n");
    }

    #[test]
    fn a_text_cannot_end_its_line() {
        assert_eq!(written(Protocol::Resp2, |reply| reply.error(b"ERR a\r\n+b")), "-ERR a  +b\r\n");
    }

    #[test]
    fn a_value_is_read_in_pieces() {
        for before in [0, 3000, 4000] {
            for length in [0, 1, 9, 10, 99, 100, 4000, 5000, 99_999, 1_234_567] {
                let value = vec![b'x'; length];
                let with = written(Protocol::Resp2, |reply| {
                    reply.bulk(&vec![b'-'; before]);
                    assert_eq!(reply.bulk_from(reader(&value)), Ok(Some(length as u64)));
                });
                let whole = written(Protocol::Resp2, |reply| {
                    reply.bulk(&vec![b'-'; before]);
                    reply.bulk(&value);
                });
                assert!(with == whole, "length {length} after {before}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_written() {
        let nothing = written(Protocol::Resp2, |reply| {
            assert_eq!(reply.bulk_from(|_, _, _| Ok::<_, NoMemory>(None)), Ok(None));
            let failed = reply.bulk_from(|_, _, out| {
                out.push(1);
                Err::<Option<u64>, _>(NoMemory)
            });
            assert_eq!(failed, Err(NoMemory));
        });
        assert_eq!(nothing, "");
    }

    #[test]
    fn a_value_without_memory_is_an_error() {
        let memory = Memory::new(1 << 20);
        let mut out = Blocks::new(&memory);
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        assert_eq!(reply.bulk_from(reader(&vec![b'x'; 1 << 20])), Err(NoMemory));
        reply.rewind(0);
        assert_eq!(reply.bulk_from(reader(&vec![b'x'; 1 << 19])), Ok(Some(1 << 19)));
    }

    #[test]
    fn a_head_can_come_after_its_elements() {
        for count in [12, 5000] {
            let listed = written(Protocol::Resp2, |reply| {
                reply.ok();
                let start = reply.position();
                (0..count).for_each(|n| reply.integer(n));
                reply.before(start, |reply| reply.array(count as usize));
            });
            assert!(listed.starts_with(&format!("+OK\r\n*{count}\r\n:0\r\n:1\r\n")));
            assert!(listed.ends_with(&format!(":{}\r\n", count - 1)));
        }
    }
}
