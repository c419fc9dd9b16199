//! The log: entries in persistent memory, one after the other, never changed.
//!
//! # Format
//!
//! All numbers are little-endian; every *word* is 8 bytes at a multiple of 8.
//!
//! ```text
//! offset 0    8   "HFLEDGR1"
//!        8   56   zeros
//!       64        the first record
//!
//! record 0    8   the head word: bits 0 to 31 the body's length in bytes, bits 32 to 63 its checksum. Not zero.
//!        8    8   when the entry was made, in milliseconds since 1970
//!       16    8   its amount, signed
//!       24   n    its memo, UTF-8, at most 256 bytes
//!     24+n        zeros up to a multiple of 8; then the next record
//! ```
//!
//! The checksum is the CRC32C of the entry's number (8 bytes, from 1 on) followed by the body, which begins with the
//! time. A head word of zero ends the log.
//!
//! # Why a power cut cannot break it
//!
//! The memory below keeps what was stored, written back and fenced. Of what was stored since the last fence it keeps
//! any words and loses the others; a word it never tears. So an entry is stored in two steps with a fence after each:
//!
//! 1. its body, and a zero where the *next* record's head word will be;
//! 2. its head word, which is one word.
//!
//! Before the second step the log ends where it ended, at a head word of zero, whatever the first one has left behind
//! it. After it the entry is there, whole, and the log ends at the zero that the first step made durable. There is
//! nothing in between. [`Log::append`] returns only after the second fence, with a [`Committed`] that nothing else can
//! make, and without which [`crate::api`] has no reply.
//!
//! That also means that a record whose checksum is wrong was not torn: it is damaged. Opening refuses it, for to end
//! the log there would lose the entries behind it without a word.
//!
//! # Why a wrong offset cannot break it
//!
//! Outside of a write scope no store gets through. Inside one it would, wherever it goes; but an entry never changes,
//! so the pages in front of the one in which the log ends are write-protected ([`Medium::set_writable`]), at the
//! opening and, from then on, before the first scope after the end has come to another page. What is still open to a
//! store that goes astray in a scope is the page of the end: its last entries, fewer than fit into 4 KiB. Pages are
//! protected one at a time, since that is rare enough: the edit of page tables, and the interruption of the other CPUs,
//! come once for as many entries as a page has, about seventy of 60 bytes, each of which has two fences of its own.

use std::fmt;

use pmem::crc32c::Crc32c;
use pmem::medium::{Gone, PAGE, WriteError};
use pmem::{Load, LoadError, Medium, OutOfRange, Store, WriteProtectError};

/// What a ledger's memory begins with.
const MAGIC: [u8; 8] = *b"HFLEDGR1";
/// Where the first record is.
const FIRST: u64 = 64;
/// The bytes of a word.
const WORD: u64 = 8;
/// The bytes of a body in front of its memo.
const FIXED: usize = 16;
/// The most bytes of a memo.
pub const LONGEST_MEMO: usize = 256;
/// Of how many entries one has its place remembered: the index in DRAM stays small however many there are.
const STRIDE: u64 = 64;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was made, in milliseconds since 1970.
    pub time: u64,
    /// The amount, in whatever unit the ledger is kept.
    pub amount: i64,
    /// What it was for.
    pub memo: String,
}

/// The number of an entry that is durable.
#[derive(Debug)]
#[must_use]
pub struct Committed(u64);

impl Committed {
    /// The entry's number, from 1 on.
    pub fn number(&self) -> u64 {
        self.0
    }
}

