//! A crash-safe map from keys to values in persistent memory.
//!
//! Owns: the format of a pool's bytes, the log, its index in DRAM, recovery and cleaning. Never: what a value means,
//! what time it is (expiry times are kept, not acted on), or how bytes become durable (that is the medium's).
//! docs/pool-format.md says what every byte means; `format` names the fields that it lists.
//!
//! The state in DRAM (`log`) is put together from pieces that know nothing of it and let nobody at their fields:
//! `space` (what each segment is in use for), `frontier` (where the log goes on), `catalog` (which operations count),
//! `stage` (what a turn wrote), `media` (what the medium cannot read), `findings` (what its opening found),
//! `totals`, and the state of what works on it: `cleaning`, `checkpoint::unread`. How far scrubbing has come is the
//! pool's own.

mod append;
mod atomic;
mod bad_ranges;
mod catalog;
mod chain;
mod checkpoint;
mod clean;
mod cleaning;
mod dram;
mod expiring;
mod findings;
mod format;
mod frontier;
mod grow;
mod index;
mod inspect;
mod keyspace;
mod log;
mod media;
mod media_errors;
mod migrate;
mod parts;
mod range;
mod record;
mod recover;
mod repair;
mod report;
mod scan;
mod scrub;
mod segment;
mod shadow_counts;
mod space;
mod stage;
mod sums;
mod superblock;
mod totals;
mod turn;
mod value_type;
mod walk;
mod writer;

pub use checkpoint::Shutdown;
pub use grow::Growth;
pub use inspect::{Inspection, inspect};
pub use migrate::Migration;
pub use record::record_bytes;
pub use repair::Repair;
pub use report::{Checkpoint, Damage, DamageKind, OpenReport, Stats, Tail};
pub use scan::{Executor, Progress, Sequential};
pub use scrub::Scrub;
pub use superblock::history::{History, HistoryId};
pub use turn::Turn;
pub use value_type::ValueType;

use alloc::string::String;
use core::ops::Range;

use crate::error::Error;
use crate::medium::Medium;
use crate::pool::log::Log;
use crate::pool::media::Media;
use crate::pool::recover::Source;
use crate::pool::scrub::Scrubbing;
use crate::pool::superblock::Superblock;

/// The version of the on-media format that a new pool has, and the newest that this crate knows.
pub const FORMAT_VERSION: u32 = 2;

/// The oldest version that this crate knows. A pool keeps its version when it is written to.
pub const OLDEST_VERSION: u32 = 1;

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
    /// What kind of value it is. The pool keeps it and never acts on it.
    pub value_type: ValueType,
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
        /// What kind of value that is.
        value_type: ValueType,
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
///
/// ```
/// use pmem::{Durable, Medium, Pool};
///
/// /// What the client is told; there is no saying it before the receipt is there.
/// fn reply(number: u64, _receipt: &Durable) -> String {
///     format!("OK {number}")
/// }
///
/// fn serve(pool: &mut Pool<impl Medium>, number: u64) -> Result<String, pmem::Error> {
///     let (put, receipt) = pool.turn(|turn| turn.put(b"number", &number.to_le_bytes(), None))?;
///     put?;
///     Ok(reply(number, &receipt))
/// }
/// # let medium = pmem::sim::Memory::new(16 << 20);
/// # let mut pool = Pool::format(medium, &pmem::FormatOptions::new([1; 16])).unwrap();
/// # assert_eq!(serve(&mut pool, 7).unwrap(), "OK 7");
/// ```
///
/// There is no other way to come by one:
///
/// ```compile_fail
/// let receipt = pmem::Durable { commit: 1, link: 0 };
/// ```
///
/// ```compile_fail
/// fn twice(receipt: pmem::Durable) -> [pmem::Durable; 2] {
///     [receipt.clone(), receipt]
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a receipt is what an acknowledgement needs"]
pub struct Durable {
    commit: u64,
    link: u64,
}

