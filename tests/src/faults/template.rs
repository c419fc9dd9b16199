//! The images that every run begins with: a pool that is about half full of acknowledged records, and a device that
//! nobody ever gets a grant for.
//!
//! What is free in the pool, and the whole of the other device, holds a pattern, so that any byte that is stored there
//! shows.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pmem::pool::Tail;
use pmem::{Device, FormatOptions, Pool};
use xtask::size::MIB;

use super::load::{Known, Ledger, prefilled_key};
use fastrand::Rng;

use crate::pattern::piece;
use crate::random::random_bytes;

/// The length of each of the two images.
pub const LENGTH: u64 = 16 * MIB;
/// The length of a segment of the pool.
pub const SEGMENT: u64 = 256 << 10;
/// Where segments begin (docs/pool-format.md).
pub const FIRST_SEGMENT: u64 = 64 << 10;
/// The length of the area of a superblock; the second one is at the image's end.
pub const SUPERBLOCK: u64 = 4096;
/// What the header of a segment begins with, by what the segment is for, and where its generation is; the header at the
/// segment's end is equal.
const USED: &[u8; 8] = b"HFSEGUSE";
const FREE: &[u8; 8] = b"HFSEGFRE";
const CHECKPOINT: &[u8; 8] = b"HFSEGCKP";
const GENERATION: Range<usize> = 8..16;
/// Where the root of the checkpoint is that a clean shutdown leaves. The next opening makes it zero.
const ROOT: Range<u64> = 4096..4096 + 64;
/// The length of a segment's header.
pub const HEADER: u64 = 64;
/// How many records there are before the run.
const RECORDS: u64 = 4500;
/// How many of them are stored at once.
const BATCH: usize = 50;
/// How much of a file is compared at once: it stays in the processor's caches, and most of it is as it was.
const PIECE: usize = 128 << 10;
/// How much of that is looked at byte by byte if anything in it has changed.
const BLOCK: usize = 4096;
/// The seeds of the two patterns.
const POOL_PATTERN: u64 = 3;
const CANARY_PATTERN: u64 = 4;

/// The images, and what is known of them.
#[derive(Debug)]
pub struct Template {
    pool: Vec<u8>,
    canary: Vec<u8>,
    /// What the pool holds.
    pub ledger: Arc<Ledger>,
}

/// What a run has changed in the files, in any way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the pool's.
    pub pool: Vec<Range<u64>>,
    /// In the canary's.
    pub canary: Vec<Range<u64>>,
}

/// Where in the pool something lies, for who judges what has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The superblocks and what is kept beside them. Nothing is stored there in a run, except that the root of the
    /// checkpoint goes.
    Superblock,
    /// A segment that was full of acknowledged records before the run.
    Sealed,
    /// The inside of a segment that was never used, or holds the checkpoint; such a segment is freed when that was
    /// read.
    Unused,
    /// What the run stored, or may have stored.
    Active,
}

impl Template {
    /// Makes the images by the pool's own code, in `directory`, and keeps them in memory.
    ///
    /// # Errors
    /// When the files cannot be written, or the pool is not what this module takes it for.
    pub fn make(directory: &Path) -> io::Result<Self> {
        let path = directory.join("template.img");
        let _ = fs::remove_file(&path);
        let pattern = patterned(POOL_PATTERN);
        fs::write(&path, &pattern)?;
        let device = Device::open(&path).map_err(io::Error::other)?;
        let options = FormatOptions { segment_size: Some(SEGMENT as u32), ..FormatOptions::new(*b"holdfast faults!") };
        let mut pool = Pool::format(device, &options).map_err(io::Error::other)?;
        let (mut random, mut ledger) = (Rng::with_seed(11), Ledger::new());
        for first in (0..RECORDS).step_by(BATCH) {
            let (put, _receipt) = pool
                .turn(|turn| {
                    (first..first + BATCH as u64).try_for_each(|number| {
                        let (key, length) = (prefilled_key(number), 300 + random.u64(..2000));
                        let value = random_bytes(&mut random, length as usize);
                        turn.put(key.as_bytes(), &value, None)?;
                        ledger.insert(key, Known { acknowledged: Some(value), ..Known::default() });
                        Ok::<(), pmem::Error>(())
                    })
                })
                .map_err(io::Error::other)?;
            put.map_err(io::Error::other)?;
        }
        drop(pool.close().map_err(io::Error::other)?);
        let pool = fs::read(&path)?;
        fs::remove_file(&path)?;
        let template = Self { pool, canary: patterned(CANARY_PATTERN), ledger: Arc::new(ledger) };
        template.check(&pattern)?;
        Ok(template)
    }

