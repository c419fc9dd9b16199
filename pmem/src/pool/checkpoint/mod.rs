//! Checkpoints: what recovery would find, written at a clean shutdown, so that the next opening need not look for it.
//!
//! Owns: the root line, the blocks and where they lie, writing them (`write`), judging them (`open`, `digest`), reading
//! them one by one while the pool is in use (`load`), and verifying the records that an opening from them did not read
//! (`verify`). Never: anything that counts by itself. A checkpoint repeats what the log says; whatever is wrong with it
//! costs time, never a key.
//!
//! A checkpoint is *blocks* in a row: the sums, the table of segments, counts of superseded puts, pages of the two
//! indices, and last the directory, which says where each of the others is. The row lies in segments that hold nothing
//! else. A block has a checksum of its own, salted with the checkpoint's identity and the block's number.

mod digest;
mod held;
mod load;
mod open;
mod unread;
mod unverified;
mod verify;
mod write;

use held::Held;
pub(crate) use open::Verdict;
pub(crate) use unread::Unread;
use unverified::Unverified;
pub use write::Shutdown;

use alloc::vec::Vec;
use core::ops::Range;

use crate::crc32c::Crc32c;
use crate::error::Error;
use crate::medium::{LINE, Load, LoadError, Store};
use crate::pool::format::{block as block_field, root as field};
use crate::pool::segment::HEADER;
use crate::pool::shadow_counts::ShadowCounts;
use crate::pool::superblock::Geometry;

const _: () = assert!(field::LEN as u64 == LINE, "the root is one line");

/// Where the root is, in bytes from the medium's start.
pub(crate) const ROOT: u64 = 4096;
/// How a root begins.
const MAGIC: [u8; 8] = *b"HFCHKPNT";
/// Bytes of a block's header.
const BLOCK_HEADER: usize = block_field::LEN;
/// Bytes of what the first block says.
const SUMS: usize = 88;
/// The same, without the keys with an expiry.
const UNCOUNTED_SUMS: usize = 64;
/// Segments in a block of the table.
const TABLE_SEGMENTS: u32 = 512;
/// Bytes of a segment in the table.
const TABLE_ENTRY: usize = 32;
/// Blocks in a block of the directory.
const DIRECTORY_BLOCKS: u32 = 256;
/// Bytes of a block of the directory: the places of its blocks, and of the end of the last of them.
const DIRECTORY_LEN: usize = BLOCK_HEADER + 8 * (DIRECTORY_BLOCKS as usize + 1);

/// The line that makes a checkpoint count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    /// The batch of the *close* that the checkpoint belongs to.
    batch: u64,
    /// Where that batch is: its segment, and the place in it.
    segment: u32,
    at: u32,
    /// The generation of the first of the segments that hold the blocks; those of the others follow.
    generation: u64,
    segments: u32,
    /// How many blocks there are, without the directory.
    blocks: u32,
    /// Where the directory begins, in bytes from the first block.
    directory: u64,
    /// The digest of all segments, those of the checkpoint among them.
    digest: u64,
}

impl Root {
    fn encode(&self, uuid: &[u8; 16]) -> [u8; LINE as usize] {
        let mut bytes = [0; LINE as usize];
        field::MAGIC.put(&mut bytes, MAGIC);
        field::BATCH.put(&mut bytes, self.batch.to_le_bytes());
        field::SEGMENT.put(&mut bytes, self.segment.to_le_bytes());
        field::AT.put(&mut bytes, self.at.to_le_bytes());
        field::GENERATION.put(&mut bytes, self.generation.to_le_bytes());
        field::SEGMENTS.put(&mut bytes, self.segments.to_le_bytes());
        field::BLOCKS.put(&mut bytes, self.blocks.to_le_bytes());
        field::DIRECTORY.put(&mut bytes, self.directory.to_le_bytes());
        field::DIGEST.put(&mut bytes, self.digest.to_le_bytes());
        let checksum = Crc32c::new().update(uuid).update(&bytes[..field::CHECKSUM.at]).value();
        field::CHECKSUM.put(&mut bytes, checksum.to_le_bytes());
        bytes
    }

    /// `None` if the bytes are no root of this pool.
    fn decode(bytes: &[u8; LINE as usize], uuid: &[u8; 16]) -> Option<Root> {
        let root = Root {
            batch: field::BATCH.u64(bytes),
            segment: field::SEGMENT.u32(bytes),
            at: field::AT.u32(bytes),
            generation: field::GENERATION.u64(bytes),
            segments: field::SEGMENTS.u32(bytes),
            blocks: field::BLOCKS.u32(bytes),
            directory: field::DIRECTORY.u64(bytes),
            digest: field::DIGEST.u64(bytes),
        };
        // What is not read must be as it is written, too.
        (root.encode(uuid) == *bytes).then_some(root)
    }

    /// What salts the checksums of the blocks.
    fn salt(&self, uuid: &[u8; 16]) -> Crc32c {
        Crc32c::new().update(uuid).update(&self.generation.to_le_bytes()).update(&self.batch.to_le_bytes())
    }

    /// The generations of the segments that hold the blocks.
    fn generations(&self) -> Range<u64> {
        self.generation..self.generation.saturating_add(u64::from(self.segments))
    }

