//! Reading a checkpoint's blocks while the pool is in use: each when it is first needed, the others by and by.
//!
//! A block that is not as it was written ends the checkpoint: the log is read as after a crash, in place, and what the
//! checkpoint said is forgotten. When all blocks were read, the segments that hold them become free.

use alloc::vec::Vec;
use core::ops::Range;

use super::held::Held;
use super::{BLOCK_HEADER, ROOT};
use crate::error::Error;
use crate::medium::{Load, Store};
use crate::pool::catalog::Which;
use crate::pool::index::Missing;
use crate::pool::log::Log;
use crate::pool::record::{Kind, Large};
use crate::pool::recover::Source;
use crate::pool::report::DamageKind;
use crate::pool::segment::State;

impl Log {
    /// Whether there is anything left that an opening from a checkpoint did not read.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread.is_any()
    }

    /// Makes sure that chunks of a large value can be found.
    pub(crate) fn ready_chunks(&mut self, load: &impl Load, large: &Large, chunks: Range<u32>) -> Result<(), Error> {
        if self.is_unread() {
            for chunk in chunks {
                self.ready(load, Which::Chunks, self.hash(&large.chunk_key(chunk)))?;
            }
        }
        Ok(())
    }

    /// Makes sure that the index can take what is staged, and give up what that replaces: when it is durable, it is too
    /// late to read anything.
    pub(crate) fn ready_for_staged(&mut self, load: &impl Load) -> Result<(), Error> {
        if !self.is_unread() || self.stage.is_clearing() {
            return Ok(());
        }
        for position in 0..self.stage.op_count() {
            let hash = self.stage.hash_of(position);
            let Some((kind, key)) = self.stage.op(position) else { continue };
            if kind == Kind::Chunk {
                self.ready(load, Which::Chunks, hash)?;
                continue;
            }
            let key = Vec::from(key);
            self.ready(load, Which::Keys, hash)?;
            if let Some(found) = self.find(load, hash, &key).ok().flatten()
                && found.header.kind == Kind::PutLarge
                && let Ok(large) = self.large(load, &found)
            {
                self.ready_chunks(load, &large, 0..large.chunks())?;
            }
        }
        Ok(())
    }

    /// Reads a page of an index.
    pub(crate) fn read_page(&mut self, load: &impl Load, which: Which, Missing(page): Missing) -> Result<(), Error> {
        let number = self.unread.held.as_ref().map(|held| match which {
            Which::Keys => held.layout.key_page(page),
            Which::Chunks => held.layout.chunk_page(page),
        });
        self.read_number(load, number.unwrap_or(u32::MAX))
    }

    /// Reads a block, unless it is one of the pages that were read before.
    fn read_number(&mut self, load: &impl Load, number: u32) -> Result<(), Error> {
        let Some(mut held) = self.unread.held.take() else { return self.read_log(load, None) };
        let geometry = *self.geometry();
        let sound = self.take_block(load, &mut held, number);
        let range = held.place_of(load, &geometry, number).unwrap_or(None);
        let place = range.map_or(ROOT, |range| held.row.place(&geometry, range.start));
        let spoilt = held.spoilt;
        self.unread.held = Some(held);
        match sound {
            Ok(true) => Ok(()),
            Err(error @ Error::NoMemory { .. }) => Err(error),
            // A place beyond the row is as wrong as a checksum.
            Ok(false) | Err(_) => self.read_log(load, (!spoilt).then_some(place)),
        }
    }

    /// Takes over what a block says, unless it is one of the pages that were read before. `false` if it is not as it
    /// was written.
    fn take_block(&mut self, load: &impl Load, held: &mut Held, number: u32) -> Result<bool, Error> {
        let (geometry, layout) = (*self.geometry(), held.layout);
        let missing = match number {
            _ if number >= layout.chunk_page(0) => self.catalog.chunks().is_missing(number - layout.chunk_page(0)),
            _ if number >= layout.key_page(0) => self.catalog.keys().is_missing(number - layout.key_page(0)),
            _ => true,
        };
        if !missing || held.spoilt {
            return Ok(!missing);
        }
        Ok(match held.read_block(load, &geometry, number)? {
            None => false,
            Some(content) if number >= layout.chunk_page(0) => {
                self.catalog.take_page(Which::Chunks, number - layout.chunk_page(0), content, geometry.len)?
            }
            Some(content) if number >= layout.key_page(0) => {
                self.catalog.take_page(Which::Keys, number - layout.key_page(0), content, geometry.len)?
            }
            Some(content) if number >= layout.shadows(0) => {
                self.catalog.take_shadows(number - layout.shadows(0), content)
            }
            Some(_) => false,
        })
    }

    /// Reads on: at most `blocks` blocks that are still to be read. Says whether any are left.
    pub(crate) fn read_on(&mut self, load: &impl Load, blocks: u32) -> Result<bool, Error> {
        let mut read = 0;
        while read < blocks {
            let Some(held) = &self.unread.held else { return Ok(false) };
            let number = held.next.max(held.layout.shadows(0));
            if number >= held.layout.blocks() {
                return Ok(false);
            }
            let layout = held.layout;
            let done = number >= layout.key_page(0)
                && match number >= layout.chunk_page(0) {
                    true => !self.catalog.chunks().is_missing(number - layout.chunk_page(0)),
                    false => !self.catalog.keys().is_missing(number - layout.key_page(0)),
                };
            if !done {
                // If that fails, and so does reading the log instead, it is as missing as before.
                self.read_number(load, number)?;
                read += 1;
            }
            if let Some(held) = &mut self.unread.held {
                held.next = held.next.max(number + 1);
            }
        }
        Ok(self.unread.held.as_ref().is_some_and(|held| held.next < held.layout.blocks()))
    }

    /// Reads all that is left, and frees the segments.
    pub(crate) fn finish_reading(&mut self, store: &impl Store) -> Result<(), Error> {
        if self.unread.has_checkpoint() {
            self.read_on(store, u32::MAX)?;
            self.release_checkpoint(store)?;
        } else if self.catalog.keys().is_missing(0) {
            self.read_log(store, None)?;
        }
        Ok(())
    }

    /// Frees the segments that hold the checkpoint: it was read, or is of no use any more.
    pub(crate) fn release_checkpoint(&mut self, store: &impl Store) -> Result<(), Error> {
        let Some(held) = self.unread.held.take() else { return Ok(()) };
        for segment in held.row.segments {
            if self.space.segment(segment).state == State::Checkpoint {
                self.release(store, segment)?;
            }
        }
        store.fence();
        self.replan();
        Ok(())
    }

    /// Reads the log instead of the checkpoint, because bytes of either are not as they were written; those at
    /// `damaged` are the checkpoint's. Everything that is durable is in the log, so the state of now is what it
    /// tells.
    ///
    /// The index that the checkpoint told is given back before. Where that is not DRAM enough, none of it is there, and
    /// whoever needs a page of it comes here again.
    pub(super) fn read_log(&mut self, load: &impl Load, damaged: Option<u64>) -> Result<(), Error> {
        self.catalog.forget_pages();
        if let Some(held) = &mut self.unread.held {
            held.spoilt = true;
        }
        let (scanned, _repairs) = Log::recover(load, Source::Records, self.catalog.memory_limit())?;
        // What is staged still finds its room.
        self.catalog.take_scanned(scanned.catalog)?;
        self.space.recount(&scanned.space);
        self.findings.extend(scanned.findings.into_report().damage);
        if let Some(place) = damaged {
            self.note_damage(DamageKind::Checkpoint, place, BLOCK_HEADER as u64);
        }
        self.unread.unverified = None;
        self.stage.recount();
        if let Some(held) = &mut self.unread.held {
            held.next = held.layout.blocks();
        }
        self.replan();
        Ok(())
    }
}
