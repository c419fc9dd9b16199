//! Replies on their way to one client.
//!
//! A reply is written behind a seal. Only a [`Durable`] receipt moves the seal, and only what lies before it can be
//! sent: a server that acknowledges what is not durable does not compile.

use pmem::Durable;

use crate::resp::{Protocol, Reply};

/// Above this size an emptied outbox gives its memory back, in bytes.
const KEEP: usize = 64 * 1024;

/// The replies of one connection. `sent <= released <= bytes.len()`.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// What precedes has been sent.
    sent: usize,
    /// What follows is sealed.
    released: usize,
}

impl Outbox {
    /// Writes behind the seal.
    pub fn writer(&mut self, protocol: Protocol) -> Reply<'_> {
        Reply::new(&mut self.bytes, protocol)
    }

    /// Breaks the seal of all that has been written: it answers to a turn that is durable.
    pub fn release(&mut self, _receipt: &Durable) {
        self.released = self.bytes.len();
    }

    /// Forgets what is sealed: the turn that it answers to has failed.
    pub fn discard_sealed(&mut self) {
        self.bytes.truncate(self.released);
    }

    /// What can be sent.
    pub fn sendable(&self) -> &[u8] {
        &self.bytes[self.sent..self.released]
    }

    /// Says that the first `count` bytes of [`Self::sendable`] have been sent.
    pub fn sent(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.released);
        if self.sent == self.bytes.len() {
            self.sent = 0;
            self.released = 0;
            match self.bytes.capacity() > KEEP {
                true => self.bytes = Vec::new(),
                false => self.bytes.clear(),
            }
        } else if self.sent > KEEP && self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.released -= self.sent;
            self.sent = 0;
        }
    }

    /// Bytes waiting, sealed or not.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_reply_waits_for_the_receipt() {
        let mut pool = testing::pool();
        let mut outbox = Outbox::default();
        outbox.writer(Protocol::Resp2).ok();
        assert_eq!(outbox.sendable(), b"");
        let ((), receipt) = pool.turn(|_| ()).unwrap();
        outbox.release(&receipt);
        assert_eq!(outbox.sendable(), b"+OK\r\n");
        outbox.writer(Protocol::Resp2).error(b"ERR never");
        outbox.sent(1);
        outbox.discard_sealed();
        assert_eq!(outbox.sendable(), b"OK\r\n");
        outbox.sent(4);
        assert_eq!(outbox.waiting(), 0);
    }

    #[test]
    fn what_has_been_sent_gives_its_memory_back() {
        let mut pool = testing::pool();
        let mut outbox = Outbox::default();
        for _ in 0..100 {
            outbox.writer(Protocol::Resp2).bulk(&[b'x'; 10_000]);
        }
        let ((), receipt) = pool.turn(|_| ()).unwrap();
        outbox.release(&receipt);
        let (mut seen, total) = (0, outbox.waiting());
        while !outbox.sendable().is_empty() {
            let count = outbox.sendable().len().min(3000);
            outbox.sent(count);
            seen += count;
            assert_eq!(outbox.waiting(), total - seen);
        }
        assert_eq!((seen, outbox.memory()), (total, 0));
    }
}
