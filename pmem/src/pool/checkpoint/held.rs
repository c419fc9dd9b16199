//! A checkpoint that is read block by block: where its blocks are, and which of them were not read yet.

use alloc::vec::Vec;
use core::ops::Range;

use super::{DIRECTORY_BLOCKS, DIRECTORY_LEN, Layout, Root, Row, open_block};
use crate::crc32c::Crc32c;
use crate::error::Error;
use crate::medium::Load;
use crate::pool::dram;
use crate::pool::superblock::Geometry;

/// A checkpoint that the pool was opened from and that still holds segments.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) layout: Layout,
    salt: Crc32c,
    pub(super) row: Row,
    blocks: u32,
    directory: u64,
    /// The part of the directory that was read last, and its places.
    places: Option<(u32, Vec<u64>)>,
    block: Vec<u8>,
    /// The checkpoint is not as it was written: only the log counts.
    pub(super) spoilt: bool,
    /// The next block that is to be read if nobody needs another one before.
    pub(super) next: u32,
}

impl Held {
    pub(super) fn new(uuid: &[u8; 16], root: &Root, row: Row) -> Held {
        Held {
            layout: Layout { tables: 0, shadow_parts: 0, key_pages: 0, chunk_pages: 0 },
            salt: root.salt(uuid),
            row,
            blocks: root.blocks,
            directory: root.directory,
            places: None,
            block: Vec::new(),
            spoilt: false,
            next: 0,
        }
    }

    /// The content of a block; no bytes if it was left out. `None` if it is not as it was written.
    pub(super) fn read_block(
        &mut self,
        load: &impl Load,
        geometry: &Geometry,
        number: u32,
    ) -> Result<Option<&[u8]>, Error> {
        let Some(range) = self.place_of(load, geometry, number)? else { return Ok(None) };
        if range.is_empty() {
            return Ok(Some(&[]));
        }
        dram::resize(&mut self.block, (range.end - range.start) as usize)?;
        self.row.read(load, geometry, range.start, &mut self.block)?;
        Ok(open_block(self.salt, number, &self.block))
    }

    /// Where a block is, in bytes from the first one. `None` if the directory is not as it was written.
    pub(super) fn place_of(
        &mut self,
        load: &impl Load,
        geometry: &Geometry,
        number: u32,
    ) -> Result<Option<Range<u64>>, Error> {
        let part = number / DIRECTORY_BLOCKS;
        if self.places.as_ref().is_none_or(|(known, _)| *known != part) {
            let mut block = [0; DIRECTORY_LEN];
            let at = self.directory + u64::from(part) * DIRECTORY_LEN as u64;
            self.row.read(load, geometry, at, &mut block)?;
            let Some(content) = open_block(self.salt, self.blocks + part, &block) else { return Ok(None) };
            let (places, _) = content.as_chunks::<8>();
            self.places = Some((part, places.iter().map(|place| u64::from_le_bytes(*place)).collect()));
        }
        let within = (number % DIRECTORY_BLOCKS) as usize;
        let places =
            self.places.as_ref().and_then(|(_, places)| Some((*places.get(within)?, *places.get(within + 1)?)));
        // A block is shorter than a segment, unless its checksum lies: no more is ever asked of DRAM.
        Ok(places.filter(|(from, to)| from <= to && *to <= self.directory).map(|(from, to)| from..to))
    }
}
