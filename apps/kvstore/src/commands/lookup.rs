//! Finding keys, with expiry: an expired key is never seen, and is removed by whoever comes upon it.

use std::collections::BTreeSet;

use pmem::{Medium, Meta, Op, ValueType};

use super::failure::WRONG_TYPE;
use super::{Context, Failure};

/// How much of a value is read before its length is known, in bytes.
const FIRST: usize = 4 * 1024;

impl<M: Medium> Context<'_, '_, M> {
    /// The key's properties, if it exists.
    pub fn find(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        let found = self.turn.meta(key)?;
        self.live(key, found)
    }

    /// As [`Self::find`], for a command on strings: a value of another type is an error.
    pub fn find_string(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        string(self.find(key)?)
    }

    /// As [`Self::find`], for a command that only reads: counted as a hit or a miss.
    pub fn look(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        let found = self.find(key)?;
        self.shared.counters.looked(found.is_some());
        Ok(found)
    }

    /// As [`Self::look`], for a command on strings: a value of another type is an error.
    pub fn look_string(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        string(self.look(key)?)
    }

    /// Whether the key exists.
    pub fn exists(&mut self, key: &[u8]) -> Result<bool, Failure> {
        Ok(self.find(key)?.is_some())
    }

    /// The key's value, of whichever type, left in `shared.value`, and its properties.
    pub fn read(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        self.shared.value.clear();
        self.shared.reserve_value(FIRST)?;
        let found = self.turn.get_range(key, 0, FIRST as u64, &mut self.shared.value)?;
        let length = found.map_or(0, |meta| meta.len as usize);
        self.shared.reserve_value(length)?;
        if length > FIRST {
            self.turn.get_range(key, FIRST as u64, u64::MAX, &mut self.shared.value)?;
        }
        self.live(key, found).inspect(|found| {
            if found.is_none() {
                self.shared.value.clear();
            }
        })
    }

    /// As [`Self::read`], for a command on strings: a value of another type is an error.
    pub fn read_string(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        string(self.read(key)?)
    }

    /// Replies with the key's value; writes nothing if there is none, or if it is no string.
    pub fn reply_value(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        let start = self.reply.position();
        let mut found = None;
        self.reply.bulk_from(|at, most, out| {
            found = self.turn.get_range(key, at, most, out)?;
            Ok::<_, Failure>(found.filter(is_string).map(|meta| meta.len))
        })?;
        // Before the caller changes what it has replied: without memory for the end the command is executed again.
        self.reply.check()?;
        let live = self.live(key, found)?;
        self.shared.counters.looked(live.is_some());
        if live.is_none() {
            self.reply.rewind(start);
        }
        Ok(live)
    }

    /// Replies with the key's value or null. A value that is no string is an error.
    pub fn reply_value_or_null(&mut self, key: &[u8]) -> Result<Option<Meta>, Failure> {
        let found = string(self.reply_value(key)?)?;
        if found.is_none() {
            self.reply.null();
        }
        Ok(found)
    }

    /// Stores a string. One that has expired already is not stored: the key is gone.
    pub fn put(&mut self, key: &[u8], value: &[u8], expires_at_ms: Option<u64>) -> Result<(), Failure> {
        self.put_as(key, value, ValueType::STRING, expires_at_ms)
    }

    fn put_as(
        &mut self,
        key: &[u8],
        value: &[u8],
        value_type: ValueType,
        expires_at_ms: Option<u64>,
    ) -> Result<(), Failure> {
        match expires_at_ms {
            Some(at) if at <= self.shared.now_ms => {
                self.turn.remove(key)?;
            }
            at => {
                self.turn.atomically(&[Op::Put { key, value, value_type, expires_at_ms: at }])?;
                self.shared.expiry.expect(at);
            }
        }
        Ok(())
    }

    /// Writes `patch` over a string from byte `offset` on, after zeros where it ends before; returns the length that it
    /// has then.
    pub fn overwrite(&mut self, key: &[u8], offset: usize, patch: &[u8]) -> Result<usize, Failure> {
        // One that has expired is gone.
        self.find_string(key)?;
        Ok(self.turn.put_range(key, offset as u64, patch)? as usize)
    }

    /// Stores what is in `shared.value`, as a value of this type.
    pub fn put_value(&mut self, key: &[u8], value_type: ValueType, expires_at_ms: Option<u64>) -> Result<(), Failure> {
        let value = std::mem::take(&mut self.shared.value);
        let stored = self.put_as(key, &value, value_type, expires_at_ms);
        self.shared.value = value;
        stored
    }

    /// Removes keys; says how many existed. A power cut finds all of them or none, except when the pool has no room for
    /// a record of that: deleting must always work, so these are removed one by one.
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
                Err(pmem::Error::Full) => {
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
            self.shared.counters.expired += u64::from(self.turn.remove(&key)?);
        }
        Ok(())
    }

    fn live(&mut self, key: &[u8], found: Option<Meta>) -> Result<Option<Meta>, Failure> {
        if found.is_some_and(|meta| self.shared.expired(meta)) {
            self.bury(key)?;
            return Ok(None);
        }
        Ok(found)
    }

    /// Removes a key that has been found to have expired.
    #[cold]
    fn bury(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.turn.remove(key)?;
        self.shared.counters.expired += 1;
        Ok(())
    }
}

/// Whether a key's value is a string.
pub fn is_string(meta: &Meta) -> bool {
    meta.value_type == ValueType::STRING
}

/// What a command on strings makes of what it has found.
fn string(found: Option<Meta>) -> Result<Option<Meta>, Failure> {
    if found.as_ref().is_none_or(is_string) { Ok(found) } else { Err(WRONG_TYPE) }
}

/// What Redis calls the type of a value.
pub fn type_name(meta: Meta) -> &'static str {
    meta.value_type.name().unwrap_or("unknown")
}
