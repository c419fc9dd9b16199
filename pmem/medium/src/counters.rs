//! What is counted of a medium: each event once, by whoever does it.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of what was done to a medium. Exact where times are noisy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Read scopes entered.
    pub read_grants: u64,
    /// Write scopes entered.
    pub write_grants: u64,
    /// Bytes loaded.
    pub bytes_loaded: u64,
    /// Bytes stored.
    pub bytes_stored: u64,
    /// Of these, bytes stored past the caches, which need no write-back.
    pub bytes_streamed: u64,
    /// Cache lines that were to be written back. None where the platform flushes caches when power fails (eADR).
    pub lines_written_back: u64,
    /// Fences.
    pub fences: u64,
    /// System calls of fences, by which a kernel brings what was stored to a disk.
    pub syncs: u64,
}

impl Counters {
    /// What was done since `earlier`, when the same medium was counted.
    pub fn since(&self, earlier: &Counters) -> Counters {
        Counters {
            read_grants: self.read_grants - earlier.read_grants,
            write_grants: self.write_grants - earlier.write_grants,
            bytes_loaded: self.bytes_loaded - earlier.bytes_loaded,
            bytes_stored: self.bytes_stored - earlier.bytes_stored,
            bytes_streamed: self.bytes_streamed - earlier.bytes_streamed,
            lines_written_back: self.lines_written_back - earlier.lines_written_back,
            fences: self.fences - earlier.fences,
            syncs: self.syncs - earlier.syncs,
        }
    }
}

/// Running totals, as a medium keeps them for all of its scopes. They order nothing, so every access is relaxed.
#[derive(Debug, Default)]
pub struct SharedCounters {
    read_grants: AtomicU64,
    write_grants: AtomicU64,
    bytes_loaded: AtomicU64,
    bytes_stored: AtomicU64,
    bytes_streamed: AtomicU64,
    lines_written_back: AtomicU64,
    fences: AtomicU64,
    syncs: AtomicU64,
}

impl SharedCounters {
    /// A read scope is entered.
    pub fn read_grant(&self) {
        self.read_grants.fetch_add(1, Relaxed);
    }

    /// A write scope is entered.
    pub fn write_grant(&self) {
        self.write_grants.fetch_add(1, Relaxed);
    }

    /// Bytes are loaded.
    pub fn loaded(&self, bytes: u64) {
        self.bytes_loaded.fetch_add(bytes, Relaxed);
    }

    /// Bytes are stored.
    pub fn stored(&self, bytes: u64) {
        self.bytes_stored.fetch_add(bytes, Relaxed);
    }

    /// Bytes are stored past the caches.
    pub fn streamed(&self, bytes: u64) {
        self.stored(bytes);
        self.bytes_streamed.fetch_add(bytes, Relaxed);
    }

    /// Cache lines are written back.
    pub fn written_back(&self, lines: u64) {
        self.lines_written_back.fetch_add(lines, Relaxed);
    }

    /// A fence.
    pub fn fence(&self) {
        self.fences.fetch_add(1, Relaxed);
    }

    /// A system call of a fence.
    pub fn sync(&self) {
        self.syncs.fetch_add(1, Relaxed);
    }

    /// The totals of now.
    pub fn snapshot(&self) -> Counters {
        Counters {
            read_grants: self.read_grants.load(Relaxed),
            write_grants: self.write_grants.load(Relaxed),
            bytes_loaded: self.bytes_loaded.load(Relaxed),
            bytes_stored: self.bytes_stored.load(Relaxed),
            bytes_streamed: self.bytes_streamed.load(Relaxed),
            lines_written_back: self.lines_written_back.load(Relaxed),
            fences: self.fences.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
        }
    }
}