    /// Checks that the pool has what the judgement relies on: sealed segments, and unused ones that hold the pattern.
    fn check(&self, pattern: &[u8]) -> io::Result<()> {
        let used = segments().filter(|segment| self.header(segment).starts_with(USED)).count();
        let checkpoint = segments().filter(|segment| self.header(segment).starts_with(CHECKPOINT)).count();
        let unused = segments().filter(|segment| generation(self.header(segment)) == 0);
        let mut bodies = unused.map(|segment| segment.start + HEADER..segment.end - HEADER).peekable();
        let whole = bodies.peek().is_some() && bodies.all(|body| slice(&self.pool, &body) == slice(pattern, &body));
        if used < 8 || checkpoint == 0 || !whole {
            let found = format!("{used} segments hold records, {checkpoint} a checkpoint");
            return Err(io::Error::other(format!("the pool's format is another one: {found}")));
        }
        Ok(())
    }

    /// Writes copies of the images: the pool's and the canary's.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn copy(&self, directory: &Path) -> io::Result<[PathBuf; 2]> {
        let paths = [directory.join("pmem0.img"), directory.join("pmem1.img")];
        fs::write(&paths[0], &self.pool)?;
        fs::write(&paths[1], &self.canary)?;
        Ok(paths)
    }

    /// Where bytes of the files have changed.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn changes(&self, [pool, canary]: [&Path; 2]) -> io::Result<Changes> {
        Ok(Changes { pool: changes(&self.pool, pool)?, canary: changes(&self.canary, canary)? })
    }

    /// Makes files in which nothing but that has changed what [`copy`](Self::copy) writes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn restore(&self, paths: &[PathBuf; 2], changes: &Changes) -> io::Result<()> {
        for (path, image, changes) in
            [(&paths[0], &self.pool, &changes.pool), (&paths[1], &self.canary, &changes.canary)]
        {
            let file = OpenOptions::new().write(true).open(path)?;
            changes.iter().try_for_each(|change| file.write_all_at(slice(image, change), change.start))?;
        }
        Ok(())
    }

    /// Which of these changes of the pool's image nobody had to make, and what was there. What the run stored as it
    /// should is not among them, and what it did to that has to be judged by reading the records.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn overwritten(&self, path: &Path, changes: &[Range<u64>]) -> io::Result<Vec<(Range<u64>, Area)>> {
        let areas = self.areas(&open_image(path)?)?;
        let found = changes.iter().flat_map(|change| {
            let touched = areas.iter().filter(move |(area, _)| area.start < change.end && change.start < area.end);
            let clipped = move |(area, kind): &(Range<u64>, Area)| {
                (change.start.max(area.start)..change.end.min(area.end), *kind)
            };
            touched.map(clipped).collect::<Vec<_>>()
        });
        Ok(found.filter(|(_, area)| *area != Area::Active).collect())
    }

    /// What every part of the pool is for, in a run that left it as `now`.
    fn areas(&self, now: &File) -> io::Result<Vec<(Range<u64>, Area)>> {
        let root = if header(now, ROOT.start)? == [0; HEADER as usize] { Area::Active } else { Area::Superblock };
        let mut areas = vec![
            (0..ROOT.start, Area::Superblock),
            (ROOT, root),
            (ROOT.end..FIRST_SEGMENT, Area::Superblock),
            (LENGTH - SUPERBLOCK..LENGTH, Area::Superblock),
        ];
        let used = segments().filter(|segment| self.header(segment).starts_with(USED));
        let newest = used.max_by_key(|segment| generation(self.header(segment)));
        let most = segments().map(|segment| generation(self.header(&segment))).max().unwrap_or(0);
        for segment in segments() {
            let (before, now_there) = (self.header(&segment), header(now, segment.start)?);
            let is_checkpoint = before.starts_with(CHECKPOINT);
            let unused = is_checkpoint || generation(before) == 0;
            // The run takes free segments into use one after the other; a header that only looks so is not believed.
            let taken = now_there.starts_with(USED) && (most + 1..most + 40).contains(&generation(&now_there));
            let area = match unused {
                true if taken => Area::Active,
                true => Area::Unused,
                false if newest.as_ref() == Some(&segment) => Area::Active,
                false => Area::Sealed,
            };
            if is_checkpoint && area == Area::Unused {
                areas.extend(freed(now, &segment)?);
            } else {
                areas.push((segment, area));
            }
        }
        let end = segments().last().map_or(FIRST_SEGMENT, |segment| segment.end);
        areas.push((end..LENGTH - SUPERBLOCK, Area::Unused));
        Ok(areas)
    }

    /// The image of the pool from a segment's header on.
    fn header(&self, segment: &Range<u64>) -> &[u8] {
        &self.pool[segment.start as usize..]
    }
}

