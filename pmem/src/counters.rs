//! The counters behind [`Counters`], as media keep them: shared by the scopes of one medium.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::medium::Counters;

/// Running totals. They order nothing, so every access is relaxed.
#[derive(Debug, Default)]
pub(crate) struct SharedCounters {
    read_grants: AtomicU64,
    write_grants: AtomicU64,
    bytes_loaded: AtomicU64,
    bytes_stored: AtomicU64,
    bytes_streamed: AtomicU64,
    lines_written_back: AtomicU64,
    fences: AtomicU64,
}

impl SharedCounters {
    pub(crate) fn read_grant(&self) {
        self.read_grants.fetch_add(1, Relaxed);
    }

    pub(crate) fn write_grant(&self) {
        self.write_grants.fetch_add(1, Relaxed);
    }

    pub(crate) fn loaded(&self, bytes: u64) {
        self.bytes_loaded.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn stored(&self, bytes: u64) {
        self.bytes_stored.fetch_add(bytes, Relaxed);
    }

    /// Bytes stored past the caches.
    pub(crate) fn streamed(&self, bytes: u64) {
        self.stored(bytes);
        self.bytes_streamed.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn written_back(&self, lines: u64) {
        self.lines_written_back.fetch_add(lines, Relaxed);
    }

    pub(crate) fn fence(&self) {
        self.fences.fetch_add(1, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Counters {
        Counters {
            read_grants: self.read_grants.load(Relaxed),
            write_grants: self.write_grants.load(Relaxed),
            bytes_loaded: self.bytes_loaded.load(Relaxed),
            bytes_stored: self.bytes_stored.load(Relaxed),
            bytes_streamed: self.bytes_streamed.load(Relaxed),
            lines_written_back: self.lines_written_back.load(Relaxed),
            fences: self.fences.load(Relaxed),
        }
    }
}
