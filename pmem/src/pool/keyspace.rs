//! Reads over all keys: how many there are, which come next, any of them. They see what the index holds and, over it,
//! what the turn has staged, and commit nothing.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::error::Error;
use crate::medium::Medium;
use crate::pool::Meta;
use crate::pool::catalog::Which;
use crate::pool::index;
use crate::pool::log::{PEEK, Window};
use crate::pool::record::{Kind, LARGE, Large, OpHeader};
use crate::pool::turn::Turn;

/// Steps of a scan that a call may always make, however few keys it is to visit: all of a small table.
const LEAST_STEPS: usize = 512;
/// How often a key is drawn before the next one from there on is taken.
const DRAWS: u64 = 64;

impl<M: Medium> Turn<'_, M> {
    /// The number of keys.
    pub fn len(&mut self) -> Result<u64, Error> {
        while let Some((position, hash)) = self.log.stage.next_uncounted() {
            let was_there = match self.log.stage.before(position) {
                Some(was_put) => was_put,
                None => self.is_stored(position, hash)?,
            };
            self.log.stage.count_key(position, was_there);
        }
        let stored = if self.log.stage.is_clearing() { 0 } else { self.log.catalog.keys().len() };
        Ok(stored.saturating_add_signed(self.log.stage.key_growth()))
    }

    /// Whether there is no key.
    pub fn is_empty(&mut self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Visits some keys, at least `count` of them unless the end comes first, and returns the cursor to go on with;
    /// 0 begins, and 0 returned means that everything was visited.
    ///
    /// The guarantees are those of Redis's `SCAN`: a key that is there from the first call to the last is visited at
    /// least once, whatever else comes and goes in between; one that comes or goes may or may not be; a key may be
    /// visited more than once. Cursors of any value are safe.
    pub fn scan(&mut self, cursor: u64, count: usize, mut f: impl FnMut(&[u8], Meta)) -> Result<u64, Error> {
        let mut cursor = cursor;
        let mut visited = 0;
        // Empty buckets count a little, so that a table that was large once does not make one call long.
        let mut steps = count.saturating_mul(10).max(LEAST_STEPS);
        let mut places = Vec::new();
        loop {
            places.clear();
            let covered = self.next_places(cursor, &mut places)?;
            let staged = self.log.stage.keys_in(covered.clone()).count();
            // Where nothing follows, that is said now, and not by a call that visits nothing.
            if visited >= count.max(1) && places.len() + staged > 0 {
                return Ok(cursor);
            }
            self.visit_stored(&places, &mut f)?;
            for (header, key, value) in self.log.stage.keys_in(covered.clone()) {
                if let Some(meta) = staged_meta(&header, value) {
                    f(key, meta);
                }
            }
            visited += places.len() + staged;
            cursor = index::cursor_behind(&covered);
            steps -= 1;
            if cursor == 0 || steps == 0 {
                return Ok(cursor);
            }
        }
    }

    /// Appends some key to `key`, chosen by `seed`; `None` if the pool is empty. Equal seeds on an equal pool choose
    /// the same key, and random seeds choose about evenly.
    pub fn random(&mut self, seed: u64, key: &mut Vec<u8>) -> Result<Option<Meta>, Error> {
        let start = key.len();
        if self.is_empty()? {
            return Ok(None);
        }
        let stored = if self.log.stage.is_clearing() { 0 } else { self.log.catalog.keys().len() };
        let all = stored + self.log.stage.op_count() as u64;
        let mut damaged = None;
        // A key that was staged is drawn as such: only its last operation counts, and no stored one.
        for attempt in 0..DRAWS {
            let mut seed = seed ^ attempt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let draw = index::split_mix(&mut seed) % all;
            key.truncate(start);
            let found = match draw.checked_sub(stored) {
                Some(position) => Ok(self.staged_at(position as usize, key)),
                None => match self.log.ready_random(&self.reader, seed)? {
                    Some(place) => self.stored_at(place, key),
                    None => Ok(None),
                },
            };
            match found {
                Ok(Some(meta)) => return Ok(Some(meta)),
                Ok(None) => {}
                // Keys whose names are lost are passed over, if there are others.
                Err(error @ Error::Damaged { .. }) => damaged = Some(error),
                Err(error) => return Err(error),
            }
        }
        key.truncate(start);
        match self.next_key(seed, key)? {
            None => damaged.map_or(Ok(None), Err),
            found => Ok(found),
        }
    }

    /// The first key that a scan from a place chosen by `seed` on meets.
    fn next_key(&mut self, seed: u64, key: &mut Vec<u8>) -> Result<Option<Meta>, Error> {
        let mut found = None;
        let mut cursor = seed;
        // From there to the end, and from the beginning.
        for _ in 0..2 {
            while found.is_none() {
                cursor = self.scan(cursor, 1, |name, meta| {
                    if found.is_none() {
                        key.extend_from_slice(name);
                        found = Some(meta);
                    }
                })?;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Appends the places of the stored keys that the next step of a scan covers, and returns which hashes these are.
    fn next_places(&mut self, cursor: u64, places: &mut Vec<u64>) -> Result<RangeInclusive<u64>, Error> {
        self.log.stage.order_keys();
        if self.log.stage.is_clearing() {
            return Ok(index::covered_in_smallest(cursor));
        }
        if self.log.is_unread() {
            self.log.ready_to_scan(&self.reader, cursor)?;
        }
        let covered = self.log.catalog.keys().covered(cursor);
        self.log.catalog.keys().scan(cursor, |place| places.push(place));
        Ok(covered)
    }

    /// Visits the keys of stored operations, except for those that have a staged one.
    fn visit_stored(&self, places: &[u64], f: &mut impl FnMut(&[u8], Meta)) -> Result<(), Error> {
        let mut key = Vec::new();
        for place in places {
            key.clear();
            match self.stored_at(*place, &mut key) {
                Ok(Some(meta)) => f(&key, meta),
                // Its name is lost; whoever asks for it by name is told.
                Ok(None) | Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Appends the key of the live operation at `place` to `key`. `None` if the key has a staged one.
    fn stored_at(&self, place: u64, key: &mut Vec<u8>) -> Result<Option<Meta>, Error> {
        let start = key.len();
        let meta = self.key_at(place, key)?;
        let name = &key[start..];
        let staged = !self.log.stage.is_empty() && self.log.stage.latest(self.log.hash(name), name).is_some();
        Ok((!staged).then_some(meta))
    }

    /// Appends the key of a staged operation to `key`. `None` if it sets no value, or is not its key's last one.
    fn staged_at(&self, position: usize, key: &mut Vec<u8>) -> Option<Meta> {
        let stage = &self.log.stage;
        let (_, name) = stage.op(position).filter(|_| stage.is_latest(position))?;
        let (header, value) = stage.latest(stage.hash_of(position), name)?;
        key.extend_from_slice(name);
        staged_meta(&header, value)
    }

    /// Whether the key of a staged operation, the first on it, is in the index.
    fn is_stored(&mut self, position: usize, hash: u64) -> Result<bool, Error> {
        if self.log.stage.is_clearing() {
            return Ok(false);
        }
        if self.log.is_unread() {
            self.log.ready(&self.reader, Which::Keys, hash)?;
        }
        let Some((_, key)) = self.log.stage.op(position) else { return Ok(false) };
        match self.log.find(&self.reader, hash, key) {
            Ok(found) => Ok(found.is_some()),
            // A key whose value is lost is there.
            Err(Error::Damaged { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Appends the key of the live operation at `place` to `key`.
    fn key_at(&self, place: u64, key: &mut Vec<u8>) -> Result<Meta, Error> {
        let damaged = Error::Damaged { offset: place };
        let mut window = Window::new(PEEK);
        let Some(header) = self.log.peek(&self.reader, place, &mut window)? else { return Err(damaged) };
        match window.bytes().get(header.key_at()..header.value_at()) {
            Some(name) => key.extend_from_slice(name),
            None => self.log.append(&self.reader, place + header.key_at() as u64, header.key_len, key)?,
        }
        let mut len = header.value_len as u64;
        if header.kind == Kind::PutLarge {
            let mut large = Vec::with_capacity(LARGE);
            self.log.append(&self.reader, place + header.value_at() as u64, LARGE, &mut large)?;
            len = Large::decode(&large).ok_or(damaged)?.len;
        }
        Ok(header.meta(len))
    }
}

/// What a staged operation says of its key. `None` if it removes it.
fn staged_meta(header: &OpHeader, value: &[u8]) -> Option<Meta> {
    let len = match header.kind {
        Kind::Put => value.len() as u64,
        Kind::PutLarge => Large::decode(value)?.len,
        _ => return None,
    };
    Some(header.meta(len))
}