/// What went wrong. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The memory holds something else; these are its first eight bytes.
    Foreign([u8; 8]),
    /// The memory is too small for a ledger.
    TooSmall,
    /// There is no room for the entry.
    Full,
    /// The record at this offset is not as it was written.
    Damaged(u64),
    /// The device is gone.
    Gone,
    /// The device keeps no stores.
    ReadOnly,
    /// What was stored could not be made durable.
    FenceFailed,
    /// The entries that are there cannot be write-protected.
    Unprotected(WriteProtectError),
    /// The program computed a place outside the memory: a defect.
    Defect(OutOfRange),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(found) => {
                write!(f, "it holds no ledger (it begins with {}); it was left as it is", found.escape_ascii())
            }
            Self::TooSmall => f.write_str("it is too small for a ledger"),
            Self::Full => f.write_str("the ledger is full"),
            Self::Damaged(offset) => {
                write!(f, "the entry at byte {offset:#x} is damaged; restore the image from a copy")
            }
            Self::Gone => WriteError::Gone.fmt(f),
            Self::ReadOnly => WriteError::ReadOnly.fmt(f),
            Self::FenceFailed => WriteError::FenceFailed.fmt(f),
            Self::Unprotected(error) => write!(f, "its entries cannot be write-protected: {error}"),
            Self::Defect(error) => write!(f, "defect: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Gone> for Error {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Gone => Self::Gone,
            WriteError::ReadOnly => Self::ReadOnly,
            WriteError::FenceFailed => Self::FenceFailed,
        }
    }
}

impl From<OutOfRange> for Error {
    fn from(error: OutOfRange) -> Self {
        Self::Defect(error)
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::OutOfRange(error) => Self::Defect(error),
            LoadError::Unreadable(range) => Self::Damaged(range.start),
        }
    }
}

/// A ledger in persistent memory. What it keeps in DRAM follows from there and is found anew at each opening.
#[derive(Debug)]
pub struct Log<M> {
    medium: M,
    /// Where the next record goes: the offset of the head word that is zero.
    end: u64,
    /// Where the pages begin that stores are permitted to, in a write scope.
    writable_from: u64,
    entries: u64,
    /// The sum of all amounts. No number of entries that fits makes it overflow.
    balance: i128,
    /// The offsets of the entries 1, 1 + [`STRIDE`], and so on.
    places: Vec<u64>,
}

impl<M: Medium> Log<M> {
    /// Opens the ledger in this memory; blank memory becomes an empty one.
    pub fn open(medium: M) -> Result<Self, Error> {
        if medium.len() < FIRST + WORD {
            return Err(Error::TooSmall);
        }
        let mut log = Self { medium, end: FIRST, writable_from: 0, entries: 0, balance: 0, places: Vec::new() };
        let mut head = [0; FIRST as usize];
        log.medium.read(|grant| grant.load(0, &mut head))??;
        if head == [0; FIRST as usize] {
            log.format()?;
        } else if head[..8] != MAGIC {
            return Err(Error::Foreign(head[..8].try_into().unwrap_or_default()));
        }
        log.recover()?;
        log.protect()?;
        Ok(log)
    }

    /// Makes an empty ledger: what ends it first, and what makes it one only then.
    fn format(&self) -> Result<(), Error> {
        self.medium.write(|grant| {
            commit(grant, FIRST, &[0; WORD as usize])?;
            commit(grant, 0, &MAGIC)
        })?
    }

    /// Reads every record from the first on.
    fn recover(&mut self) -> Result<(), Error> {
        // Out of `self` while the scope borrows the medium.
        let (mut at, mut entries, mut balance, mut places) = (FIRST, 0u64, 0, Vec::new());
        self.medium.read(|grant| -> Result<(), Error> {
            while let Some((entry, next)) = load(&grant, at, entries + 1)? {
                if entries.is_multiple_of(STRIDE) {
                    places.push(at);
                }
                entries += 1;
                balance += i128::from(entry.amount);
                at = next;
            }
            Ok(())
        })??;
        (self.end, self.entries, self.balance, self.places) = (at, entries, balance, places);
        Ok(())
    }

    /// Write-protects the pages in front of the one in which the log ends.
    fn protect(&mut self) -> Result<(), Error> {
        let page = self.end / PAGE * PAGE;
        if self.writable_from < page {
            self.medium.set_writable(self.writable_from..page, false).map_err(Error::Unprotected)?;
            self.writable_from = page;
        }
        Ok(())
    }