    /// Where the blocks and the directory end, in bytes from the first block.
    fn end(&self) -> u64 {
        self.directory + u64::from(self.blocks.div_ceil(DIRECTORY_BLOCKS)) * DIRECTORY_LEN as u64
    }
}

/// Makes what is in the root's place no root.
pub(crate) fn invalidate(store: &impl Store) -> Result<(), Error> {
    store.fill(ROOT, LINE, 0)?;
    store.write_back(ROOT..ROOT + LINE)?;
    store.fence();
    Ok(())
}

/// Which blocks there are, by their numbers. The sums are block 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    tables: u32,
    shadow_parts: u32,
    key_pages: u32,
    chunk_pages: u32,
}

impl Layout {
    fn new(geometry: &Geometry, shadows: &ShadowCounts, key_pages: u32, chunk_pages: u32) -> Layout {
        Layout {
            tables: geometry.segments.div_ceil(TABLE_SEGMENTS),
            shadow_parts: shadows.parts(),
            key_pages,
            chunk_pages,
        }
    }

    fn table(&self, number: u32) -> u32 {
        1 + number
    }

    fn shadows(&self, number: u32) -> u32 {
        self.table(self.tables) + number
    }

    fn key_page(&self, page: u32) -> u32 {
        self.shadows(self.shadow_parts) + page
    }

    fn chunk_page(&self, page: u32) -> u32 {
        self.key_page(self.key_pages) + page
    }

    fn blocks(&self) -> u32 {
        self.chunk_page(self.chunk_pages)
    }
}

/// Room for a block's header.
fn begin_block() -> Vec<u8> {
    Vec::from([0; BLOCK_HEADER])
}

/// Fills in the header of a block whose content is complete.
fn seal_block(salt: Crc32c, number: u32, block: &mut [u8]) {
    let len = block.len() as u32;
    block_field::BLOCK_LEN.put(block, len.to_le_bytes());
    block_field::NUMBER.put(block, number.to_le_bytes());
    let checksum = block_checksum(salt, block);
    block_field::CHECKSUM.put(block, checksum.to_le_bytes());
}

fn block_checksum(salt: Crc32c, block: &[u8]) -> u32 {
    salt.update(&block[block_field::CHECKSUM.end()..]).value()
}

/// The content of a block. `None` if it is not the one of this number.
fn open_block(salt: Crc32c, number: u32, block: &[u8]) -> Option<&[u8]> {
    let (header, content) = block.split_at_checked(BLOCK_HEADER)?;
    let mut expected = [0; BLOCK_HEADER];
    block_field::CHECKSUM.put(&mut expected, block_checksum(salt, block).to_le_bytes());
    block_field::BLOCK_LEN.put(&mut expected, (block.len() as u32).to_le_bytes());
    block_field::NUMBER.put(&mut expected, number.to_le_bytes());
    (header == expected).then_some(content)
}

/// The row of blocks, in the segments that hold it.
#[derive(Clone, Debug)]
struct Row {
    /// In the order of the row.
    segments: Vec<u32>,
}

impl Row {
    /// Bytes of the row in one segment.
    fn per_segment(geometry: &Geometry) -> u64 {
        u64::from(geometry.segment_size - 2 * HEADER)
    }

    /// Calls `each` with the place on the medium and the range in `len` bytes at `at` of every piece that lies in one
    /// segment.
    fn pieces(
        &self,
        geometry: &Geometry,
        at: u64,
        len: usize,
        mut each: impl FnMut(u64, Range<usize>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let per_segment = Self::per_segment(geometry);
        let mut done = 0;
        while done < len {
            let from = at + done as u64;
            let within = from % per_segment;
            let bytes = ((per_segment - within) as usize).min(len - done);
            // Beyond the row's end: whoever asked had a wrong place.
            let Some(segment) = self.segments.get((from / per_segment) as usize) else {
                return Err(Error::Damaged { offset: ROOT });
            };
            each(geometry.start_of(*segment) + u64::from(HEADER) + within, done..done + bytes)?;
            done += bytes;
        }
        Ok(())
    }

    fn read(&self, load: &impl Load, geometry: &Geometry, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.pieces(geometry, at, into.len(), |place, range| match load.load(place, &mut into[range.clone()]) {
            // No block is whole with that in it.
            Err(LoadError::Unreadable(_)) => {
                into[range].fill(0xFF);
                Ok(())
            }
            loaded => Ok(loaded?),
        })
    }

    /// Stores and begins to write back.
    fn write(&self, store: &impl Store, geometry: &Geometry, at: u64, bytes: &[u8]) -> Result<(), Error> {
        self.pieces(geometry, at, bytes.len(), |place, range| {
            let end = place + range.len() as u64;
            store.store(place, &bytes[range])?;
            Ok(store.write_back(place..end)?)
        })
    }

    /// Where a byte of the row lies on the medium.
    fn place(&self, geometry: &Geometry, at: u64) -> u64 {
        let mut found = ROOT;
        // A place beyond the row is the root's fault.
        let _ = self.pieces(geometry, at, 1, |place, _| {
            found = place;
            Ok(())
        });
        found
    }
}
