//! Whom to close when memory is short: who has not read its replies for longest, or has begun a request and fallen
//! silent. Who sends, who waits for the server, and who takes all that the network has room for, is left alone, however
//! much it holds. A client that reads more slowly counts from when its socket took something last, so it goes after all
//! that have stopped.

use crate::memory::Memory;

/// A client that has begun a request and sent nothing more for so long has stopped, in milliseconds.
const SILENCE: u64 = 10_000;

/// How a client uses the memory that it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holding {
    /// How much that is, in bytes.
    pub bytes: usize,
    /// Whole replies among them, which are on their way.
    pub replies: usize,
    /// Since when it has taken none of the replies that wait for it, in milliseconds of some clock.
    pub unread_since: Option<u64>,
    /// When it last sent something, in milliseconds of the same clock.
    pub heard: u64,
    /// It waits for the server: what it has asked for is not done.
    pub waits: bool,
    /// It has asked to be spared (`CLIENT NO-EVICT`).
    pub spared: bool,
}

/// Reasons to close a client, the best one first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reason {
    Unread { spared: bool, since: u64 },
    Silent { spared: bool, since: u64 },
}

impl Holding {
    fn reason(&self, now: u64) -> Option<Reason> {
        let spared = self.spared;
        match self.unread_since {
            _ if self.bytes == 0 => None,
            Some(since) => Some(Reason::Unread { spared, since }),
            None if self.waits => None,
            None if now.saturating_sub(self.heard) >= SILENCE => Some(Reason::Silent { spared, since: self.heard }),
            None => None,
        }
    }
}

/// What makes room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// There is room already.
    NotNeeded,
    /// To close this client, for a start.
    Close(usize),
    /// To send what is ready to be sent: it is taken, or it is known who does not take it.
    Send,
    /// That the client that asks reads: its own replies are in the way, and its socket takes no more of them.
    Read,
    /// Nothing.
    None,
}

/// What makes room for what `asker` has asked of `memory` in vain: it is not closed for itself. Nobody is closed in
/// vain.
pub fn remedy(memory: &Memory, now: u64, asker: Holding, others: impl Iterator<Item = (usize, Holding)>) -> Remedy {
    if memory.has_room() {
        return Remedy::NotNeeded;
    }
    let (mut sending, unread) = match asker.unread_since {
        None => (asker.replies, 0),
        Some(_) => (0, asker.replies),
    };
    let mut closing = 0;
    let mut first: Option<(Reason, usize)> = None;
    for (index, holding) in others {
        let Some(reason) = holding.reason(now) else {
            sending += holding.replies;
            continue;
        };
        closing += holding.bytes;
        if first.is_none_or(|(other, _)| reason < other) {
            first = Some((reason, index));
        }
    }
    match first {
        Some((_, index)) if memory.would_have_room(closing) => Remedy::Close(index),
        _ if sending > 0 && memory.would_have_room(closing + sending) => Remedy::Send,
        _ if unread > 0 && memory.would_have_room(closing + sending + unread) => Remedy::Read,
        _ => Remedy::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100_000;

    fn holding(bytes: usize, unread_since: Option<u64>, heard: u64) -> Holding {
        Holding { bytes, replies: 0, unread_since, heard, waits: false, spared: false }
    }

    /// A memory in which these clients hold what they do, and somebody has asked in vain for `wanted`.
    fn asked(limit: usize, clients: &[Holding], wanted: usize) -> Memory {
        let memory = Memory::new(limit);
        let mut held = memory.charge();
        clients.iter().for_each(|client| held.grow(client.bytes).unwrap());
        held.grow(wanted).unwrap_err();
        // The test's memory outlives the charge.
        std::mem::forget(held);
        memory
    }

    fn first(memory: &Memory, clients: &[Holding]) -> Remedy {
        remedy(memory, NOW, holding(0, None, NOW), clients.iter().copied().enumerate())
    }

    #[test]
    fn who_has_not_read_for_longest_goes_first() {
        let mut clients = vec![
            holding(50_000, None, NOW),            // Holds most, and is being heard.
            holding(10_000, Some(NOW - 10), NOW),  // Reads, but not all of it yet.
            holding(10_000, Some(NOW - 500), NOW), // Has not read for longest.
            holding(4_000, None, NOW - SILENCE),   // Has stopped in the middle of a request.
        ];
        let memory = asked(120_000, &clients, 20_500);
        assert_eq!(first(&memory, &clients), Remedy::Close(2));
        clients[2].spared = true;
        assert_eq!(first(&memory, &clients), Remedy::Close(1));
        clients[1].unread_since = None;
        assert_eq!(
            first(&memory, &clients),
            Remedy::Close(2),
            "who asked to be spared goes when there is no other reader"
        );
        clients[2].unread_since = None;
        assert_eq!(first(&memory, &clients), Remedy::None, "the silent one alone does not make room for 20,500 bytes");
    }

    #[test]
    fn who_waits_for_the_server_is_not_silent() {
        let mut clients = [holding(50_000, None, NOW - SILENCE)];
        let memory = asked(120_000, &clients, 45_000);
        assert_eq!(first(&memory, &clients), Remedy::Close(0));
        clients[0].waits = true;
        assert_eq!(first(&memory, &clients), Remedy::None);
    }

    #[test]
    fn a_client_in_its_own_way_is_waited_for_if_it_does_not_read() {
        let mut asker = Holding { replies: 60_000, ..holding(70_000, None, NOW) };
        let memory = asked(120_000, &[asker], 30_000);
        let first = |asker| remedy(&memory, NOW, asker, std::iter::empty());
        assert_eq!(first(asker), Remedy::Send);
        asker.unread_since = Some(0);
        assert_eq!(first(asker), Remedy::Read, "sending again and again would change nothing");
        asker.replies = 5_000;
        assert_eq!(first(asker), Remedy::None, "too little for what it asks");
    }

    #[test]
    fn nobody_is_closed_in_vain() {
        let clients = [holding(10_000, Some(0), NOW), holding(70_000, None, NOW)];
        assert_eq!(first(&asked(120_000, &clients, 30_000), &clients), Remedy::None);
        assert_eq!(first(&asked(120_000, &clients, 15_000), &clients), Remedy::Close(0));
    }

    #[test]
    fn replies_on_their_way_are_waited_for() {
        let mut clients = [holding(70_000, None, NOW), holding(10_000, Some(0), NOW)];
        clients[0].replies = 60_000;
        let memory = asked(120_000, &clients, 30_000);
        assert_eq!(first(&memory, &clients), Remedy::Send);
        clients[0].unread_since = Some(NOW);
        assert_eq!(first(&memory, &clients), Remedy::Close(1), "they are not taken: who has read nothing goes first");
    }
}