impl Durable {
    /// The number of the last durable batch.
    pub fn commit(&self) -> u64 {
        self.commit
    }

    /// What names that batch and all before it: with the number, a receipt for one history of the pool and not only for
    /// a number, which another copy of the image has as well. 0 in a pool of version 1.
    pub fn link(&self) -> u64 {
        self.link
    }
}

/// A pool on a medium. See the module's documentation.
///
/// ```
/// use pmem::sim::Memory;
/// use pmem::{FormatOptions, Pool};
///
/// # fn main() -> Result<(), pmem::Error> {
/// // A device, or as in tests a medium in DRAM. The identity has to be random.
/// let mut pool = Pool::format(Memory::new(16 << 20), &FormatOptions::new([7; 16]))?;
/// let (put, _receipt) = pool.turn(|turn| turn.put(b"key", b"value", None))?;
/// put?;
///
/// // Shut down or not, all that has a receipt is there. After a clean shutdown no record has to be read.
/// let memory = pool.close()?;
/// let mut pool = Pool::open(memory)?;
/// let mut value = Vec::new();
/// let (found, _receipt) = pool.turn(|turn| turn.get(b"key", &mut value))?;
/// assert_eq!(found?.map(|meta| meta.len), Some(5));
/// assert_eq!(value, b"value");
/// assert!(pool.report().damage.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pool<M: Medium> {
    medium: M,
    log: Log,
    scrubbing: Scrubbing,
}

impl<M: Medium> Pool<M> {
    fn of(medium: M, log: Log) -> Pool<M> {
        Pool { medium, log, scrubbing: Scrubbing::default() }
    }

    /// Makes an empty pool on `medium`. Whatever the medium held is lost.
    pub fn format(medium: M, options: &FormatOptions) -> Result<Pool<M>, Error> {
        Self::format_with(medium, options, |_| {})
    }

    /// As [`Self::format`]; on a large medium, which takes a while, `progress` is told how far it is.
    pub fn format_with(
        medium: M,
        options: &FormatOptions,
        mut progress: impl FnMut(Progress),
    ) -> Result<Pool<M>, Error> {
        refuse_read_only(&medium)?;
        let of_bytes = medium.len();
        let tell = |bytes| progress(Progress { bytes, of_bytes, records: 0 });
        let superblock = medium.write(|store| Superblock::format(&store, options, tell))??;
        let log = Log::new(superblock, Media::default())?;
        Ok(Self::of(medium, log))
    }

    /// Opens the pool on `medium`: after a clean shutdown from the checkpoint that it left, which takes the same time
    /// however many keys there are; else by checking every record. [`Pool::report`] says what was found.
    ///
    /// Writes what must be repaired before new records may follow, and a mark behind the last record, so that nothing
    /// that a power cut left of a batch there can become a record later.
    pub fn open(medium: M) -> Result<Pool<M>, Error> {
        Self::open_within(medium, u64::MAX)
    }

    /// As [`Self::open`], within `memory` bytes of DRAM ([`Self::limit_memory`]), or [`Error::NoMemory`] says how much
    /// is needed. With little DRAM, records may be read more than once.
    pub fn open_within(medium: M, memory: u64) -> Result<Pool<M>, Error> {
        refuse_unwritable(&medium)?;
        Self::recover(medium, memory)
    }

    /// As [`Self::open`], on a medium whose stores nobody keeps (a file mapped copy on write, on the host), for
    /// reading: a pool too that has features which this program has to know to write to it, and does not.
    pub fn open_copy(medium: M) -> Result<Pool<M>, Error> {
        refuse_read_only(&medium)?;
        Self::recover(medium, u64::MAX)
    }

    fn recover(medium: M, memory: u64) -> Result<Pool<M>, Error> {
        let (mut log, repairs) = medium.read(|load| Log::recover(&load, Source::Checkpoint, memory))??;
        medium.write(|store| log.repair(&store, repairs))??;
        Self::poll_media_errors(&medium, &mut log)?;
        Ok(Self::of(medium, log))
    }

