//! A crash-safe map from keys to values in persistent memory.
//!
//! Owns: the format of a pool's bytes, the log, its index in DRAM, recovery and cleaning. Never: what a value means,
//! what time it is (expiry times are kept, not acted on), or how bytes become durable (that is the medium's).

mod report;

pub use report::{Damage, DamageKind, OpenReport, Stats, Tail};

use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::error::Error;
use crate::medium::Medium;

/// The version of the on-media format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Choices made once, when a pool is formatted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatOptions {
    /// Identifies the pool and salts its checksums. Must be random: records of another pool that once lay on the same
    /// medium are told apart by it.
    pub uuid: [u8; 16],
    /// A name for people, at most 32 bytes of UTF-8.
    pub label: String,
    /// Bytes per segment: a power of two from 64 KiB to 4 MiB. `None` chooses by the medium's length.
    pub segment_size: Option<u32>,
}

impl FormatOptions {
    /// Default options with this identity.
    pub fn new(uuid: [u8; 16]) -> Self {
        FormatOptions { uuid, label: String::new(), segment_size: None }
    }
}

/// What the pool keeps about a value besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The value's length in bytes.
    pub len: u64,
    /// When the value expires, in milliseconds of Unix time. The pool keeps it and never acts on it.
    pub expires_at_ms: Option<u64>,
}

/// One operation of an atomic record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Set a key's value.
    Put {
        /// The key.
        key: &'a [u8],
        /// Its new value.
        value: &'a [u8],
        /// When it expires, in milliseconds of Unix time.
        expires_at_ms: Option<u64>,
    },
    /// Remove a key, if it is there.
    Remove {
        /// The key.
        key: &'a [u8],
    },
}

/// Proof that everything up to this commit, of this turn and all before it, is durable.
///
/// Only a finished [`Pool::turn`] makes one. A program that can acknowledge a write only with a receipt in hand cannot
/// acknowledge one that is not durable.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a receipt is what an acknowledgement needs"]
pub struct Durable {
    commit: u64,
}

impl Durable {
    /// The number of the last durable batch.
    pub fn commit(&self) -> u64 {
        self.commit
    }
}

/// A pool on a medium. See the module's documentation.
#[derive(Debug)]
pub struct Pool<M: Medium> {
    medium: M,
}

impl<M: Medium> Pool<M> {
    /// Makes an empty pool on `medium`. Whatever the medium held is lost.
    pub fn format(_medium: M, _options: &FormatOptions) -> Result<Pool<M>, Error> {
        todo!()
    }

    /// Opens the pool on `medium`: checks every record and rebuilds the index. [`Pool::report`] says what was found.
    pub fn open(_medium: M) -> Result<Pool<M>, Error> {
        todo!()
    }

    /// Opens the pool on `medium`, or makes one if the medium is blank or a format of it was interrupted. Anything else
    /// is an error, never overwritten.
    pub fn open_or_format(_medium: M, _options: &FormatOptions) -> Result<Pool<M>, Error> {
        todo!()
    }

    /// What opening found.
    pub fn report(&self) -> &OpenReport {
        todo!()
    }

    /// Statistics of now.
    pub fn stats(&self) -> Stats {
        todo!()
    }

    /// The pool's identity.
    pub fn uuid(&self) -> [u8; 16] {
        todo!()
    }

    /// The medium that the pool is on.
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// The longest key, in bytes.
    pub fn key_limit(&self) -> u64 {
        todo!()
    }

    /// The longest value, in bytes.
    pub fn value_limit(&self) -> u64 {
        todo!()
    }

    /// Runs one turn of an event loop: `f` reads and stages writes, then everything staged is made durable with one
    /// write grant and one fence, and the receipt is returned.
    ///
    /// `f` runs under one read grant. What it stages is visible to its own later reads. A turn that stages a lot may
    /// commit parts of it early, in order; the receipt still stands for all of it. After an error nothing that was
    /// staged since the last commit is kept.
    pub fn turn<R>(&mut self, _f: impl FnOnce(&mut Turn<'_, M>) -> R) -> Result<(R, Durable), Error> {
        todo!()
    }

    /// Shuts the pool down cleanly, so that the next opening knows that the log is complete.
    pub fn close(self) -> Result<M, Error> {
        todo!()
    }
}

/// One turn of an event loop over a pool: reads, and writes staged until the turn's end. See [`Pool::turn`].
#[derive(Debug)]
pub struct Turn<'t, M: Medium> {
    _pool: PhantomData<&'t M>,
}

impl<M: Medium> Turn<'_, M> {
    /// Appends the key's value to `value`. `None`, and `value` untouched, if there is no such key.
    pub fn get(&self, _key: &[u8], _value: &mut Vec<u8>) -> Result<Option<Meta>, Error> {
        todo!()
    }

    /// Appends at most `len` bytes of the key's value from byte `offset` on to `value`; fewer where the value ends.
    pub fn get_range(&self, _key: &[u8], _offset: u64, _len: u64, _value: &mut Vec<u8>) -> Result<Option<Meta>, Error> {
        todo!()
    }

    /// The length and the expiry of the key's value.
    pub fn meta(&self, _key: &[u8]) -> Result<Option<Meta>, Error> {
        todo!()
    }

    /// Whether the key is there.
    pub fn contains(&self, _key: &[u8]) -> Result<bool, Error> {
        todo!()
    }

    /// Sets the key's value.
    pub fn put(&mut self, _key: &[u8], _value: &[u8], _expires_at_ms: Option<u64>) -> Result<(), Error> {
        todo!()
    }

    /// Removes the key. Says whether it was there.
    pub fn remove(&mut self, _key: &[u8]) -> Result<bool, Error> {
        todo!()
    }

    /// Does all of `ops`, in order, in one record: after a power cut all of them happened or none. An operation on a
    /// key that an earlier one of them wrote sees its effect.
    pub fn atomically(&mut self, _ops: &[Op<'_>]) -> Result<(), Error> {
        todo!()
    }

    /// Removes every key.
    pub fn clear(&mut self) -> Result<(), Error> {
        todo!()
    }

    /// The number of keys.
    pub fn len(&mut self) -> Result<u64, Error> {
        todo!()
    }

    /// Visits some keys, at least `count` of them unless the end comes first, and returns the cursor to go on with;
    /// 0 begins, and 0 returned means that everything was visited.
    ///
    /// The guarantees are those of Redis's `SCAN`: a key that is there from the first call to the last is visited at
    /// least once, whatever else comes and goes in between; one that comes or goes may or may not be; a key may be
    /// visited more than once. Cursors of any value are safe.
    pub fn scan(&mut self, _cursor: u64, _count: usize, _f: impl FnMut(&[u8], Meta)) -> Result<u64, Error> {
        todo!()
    }

    /// Appends some key to `key`, chosen by `seed`; `None` if the pool is empty. Equal seeds on an equal pool choose the
    /// same key, and random seeds choose about evenly.
    pub fn random(&mut self, _seed: u64, _key: &mut Vec<u8>) -> Result<Option<Meta>, Error> {
        todo!()
    }
}
