//! Writing replies.

/// The protocol that a client speaks; `HELLO` changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// What every connection begins with.
    #[default]
    Resp2,
    /// With maps, sets, nulls and verbatim strings.
    Resp3,
}

/// Room left for the head of a value whose length is not known yet, `$<up to 9 digits>\r\n`.
const HEAD: usize = 12;

/// Appends replies to the buffer of one connection. Aggregates are announced first, then come their elements.
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// A writer at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
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

    /// Takes what has been written since `position` to the end of `other`.
    pub fn move_to(&mut self, position: usize, other: &mut Vec<u8>) {
        other.extend_from_slice(&self.out[position..]);
        self.rewind(position);
    }

    /// What is encoded already.
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    /// A status, such as `OK`. Line ends in it become spaces.
    pub fn status(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
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
        self.out.extend_from_slice(if value { b":1\r\n" } else { b":0\r\n" });
    }

    /// A string.
    pub fn bulk(&mut self, value: &[u8]) {
        self.head(b'$', value.len() as i64);
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A string whose bytes `fill` appends; if it appends nothing because there is no value, or fails, nothing is
    /// written, and what it returned is handed on.
    pub fn bulk_with<T, E>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> Result<Option<T>, E>) -> Result<Option<T>, E> {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; HEAD]);
        let filled = fill(self.out);
        match filled {
            Ok(Some(_)) => {
                let length = self.out.len() - start - HEAD;
                let mut digits = [0; crate::number::DIGITS];
                let digits = crate::number::format(length as i64, &mut digits);
                let (head, gap) = (1 + digits.len() + 2, HEAD - 1 - digits.len() - 2);
                self.out.copy_within(start + HEAD.., start + head);
                self.out.truncate(self.out.len() - gap);
                self.out[start] = b'$';
                self.out[start + 1..start + head - 2].copy_from_slice(digits);
                self.out[start + head - 2..start + head].copy_from_slice(b"\r\n");
                self.out.extend_from_slice(b"\r\n");
            }
            _ => self.out.truncate(start),
        }
        filled
    }

    /// A text for people, such as `INFO`'s.
    pub fn text(&mut self, value: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(value.as_bytes()),
            Protocol::Resp3 => {
                self.head(b'=', value.len() as i64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(value.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// The absence of a value.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
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
        let head = self.out.len() - end;
        self.out[position..].rotate_right(head);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    fn head(&mut self, kind: u8, value: i64) {
        let mut digits = [0; crate::number::DIGITS];
        self.out.push(kind);
        self.out.extend_from_slice(crate::number::format(value, &mut digits));
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, protocol));
        String::from_utf8(out).unwrap()
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
    fn a_length_can_come_after_the_bytes() {
        for length in [0, 1, 9, 10, 99_999, 12_345_678] {
            let value = vec![b'x'; length];
            let with = written(Protocol::Resp2, |reply| {
                let filled = reply.bulk_with(|out| {
                    out.extend_from_slice(&value);
                    Ok::<_, ()>(Some(7))
                });
                assert_eq!(filled, Ok(Some(7)));
            });
            assert!(with == written(Protocol::Resp2, |reply| reply.bulk(&value)), "length {length}");
        }
        let nothing = written(Protocol::Resp2, |reply| {
            assert_eq!(reply.bulk_with(|_| Ok::<Option<()>, ()>(None)), Ok(None));
            let failed = reply.bulk_with(|out| {
                out.push(1);
                Err::<Option<()>, _>("no")
            });
            assert_eq!(failed, Err("no"));
        });
        assert_eq!(nothing, "");
        let listed = written(Protocol::Resp2, |reply| {
            reply.ok();
            let start = reply.position();
            (0..12).for_each(|n| reply.integer(n));
            reply.before(start, |reply| reply.array(12));
        });
        assert!(listed.starts_with("+OK\r\n*12\r\n:0\r\n") && listed.ends_with(":11\r\n"));
    }
}