    /// As [`Self::open_within`]; if every record is to be read, by this executor, and `progress` is told how far it is,
    /// for each segment that was read.
    pub fn open_with(
        medium: M,
        memory: u64,
        executor: &impl Executor,
        mut progress: impl FnMut(Progress),
    ) -> Result<Pool<M>, Error>
    where
        M: Sync,
    {
        refuse_unwritable(&medium)?;
        let (mut log, repairs) = medium.read(|load| {
            Log::recover_by(&load, Source::Checkpoint, memory, |scanner, headers, merge| {
                let size = u64::from(scanner.geometry.segment_size);
                let mut done = Progress { bytes: 0, of_bytes: size * headers.len() as u64, records: 0 };
                let scan = |job: usize| {
                    let scanned = medium.read(|load| scanner.scan(&load, &headers[job]));
                    (job, scanned.map_err(Error::from).and_then(|scanned| scanned))
                };
                executor.run(headers.len(), scan, |(job, scanned)| {
                    done.bytes += size;
                    done.records += scanned.as_ref().map_or(0, |scanned| scanned.records);
                    merge(job, scanned);
                    progress(done);
                });
            })
        })??;
        medium.write(|store| log.repair(&store, repairs))??;
        Self::poll_media_errors(&medium, &mut log)?;
        Ok(Self::of(medium, log))
    }

    /// Opens the pool on `medium`, or makes one if the medium is blank or a format of it was interrupted. Anything else
    /// is an error, never overwritten.
    pub fn open_or_format(medium: M, options: &FormatOptions) -> Result<Pool<M>, Error> {
        if Self::is_blank(&medium)? { Self::format(medium, options) } else { Self::open(medium) }
    }

    /// Whether [`Self::open_or_format`] would make a pool.
    pub fn is_blank(medium: &M) -> Result<bool, Error> {
        match medium.read(|load| Superblock::read(&load).map(|_| ()))? {
            Err(Error::Blank | Error::FormatInterrupted) => Ok(true),
            other => other.map(|()| false),
        }
    }

    /// What opening found. Damage that was met since is added.
    pub fn report(&self) -> &OpenReport {
        self.log.findings.report()
    }

    /// Byte ranges that the medium cannot read any more, in order.
    pub fn bad_ranges(&self) -> impl Iterator<Item = &Range<u64>> {
        self.log.media.bad().iter()
    }

    /// Statistics of now.
    pub fn stats(&self) -> Stats {
        let log = &self.log;
        let size = u64::from(log.geometry().segment_size);
        let used = log.space.in_use();
        let behind_head = log.frontier.head().map_or(0, |head| u64::from(log.batch_limit() - head.at));
        Stats {
            capacity_bytes: log.space.capacity(),
            used_bytes: u64::from(used) * size,
            live_bytes: log.space.live(),
            free_bytes: u64::from(log.space.free()) * size + behind_head,
            quarantined_bytes: u64::from(log.space.quarantined()) * size,
            bad_bytes: log.media.bad().iter().map(|bad| bad.end - bad.start).sum(),
            lost_keys: log.catalog.lost_count(),
            damaged_places: log.findings.damage().len() as u64,
            keys: log.catalog.keys().len(),
            expiring_keys: log.catalog.expiring().map(|expiring| expiring.keys),
            mean_expiry_ms: log.catalog.expiring().and_then(|expiring| expiring.mean_ms()),
            index_bytes: log.catalog.index_bytes(),
            history: log.superblock.history.map(|history| history.at(log.frontier.newest_batch())),
            other_bytes: log.catalog.shadows().bytes() + log.stage.capacity() + log.space.bytes(),
            turns: log.totals.turns(),
            commits: log.totals.commits(),
            operations: log.totals.operations(),
            segments_cleaned: log.totals.segments_cleaned(),
            bytes_moved: log.totals.bytes_moved(),
            medium: self.medium.counters(),
        }
    }

