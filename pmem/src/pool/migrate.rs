//! Migrating a stopped pool of an older version of the format to the newest one, in place.
//!
//! No record is written again: each segment says by itself how its frames are to be read. The head is ended, so that
//! whatever follows goes into segments of the new version.

use crate::error::Error;
use crate::medium::{Medium, Store};
use crate::pool::log::Log;
use crate::pool::superblock::Superblock;
use crate::pool::superblock::history::HistoryRecord;
use crate::pool::{FORMAT_VERSION, Pool, refuse_unwritable};

/// What a migration came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migration {
    /// The pool has the newest version now.
    Done {
        /// The version that it had.
        from: u32,
    },
    /// It had the newest version already. Nothing was written.
    NotNeeded,
}

impl<M: Medium> Pool<M> {
    /// Makes the pool on `medium`, which nobody has opened, one of the newest version of the format. Its keys, its
    /// UUID and its division stay. A power cut leaves a pool of the one version or of the other; this finishes it then.
    ///
    /// The next opening reads every record.
    pub fn migrate(medium: M) -> Result<(M, Migration), Error> {
        refuse_unwritable(&medium)?;
        let found = medium.read(|load| Superblock::read(&load))??;
        let from = found.superblock.version;
        if from == FORMAT_VERSION && found.unfinished.is_none() {
            return Ok((medium, Migration::NotNeeded));
        }
        // Finishes what a power cut has left of a migration, too.
        let Pool { medium, mut log, .. } = Self::open(medium)?;
        if from != FORMAT_VERSION {
            medium.write(|store| {
                log.finish_reading(&store)?;
                log.migrate(&store)
            })??;
        }
        Ok((medium, Migration::Done { from }))
    }
}

impl Log {
    fn migrate(&mut self, store: &impl Store) -> Result<(), Error> {
        if let Some(head) = self.frontier.head() {
            self.seal(store, head.at)?;
        }
        self.change_superblock(store, |superblock| {
            superblock.version = FORMAT_VERSION;
            superblock.history = Some(HistoryRecord::begin(&superblock.uuid));
        })
    }
}
