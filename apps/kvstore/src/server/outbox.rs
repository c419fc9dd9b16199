//! Replies on their way to one client.
//!
//! A reply is written behind a seal. Only a [`Durable`] receipt moves the seal, and only what lies before it can be
//! sent: a server that acknowledges what is not durable does not compile.

use pmem::Durable;

use crate::memory::{Memory, NoMemory};
use crate::resp::{Blocks, Protocol, Reply};

/// Room for a short reply, in bytes: whoever changes something must be able to say so.
const SHORT: usize = 1024;

/// The replies of one connection.
pub struct Outbox {
    replies: Blocks,
    /// So many bytes can be sent; what follows is sealed.
    released: usize,
}

impl Outbox {
    /// An empty one.
    pub fn new(memory: &Memory) -> Self {
        Self { replies: Blocks::new(memory), released: 0 }
    }

    /// Makes sure that a short reply finds room.
    pub fn prepare(&mut self) -> Result<(), NoMemory> {
        self.replies.reserve(SHORT)
    }

    /// Writes behind the seal.
    pub fn writer(&mut self, protocol: Protocol) -> Reply<'_> {
        Reply::new(&mut self.replies, protocol)
    }

    /// Breaks the seal of all that has been written, except for the last `unfinished` bytes, to which more will come:
    /// it answers to a turn that is durable.
    pub fn release(&mut self, _receipt: &Durable, unfinished: usize) {
        self.released = self.released.max(self.replies.len() - unfinished);
    }

    /// Forgets what is sealed: the turn that it answers to has failed.
    pub fn discard_sealed(&mut self) {
        self.replies.truncate(self.released);
    }

    /// Forgets everything, and gives its memory back.
    pub fn clear(&mut self) {
        self.replies.clear();
        self.released = 0;
    }

    /// What can be sent, as far as it lies in one piece.
    pub fn sendable(&self) -> &[u8] {
        let front = self.replies.front();
        &front[..front.len().min(self.released)]
    }

    /// Says that the first `count` bytes of [`Self::sendable`] have been sent.
    pub fn sent(&mut self, count: usize) {
        let count = count.min(self.sendable().len());
        self.replies.take(count);
        self.released -= count;
    }

    /// Bytes waiting, sealed or not.
    pub fn waiting(&self) -> usize {
        self.replies.len()
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.replies.memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_reply_waits_for_the_receipt() {
        let mut pool = testing::pool();
        let mut outbox = Outbox::new(&Memory::new(8 << 20));
        outbox.writer(Protocol::Resp2).ok();
        assert_eq!(outbox.sendable(), b"");
        let ((), receipt) = pool.turn(|_| ()).unwrap();
        outbox.release(&receipt, 0);
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
        let mut outbox = Outbox::new(&Memory::new(8 << 20));
        for _ in 0..100 {
            outbox.writer(Protocol::Resp2).bulk(&[b'x'; 10_000]);
        }
        let ((), receipt) = pool.turn(|_| ()).unwrap();
        outbox.release(&receipt, 0);
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