/// Every segment of the pool.
fn segments() -> impl Iterator<Item = Range<u64>> {
    let count = (LENGTH - SUPERBLOCK - FIRST_SEGMENT) / SEGMENT;
    (0..count).map(|index| FIRST_SEGMENT + index * SEGMENT..FIRST_SEGMENT + (index + 1) * SEGMENT)
}

/// What a file has where a header may be.
fn header(file: &File, at: u64) -> io::Result<[u8; HEADER as usize]> {
    let mut bytes = [0; HEADER as usize];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// The parts of a segment that held the checkpoint: freeing it changes the first word of each of its two headers.
fn freed(now: &File, segment: &Range<u64>) -> io::Result<[(Range<u64>, Area); 4]> {
    let (first, second) = (segment.start, segment.end - HEADER);
    let word = |at: u64| {
        let area = if header(now, at)?.starts_with(FREE) { Area::Active } else { Area::Unused };
        Ok::<_, io::Error>((at..at + 8, area))
    };
    let between = (first + 8..second, Area::Unused);
    Ok([word(first)?, between, word(second)?, (second + 8..segment.end, Area::Unused)])
}

/// The generation in a segment's header.
fn generation(header: &[u8]) -> u64 {
    header[GENERATION].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn slice<'a>(image: &'a [u8], range: &Range<u64>) -> &'a [u8] {
    &image[range.start as usize..range.end as usize]
}

fn patterned(seed: u64) -> Vec<u8> {
    let mut image = Vec::with_capacity(LENGTH as usize);
    while image.len() < LENGTH as usize {
        let offset = image.len();
        image.extend_from_slice(piece(seed, offset as u64, LENGTH as usize - offset));
    }
    image
}

fn open_image(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.len() == LENGTH { Ok(file) } else { Err(io::Error::other("the image has another length")) }
}

/// The ranges of bytes of a file that are not as `before` has them.
fn changes(before: &[u8], path: &Path) -> io::Result<Vec<Range<u64>>> {
    let file = open_image(path)?;
    let (mut piece, mut changes) = (vec![0; PIECE], Vec::<Range<u64>>::new());
    for (before, start) in before.chunks(PIECE).zip((0..).step_by(PIECE)) {
        let now = &mut piece[..before.len()];
        file.read_exact_at(now, start)?;
        let blocks = before.chunks(BLOCK).zip(now.chunks(BLOCK)).zip((start..).step_by(BLOCK));
        for ((before, now), start) in blocks.filter(|((before, now), _)| before != now) {
            for (at, _) in (start..).zip(before.iter().zip(now)).filter(|(_, (was, is))| was != is) {
                match changes.last_mut() {
                    // Bytes that happen to be as before do not divide what was stored at once.
                    Some(last) if at < last.end + 16 => last.end = at + 1,
                    _ => changes.push(at..at + 1),
                }
            }
        }
    }
    Ok(changes)
}

/// Changes an image at one place, as a stray store would: for tests of who judges.
///
/// # Errors
/// When the file cannot be written.
pub fn doctor(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all_at(bytes, offset)
}

/// Opens the pool as a boot would, with repairs that the file does not get. What is in the way of that is for people.
pub(super) fn open(path: &Path) -> Result<Pool<Device>, String> {
    let device = Device::open_copy_on_write(path).map_err(|error| error.to_string())?;
    Pool::open(device).map_err(|error| error.to_string())
}

/// How a pool's log ended, for people.
pub(super) fn tail(tail: Tail) -> String {
    match tail {
        Tail::Clean => "clean".into(),
        Tail::Unclean => "unclean".into(),
        Tail::Torn { offset, discarded } => format!("torn at {offset:#x}, {discarded} records discarded"),
    }
}
