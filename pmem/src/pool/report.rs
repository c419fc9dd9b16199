//! What a pool says of itself: the report of its opening and its running statistics.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::medium::Counters;
use crate::pool::superblock::history::History;

/// What opening a pool found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Segments in the pool.
    pub segments: u32,
    /// Bytes of the medium behind the pool's end. [`Pool::grow`](crate::Pool::grow) makes them the pool's.
    pub unused_bytes: u64,
    /// Segments that hold records.
    pub segments_used: u32,
    /// Bytes of records read and checked.
    pub bytes_scanned: u64,
    /// Valid records met, live or not.
    pub records: u64,
    /// Operations among them of kinds that this version does not know and may pass over.
    pub passed_over: u64,
    /// Keys that the pool holds.
    pub keys: u64,
    /// How the log ended.
    pub tail: Tail,
    /// What became of the checkpoint that a clean shutdown leaves. With it, no records are read.
    pub checkpoint: Checkpoint,
    /// What is not readable any more, in the order of the medium.
    pub damage: Vec<Damage>,
    /// Byte ranges that the medium could not read once, in order. Their segments are set aside for good; nothing is
    /// written there any more.
    pub bad_ranges: Vec<Range<u64>>,
    /// Keys whose values are lost with those: reading one is an error until it is written anew or removed.
    pub lost_keys: u64,
}

/// What an opening made of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checkpoint {
    /// There is none.
    #[default]
    None,
    /// The pool was opened from it.
    Used {
        /// What it takes on the medium, in bytes.
        bytes: u64,
    },
    /// There is something, but it was not used: every record was read instead, and nothing is lost.
    Refused {
        /// Why, for people.
        why: &'static str,
    },
}

/// How the log ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tail {
    /// By a clean shutdown, or nothing was ever written: every record of the log was accounted for.
    #[default]
    Clean,
    /// Without a clean shutdown, after the last complete batch. Everything acknowledged is there, provided that the
    /// medium did not damage the very end of the log.
    Unclean,
    /// In a batch that was being written and was never acknowledged. What precedes the first unreadable byte is kept,
    /// what follows was cut off.
    Torn {
        /// Where the cut is, in bytes from the medium's start.
        offset: u64,
        /// Valid records of the torn batch that lay behind the cut.
        discarded: u64,
    },
}

/// A byte range of the medium that is not what it was written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What the range held.
    pub kind: DamageKind,
    /// First byte, from the medium's start.
    pub offset: u64,
    /// Bytes affected at most.
    pub len: u64,
}

/// What a damaged range held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DamageKind {
    /// Reserved bytes that should be zero. Nothing is lost by that.
    Reserved,
    /// One of the two superblocks; the other one was used.
    Superblock,
    /// One of the two history records, or both: then the history's id is that which the pool began with.
    History,
    /// One of the two headers of a segment; the other one was used.
    SegmentHeader,
    /// Both headers of a segment: what the segment held is not readable.
    Segment,
    /// The headers of another segment of the pool: segments were swapped or copied.
    MisplacedSegment,
    /// A segment as it was at an earlier time: what was written to it since is missing, or what was removed from it is
    /// back.
    Outdated,
    /// Several segments among these as they were at an earlier time, it is not known which: what was written to them
    /// since is missing, or what was removed from them is back.
    OutdatedSomewhere,
    /// Records that count, but do not follow from those before them: they are of another history of the pool, or those
    /// are.
    OtherHistory,
    /// One or more records.
    Records,
    /// Parts of a large value: the key is there, its value is not readable.
    Value,
    /// A part of a checkpoint, or one that is not of this end of the log. All records were read instead, and nothing is
    /// lost.
    Checkpoint,
    /// Anything: the medium cannot read the bytes any more, or scrubbing has found them changed.
    Media,
    /// Both copies of the list of bad ranges: what is bad is not known until it is met again.
    BadRanges,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DamageKind::Reserved => "reserved, and not zero (nothing is lost)",
            DamageKind::Superblock => "one of the two superblocks (the other one is used)",
            DamageKind::History => "a history record (the other one is used, or else the pool's first id)",
            DamageKind::SegmentHeader => "one of the two headers of a segment (the other one is used)",
            DamageKind::Segment => "both headers of a segment: its records are not readable",
            DamageKind::MisplacedSegment => "another segment of the pool: segments were swapped or copied",
            DamageKind::Outdated => "a segment as it was earlier: parts of an image were lost, or restored",
            DamageKind::OutdatedSomewhere => {
                "several segments among these as they were earlier, not known which: parts of an image were lost, or restored"
            }
            DamageKind::OtherHistory => {
                "a batch that does not follow from the one before: parts of images of one pool were mixed"
            }
            DamageKind::Records => "records",
            DamageKind::Value => "parts of a large value",
            DamageKind::Checkpoint => "a checkpoint (all records were read instead: nothing is lost)",
            DamageKind::Media => "unreadable, or not as it was written any more: set aside",
            DamageKind::BadRanges => "both copies of the list of bad ranges",
        };
        write!(f, "bytes {:#x}..{:#x}: {what}", self.offset, self.offset + self.len)
    }
}

/// A pool's running statistics. Counts are since the pool was opened, sizes are of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The most bytes of live records (keys, values and their headers) that the pool takes.
    pub capacity_bytes: u64,
    /// Bytes of the medium in segments that hold records.
    pub used_bytes: u64,
    /// Bytes of live records.
    pub live_bytes: u64,
    /// Bytes of the medium in free segments and behind the log's head.
    pub free_bytes: u64,
    /// Bytes that are set aside because they are damaged.
    pub quarantined_bytes: u64,
    /// Bytes that the medium cannot read any more.
    pub bad_bytes: u64,
    /// Keys whose values are lost with those: reading one is an error until it is written anew or removed.
    pub lost_keys: u64,
    /// Places that were found not to be as they were written, by the opening and since.
    pub damaged_places: u64,
    /// Keys.
    pub keys: u64,
    /// Keys with an expiry. `None` if that is not known, because the pool was opened from a checkpoint of a version
    /// that did not count them.
    pub expiring_keys: Option<u64>,
    /// When these expire on average, in milliseconds of Unix time. `None` if there are none.
    pub mean_expiry_ms: Option<u64>,
    /// Which history of changes the pool is of, and how far in it. `None` in a pool of version 1, which does not tell.
    pub history: Option<History>,
    /// DRAM that the index takes, in bytes.
    pub index_bytes: u64,
    /// DRAM that the pool takes for everything else that grows, in bytes.
    pub other_bytes: u64,
    /// Turns.
    pub turns: u64,
    /// Batches committed, those of cleaning among them.
    pub commits: u64,
    /// Operations committed: values set and keys removed by programs.
    pub operations: u64,
    /// Segments cleaned and freed.
    pub segments_cleaned: u64,
    /// Bytes of live records that cleaning moved.
    pub bytes_moved: u64,
    /// What was done to the medium: grants, bytes stored, lines written back, fences.
    pub medium: Counters,
}
