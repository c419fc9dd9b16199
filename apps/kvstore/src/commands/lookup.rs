//! Finding keys, with expiry: an expired key is never seen, and is removed by whoever comes upon it.

use std::collections::BTreeSet;

use pmem::{Medium, Meta, Op, Turn};

use super::{Context, Failure};

/// How much of a value is read before its length is known, in bytes.
const FIRST: u64 = 64 * 1024;

/// Appends a key's value. A long one gets exactly the memory that it needs: a buffer that doubles as it grows could
/// take three times as much.
fn append_value<M: Medium>(turn: &mut Turn<'_, M>, key: &[u8], out: &mut Vec<u8>) -> Result<Option<Meta>, pmem::Error> {
    let found = turn.get_range(key, 0, FIRST, out)?;
    if let Some(Meta { len: len @ FIRST.., .. }) = found {
        let rest = len - FIRST;
        out.reserve_exact(rest as usize + FIRST as usize);
        turn.get_range(key, FIRST, rest, out)?;
    }
    Ok(found)
}

impl<M: Medium> Context<'_, '_, M> {
    /// The key's properties, if it exists.
    pub fn find(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        let found = self.turn.meta(key)?;
        self.live(key, found)
    }

    /// As [`Self::find`], for a command that only reads: counted as a hit or a miss.
    pub fn look(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        let found = self.find(key)?;
        self.state.counters.looked(found.is_some());
        Ok(found)
    }

    /// Whether the key exists.
    pub fn exists(&mut self, key: &[u8]) -> Result<bool, Failure> {
        Ok(self.find(key)?.is_some())
    }

    /// The key's value, left in `state.value`, and its properties.
    pub fn read(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        self.state.value.clear();
        let found = append_value(self.turn, key, &mut self.state.value)?;
        self.live(key, found)
    }

    /// Replies with the key's value; writes nothing if there is none.
    pub fn reply_value(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        let start = self.reply.position();
        let found = self.reply.bulk_with(|out| append_value(self.turn, key, out))?;
        let live = self.live(key, found)?;
        self.state.counters.looked(live.is_some());
        if live.is_none() {
            self.reply.rewind(start);
        }
        Ok(live)
    }

    /// Replies with the key's value or null.
    pub fn reply_value_or_null(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        let found = self.reply_value(key)?;
        if found.is_none() {
            self.reply.null();
        }
        Ok(found)
    }

    /// Stores a value. One that has expired already is not stored: the key is gone.
    pub fn put(&mut self, key: &[u8], value: &[u8], expires_at_ms: Option<u64>) -> Result<(), Failure> {
        match expires_at_ms {
            Some(at) if at <= self.state.now_ms => {
                self.turn.remove(key)?;
            }
            at => {
                self.turn.put(key, value, at)?;
                self.state.expiry.expect(at);
            }
        }
        Ok(())
    }

    /// Writes `patch` over a key's value from byte `offset` on, after zeros where the value ends before; returns the
    /// length that it has then.
    pub fn overwrite(&mut self, key: &[u8], offset: usize, patch: &[u8]) -> Result<usize, Failure> {
        let expires = self.read(key)?.and_then(|meta| meta.expires_at_ms);
        let (value, end) = (&mut self.state.value, offset + patch.len());
        if value.len() < end {
            value.resize(end, 0);
        }
        value[offset..end].copy_from_slice(patch);
        let length = value.len();
        self.put_value(key, expires)?;
        Ok(length)
    }

    /// Stores what is in `state.value`.
    pub fn put_value(&mut self, key: &[u8], expires_at_ms: Option<u64>) -> Result<(), Failure> {
        let value = std::mem::take(&mut self.state.value);
        let stored = self.put(key, &value, expires_at_ms);
        self.state.value = value;
        stored
    }

    /// Removes keys; says how many existed. A power cut finds all of them or none, except when they are more than a
    /// record of the pool takes, which is thousands: deleting must always work, so these are removed one by one.
    pub fn remove_all<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) -> Result<usize, Failure> {
        let mut there = BTreeSet::new();
        for key in keys {
            let exists = match self.turn.meta(key) {
                // It is there, but its value is lost.
                Err(pmem::Error::Damaged { .. }) => true,
                found => self.live(key, found?)?.is_some(),
            };
            if exists {
                there.insert(key);
            }
        }
        if !there.is_empty() {
            let removals: Vec<Op<'_>> = there.iter().map(|&key| Op::Remove { key }).collect();
            match self.turn.atomically(&removals) {
                Err(pmem::Error::TooLarge { .. }) => {
                    for key in &there {
                        self.turn.remove(key)?;
                    }
                }
                result => result?,
            }
        }
        Ok(there.len())
    }

    /// Removes keys that have expired.
    pub fn remove_expired(&mut self, keys: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Failure> {
        for key in keys {
            self.state.counters.expired += u64::from(self.turn.remove(&key)?);
        }
        Ok(())
    }

    fn live(&mut self, key: &[u8], found: Option<Meta>) -> Result<Option<Meta>, Failure> {
        match found {
            Some(meta) if self.state.expired(meta) => {
                self.turn.remove(key)?;
                self.state.counters.expired += 1;
                Ok(None)
            }
            found => Ok(found),
        }
    }
}
