//! The commands that took long, the latest first.

use std::collections::VecDeque;

use crate::clock::Nanos;

/// Most arguments of a request that are kept; the last of them tells how many more there were.
const ARGUMENTS: usize = 32;
/// Most bytes of an argument that are kept.
const ARGUMENT: usize = 128;
/// Most memory that all entries take, in bytes, whatever `slowlog-max-len` says.
const MEMORY: usize = 1 << 20;

/// A command that took long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its number, never used again.
    pub id: u64,
    /// When it ended, in Unix seconds.
    pub time: u64,
    /// How long it took.
    pub took: Nanos,
    /// Its arguments, its name among them, shortened.
    pub arguments: Vec<Vec<u8>>,
    /// Where the client was.
    pub address: String,
    /// What the client called itself.
    pub name: Vec<u8>,
}

impl Entry {
    /// About how much memory it takes, in bytes.
    fn memory(&self) -> usize {
        const EACH: usize = size_of::<Vec<u8>>();
        let arguments: usize = self.arguments.iter().map(|argument| argument.capacity() + EACH).sum();
        size_of::<Self>() + arguments + self.address.capacity() + self.name.capacity()
    }
}

/// The log.
pub struct SlowLog {
    /// From how many microseconds on a command is logged; negative: none is (`slowlog-log-slower-than`).
    pub slower_than: i64,
    /// Most entries (`slowlog-max-len`).
    pub most: u64,
    entries: VecDeque<Entry>,
    memory: usize,
    next_id: u64,
}

impl Default for SlowLog {
    /// With Redis's thresholds.
    fn default() -> Self {
        Self { slower_than: 10_000, most: 128, entries: VecDeque::new(), memory: 0, next_id: 0 }
    }
}

impl SlowLog {
    /// Whether a command that took so long is to be logged.
    pub fn wants(&self, took: Nanos) -> bool {
        u64::try_from(self.slower_than).is_ok_and(|slow| took / 1000 >= slow)
    }

    /// Logs a command: its arguments are shortened. Old entries go.
    pub fn log<'a>(
        &mut self,
        (time, took): (u64, Nanos),
        arguments: impl ExactSizeIterator<Item = &'a [u8]>,
        (address, name): (String, &[u8]),
    ) {
        let arguments = shortened(arguments);
        let entry = Entry { id: self.next_id, time, took, arguments, address, name: name.to_vec() };
        self.next_id += 1;
        self.memory += entry.memory();
        self.entries.push_front(entry);
        while self.entries.len() as u64 > self.most || self.memory > MEMORY {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.memory -= oldest.memory();
        }
    }

    /// The entries, the latest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.memory = 0;
    }
}

fn shortened<'a>(arguments: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let count = arguments.len();
    let whole = if count > ARGUMENTS { ARGUMENTS - 1 } else { count };
    let mut kept: Vec<Vec<u8>> = arguments
        .take(whole)
        .map(|argument| match argument.len().checked_sub(ARGUMENT) {
            None | Some(0) => argument.to_vec(),
            Some(more) => [&argument[..ARGUMENT], format!("... ({more} more bytes)").as_bytes()].concat(),
        })
        .collect();
    if whole < count {
        kept.push(format!("... ({} more arguments)", count - whole).into_bytes());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(slow: &mut SlowLog, arguments: &[&[u8]]) {
        slow.log((7, 20_000_000), arguments.iter().copied(), ("a:1".into(), b""));
    }

    #[test]
    fn long_requests_are_shortened_as_redis_does() {
        let mut slow = SlowLog::default();
        let long = [b'x'; 200];
        log(&mut slow, &vec![&long[..]; 40]);
        let kept = &slow.entries().next().unwrap().arguments;
        assert_eq!(kept.len(), 32);
        assert_eq!(kept[0], [&[b'x'; 128][..], b"... (72 more bytes)"].concat());
        assert_eq!(kept[31], b"... (9 more arguments)");
        log(&mut slow, &vec![&long[..128]; 32]);
        assert_eq!(slow.entries().next().unwrap().arguments, vec![vec![b'x'; 128]; 32]);
    }

    #[test]
    fn the_log_is_bounded_in_entries_and_in_memory() {
        let mut slow = SlowLog { most: 3, ..SlowLog::default() };
        (0..5).for_each(|_| log(&mut slow, &[b"get"]));
        assert_eq!(slow.entries().map(|entry| entry.id).collect::<Vec<_>>(), [4, 3, 2]);
        slow.most = u64::MAX;
        let argument = [0; 128];
        (0..10_000).for_each(|_| log(&mut slow, &[&argument[..]; 32]));
        let kept: usize = slow.entries().map(Entry::memory).sum();
        assert!(kept <= MEMORY && kept > MEMORY / 2, "{kept}");
        assert_eq!(slow.memory, kept);
        slow.clear();
        assert_eq!((slow.entries().len(), slow.memory), (0, 0));
    }

    #[test]
    fn what_is_slow_can_be_chosen() {
        let mut slow = SlowLog::default();
        assert!(!slow.wants(9_999_999) && slow.wants(10_000_000));
        slow.slower_than = 0;
        assert!(slow.wants(0));
        slow.slower_than = -1;
        assert!(!slow.wants(Nanos::MAX));
    }
}