    /// Sets the most DRAM, in bytes, that what grows with the pool and its keys may take: the index and the counters of
    /// what is superseded ([`Stats::index_bytes`], [`Stats::other_bytes`]). Beyond it, and where there is no DRAM any
    /// more, puts of new keys fail with [`Error::IndexFull`]. The default is no limit.
    pub fn limit_memory(&mut self, bytes: u64) {
        self.log.catalog.limit_memory(bytes);
    }

    /// The pool's identity.
    pub fn uuid(&self) -> [u8; 16] {
        self.log.superblock.uuid
    }

    /// The version of its format. A pool keeps it when it is written to.
    pub fn version(&self) -> u32 {
        self.log.superblock.version
    }

    /// The pool's name for people.
    pub fn label(&self) -> &str {
        &self.log.superblock.label
    }

    /// The medium that the pool is on.
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// The longest key, in bytes.
    pub fn key_limit(&self) -> u64 {
        self.log.key_limit() as u64
    }

    /// The longest value, in bytes.
    pub fn value_limit(&self) -> u64 {
        record::VALUE_LIMIT
    }

    /// Runs one turn of an event loop: `f` reads and stages writes, then everything staged is made durable with one
    /// write grant and one fence, and the receipt is returned.
    ///
    /// `f` runs under one read grant. What it stages is visible to its own later reads. A turn that stages a lot may
    /// commit parts of it early, in order; the receipt still stands for all of it. After an error nothing that was
    /// staged since the last commit is kept.
    pub fn turn<R>(&mut self, f: impl FnOnce(&mut Turn<'_, M>) -> R) -> Result<(R, Durable), Error> {
        let Pool { medium, log, .. } = self;
        // A turn that ended in a panic left what it had staged.
        log.discard_staged();
        log.stage.take_failure();
        log.totals.count_turn();
        Self::poll_media_errors(medium, log)?;
        let result = medium.read(|reader| {
            let mut turn = Turn::new(medium, log, M::shorten(reader));
            let result = f(&mut turn);
            turn.finish().map(|()| result)
        })??;
        Ok((result, Durable { commit: log.frontier.newest_batch(), link: log.frontier.link() }))
    }

    /// Does a step of what an opening from a checkpoint left to be done some time: reads about `blocks` blocks, of ten
    /// to sixteen kilobytes each, first of the checkpoint, whose segments then become free, and then of the
    /// records, to verify them. Says whether there is more to do.
    pub fn read_ahead(&mut self, blocks: u32) -> Result<bool, Error> {
        let Pool { medium, log, .. } = self;
        if !log.unread.has_checkpoint() {
            return medium.read(|load| log.verify_on(&load, blocks.saturating_mul(16 << 10)))?;
        }
        if !medium.read(|load| log.read_on(&load, blocks))?? {
            medium.write(|store| log.release_checkpoint(&store))??;
        }
        Ok(log.is_unread())
    }

    /// Shuts the pool down cleanly, so that the next opening knows that the log is complete, and leaves a checkpoint
    /// for it if there is room for one.
    pub fn shut_down(self) -> Result<(M, Shutdown), Error> {
        let Pool { medium, mut log, .. } = self;
        log.discard_staged();
        let shutdown = medium.write(|store| {
            log.finish_reading(&store)?;
            log.shut_down(&store)
        })??;
        Ok((medium, shutdown))
    }

    /// As [`Self::shut_down`], for who does not want to know about the checkpoint.
    pub fn close(self) -> Result<M, Error> {
        Ok(self.shut_down()?.0)
    }
}

/// A pool writes even when it only serves reads: a torn tail is cut off first of all.
fn refuse_read_only(medium: &impl Medium) -> Result<(), Error> {
    if medium.is_read_only() { Err(Error::ReadOnly) } else { Ok(()) }
}

/// Refuses a pool that has features which this program would have to know to write to it.
fn refuse_unwritable(medium: &impl Medium) -> Result<(), Error> {
    refuse_read_only(medium)?;
    medium.read(|load| Superblock::read(&load))??.superblock.check_writable()
}