    /// Adds an entry. When this returns, the entry is durable.
    pub fn append(&mut self, entry: &Entry) -> Result<Committed, Error> {
        let number = self.entries + 1;
        let mut body = Vec::with_capacity(FIXED + entry.memo.len() + 2 * WORD as usize);
        body.extend_from_slice(&entry.time.to_le_bytes());
        body.extend_from_slice(&entry.amount.to_le_bytes());
        body.extend_from_slice(entry.memo.as_bytes());
        let head = body.len() as u64 | u64::from(checksum(number, &body)) << 32;
        // Padding, and the head word after it, which ends the log.
        body.resize(body.len().next_multiple_of(WORD as usize) + WORD as usize, 0);
        let next = self.end + body.len() as u64;
        if next + WORD > self.medium.len() {
            return Err(Error::Full);
        }
        self.protect()?;
        self.medium.write(|grant| -> Result<(), Error> {
            commit(grant, self.end + WORD, &body)?;
            commit(grant, self.end, &head.to_le_bytes())
        })??;
        if self.entries.is_multiple_of(STRIDE) {
            self.places.push(self.end);
        }
        self.end = next;
        self.entries = number;
        self.balance += i128::from(entry.amount);
        Ok(Committed(number))
    }

    /// The entries from number `first` on, at most `most` of them.
    pub fn read(&self, first: u64, most: u64) -> Result<Vec<Entry>, Error> {
        let mut found = Vec::new();
        let last = first.saturating_add(most).min(self.entries + 1);
        if first == 0 || first >= last {
            return Ok(found);
        }
        // From the nearest remembered place before the first one.
        let place = (first - 1) / STRIDE;
        let Some(&start) = usize::try_from(place).ok().and_then(|place| self.places.get(place)) else {
            return Ok(found);
        };
        self.medium.read(|grant| {
            let mut at = start;
            for number in place * STRIDE + 1..last {
                // One that has ended the log since its head word was there is damaged.
                let (entry, next) = load(&grant, at, number)?.ok_or(Error::Damaged(at))?;
                if number >= first {
                    found.push(entry);
                }
                at = next;
            }
            Ok(found)
        })?
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.entries
    }

    /// The sum of all amounts.
    pub fn balance(&self) -> i128 {
        self.balance
    }

    /// How many bytes are left.
    pub fn free(&self) -> u64 {
        self.medium.len() - self.end - WORD
    }
}

/// Stores bytes and waits until they are durable.
fn commit(grant: impl Store, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    grant.store(offset, bytes)?;
    grant.write_back(offset..offset + bytes.len() as u64)?;
    grant.fence();
    Ok(())
}

/// Loads the record at `at`, of the entry with this number; also where the next one is. `None` if the log ends here.
fn load(grant: &impl Load, at: u64, number: u64) -> Result<Option<(Entry, u64)>, Error> {
    let damaged = || Error::Damaged(at);
    let mut head = [0; WORD as usize];
    // The log ends before the memory does, by a head word of zero.
    if at + WORD > grant.size() {
        return Err(damaged());
    }
    grant.load(at, &mut head)?;
    let head = u64::from_le_bytes(head);
    if head == 0 {
        return Ok(None);
    }
    let length = (head & u64::from(u32::MAX)) as usize;
    let next = at + WORD + (length as u64).next_multiple_of(WORD);
    if !(FIXED..=FIXED + LONGEST_MEMO).contains(&length) || next > grant.size() {
        return Err(damaged());
    }
    let mut body = vec![0; length];
    grant.load(at + WORD, &mut body)?;
    if u64::from(checksum(number, &body)) != head >> 32 {
        return Err(damaged());
    }
    let memo = String::from_utf8(body.split_off(FIXED)).map_err(|_| damaged())?;
    let word = |at: usize| body[at..].first_chunk().copied().unwrap_or_default();
    let entry = Entry { time: u64::from_le_bytes(word(0)), amount: i64::from_le_bytes(word(8)), memo };
    Ok(Some((entry, next)))
}

fn checksum(number: u64, body: &[u8]) -> u32 {
    Crc32c::new().update(&number.to_le_bytes()).update(body).value()
}

#[cfg(test)]
mod tests;
