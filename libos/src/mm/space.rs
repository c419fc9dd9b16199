//! The one address space.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use core::{iter, ptr};

use spin::Once;

use super::attributes::{Attributes, Permissions};
use super::layout::{PAGE, Section, image, pmem_base, pmem_physical_end, sections};
use super::page_table::{self, AddressSpace, FlushRange, Leaf, MapError, PageTable, Piece, TableMemory};
use super::ram::{allocate_frames, ram_ranges, release_frames};
use crate::arch::{interrupts, paging, percpu, shootdown};
use crate::paging::Mode;
use crate::sync::{IrqLock, class, might_sleep};

/// Page tables lie in frames of RAM and are reached by the identity mapping.
///
/// A frame that held a table is used for tables for ever: a lazy CPU is not disturbed by a shootdown, and until it
/// has dropped what it remembers it may still look a table up ahead of time, and would set marks in whatever is there.
#[derive(Debug)]
struct FrameTables {
    /// The first unused table; each has the next one's address in its first entry, which is thereby not present.
    spare: u64,
}

impl TableMemory for FrameTables {
    fn allocate(&mut self) -> Option<u64> {
        let physical = if self.spare == 0 { allocate_frames(1)? } else { self.spare };
        if physical == self.spare {
            // SAFETY: `release` wrote there, and nobody else has the frame.
            self.spare = unsafe { (physical as *const u64).read() };
        } else {
            TABLES.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the frame is ours alone, RAM, and identity mapped (by the boot mapping or by the final one).
        unsafe { ptr::write_bytes(physical as *mut u8, 0, PAGE as usize) };
        Some(physical)
    }

    fn release(&mut self, physical: u64) {
        // SAFETY: the frame came from `allocate`, and nothing leads to it any more.
        unsafe { (physical as *mut u64).write(self.spare) };
        self.spare = physical;
    }

    fn table(&self, physical: u64) -> &PageTable {
        // SAFETY: `physical` came from `allocate`, so it is an aligned, initialised frame that holds a table and
        // nothing else. It is not released below a reader: those who change tables hold `SPACE`'s lock, and
        // `translate`, which does not, disables interrupts, without which no flush that precedes a release
        // ends.
        unsafe { &*(physical as *const PageTable) }
    }
}

/// How many frames hold tables or have held one.
static TABLES: AtomicU64 = AtomicU64::new(0);

/// Bytes of the frames that hold page tables, or are kept for them.
pub(crate) fn table_bytes() -> u64 {
    TABLES.load(Ordering::Relaxed) * PAGE
}

static SPACE: IrqLock<Option<AddressSpace<FrameTables>>, class::Space> = IrqLock::new(None);

/// What never changes about the address space: for those who read it without the lock.
static LOADED: Once<(Mode, u64)> = Once::new();

/// Maps the image and all RAM, each page with its own attributes, and loads the tables.
pub(super) fn init(mode: Mode) -> Result<(), MapError> {
    let mut space = AddressSpace::new(FrameTables { spare: 0 }, mode)?;
    let image = image();
    space.map_pieces(image.start, &sections().map(Section::piece))?;
    for range in ram_ranges() {
        for part in [range.start..range.end.min(image.start), range.start.max(image.end)..range.end] {
            if part.start < part.end {
                space.map(part.clone(), part.start, Attributes::DATA)?;
            }
        }
    }
    // SAFETY: the tables have this mode and map the running code, its data and its stack where they are now; they lie
    // below 1 GiB, since the boot mapping reaches no further.
    unsafe { paging::load(space.root(), mode.levels) };
    LOADED.call_once(|| (mode, space.root()));
    *SPACE.lock() = Some(space);
    Ok(())
}

fn with_space<R>(f: impl FnOnce(&mut AddressSpace<FrameTables>) -> R) -> R {
    f(SPACE.lock().as_mut().expect("the address space is made at boot"))
}

/// How the page tables look.
pub(crate) fn mode() -> Mode {
    LOADED.get().expect("the address space is made at boot").0
}

/// After changes: makes every CPU forget what is no longer right and waits until each has.
fn flush(to_flush: FlushRange) {
    let range = to_flush.range();
    if !range.is_empty() {
        let retired = with_space(AddressSpace::take_retired);
        // Tables are found through what CPUs remember of pages: flushing a page makes them forget all tables (SDM
        // volume 3A, section 4.10.4.1).
        if percpu::online_count() > 1 {
            might_sleep();
        }
        shootdown::flush_everywhere(range);
        with_space(|space| space.release(retired));
    }
}

/// Maps a range at its physical address; pages that are mapped already stay as they are.
pub(super) fn map_identity(range: Range<u64>, attributes: Attributes) -> Result<(), MapError> {
    with_space(|space| {
        for page in range.step_by(PAGE as usize) {
            if space.translate(page).is_none() {
                space.map(page..page + PAGE, page, attributes)?;
            }
        }
        Ok(())
    })
}

/// Maps a pmem device's physical range; where it begins.
pub(crate) fn map_pmem(physical: Range<u64>, attributes: Attributes) -> Result<u64, MapError> {
    let levels = mode().levels;
    if physical.end > pmem_physical_end(levels) {
        return Err(MapError::BadPhysical(physical.start));
    }
    let start = pmem_window(&physical);
    with_space(|space| space.map_pieces(start, &[Piece::Memory { physical, attributes }]))?;
    Ok(start)
}

/// Where a pmem device at this physical range is mapped, when it is.
pub(crate) fn pmem_window(physical: &Range<u64>) -> u64 {
    pmem_base(mode().levels) + physical.start
}

/// Unmaps a pmem device's window; when this returns no CPU reaches it any more, and every CPU has left the trap handler
/// that it was in. Called with interrupts enabled, without an [`IrqLock`].
pub(crate) fn unmap_pmem(window: Range<u64>) -> Result<(), MapError> {
    unmap(window)
}

/// Unmaps whatever is mapped in `range`, pages of any size; when this returns no CPU reaches it any more. The memory
/// behind it stays whose it was. Called with interrupts enabled, without an [`IrqLock`].
pub(super) fn unmap(range: Range<u64>) -> Result<(), MapError> {
    with_space(|space| space.unmap(range, &mut |_| {})).map(flush)
}

/// Gives the whole of `range`, which is mapped, these permissions; when this returns every CPU obeys them. Called with
/// interrupts enabled, without an [`IrqLock`].
pub(crate) fn protect(range: Range<u64>, permissions: Permissions) -> Result<(), MapError> {
    with_space(|space| space.protect(range, permissions)).map(flush)
}

/// Maps new frames of RAM at `range`; on an error nothing stays mapped.
pub(super) fn map_frames(range: Range<u64>) -> Result<(), MapError> {
    for page in range.clone().step_by(PAGE as usize) {
        let mapped = allocate_frames(1).ok_or(MapError::OutOfMemory).and_then(|frame| {
            with_space(|space| space.map(page..page + PAGE, frame, Attributes::DATA))
                .inspect_err(|_| release_frames(frame, 1))
        });
        if let Err(error) = mapped {
            unmap_frames(iter::once(range.start..page));
            return Err(error);
        }
    }
    Ok(())
}

/// Unmaps what [`map_frames`] mapped at these ranges and gives the frames back, once no CPU can reach them any more:
/// one shootdown for all.
pub(super) fn unmap_frames(ranges: impl IntoIterator<Item = Range<u64>>) {
    // The list of the frames lies in the frames themselves, which nobody uses now; 0 is no frame of RAM that is given
    // out.
    let mut list = 0;
    let mut keep = |leaf: Leaf| {
        // SAFETY: the frame is RAM, so mapped at its physical address, aligned, and it was the unmapped page's.
        unsafe { (leaf.physical_address as *mut u64).write(list) };
        list = leaf.physical_address;
    };
    let mut to_flush = FlushRange::NOTHING;
    for range in ranges {
        match with_space(|space| space.unmap(range, &mut keep)) {
            Ok(more) => to_flush.merge(more),
            Err(error) => unreachable!("all of its pages are 4 KiB, so that none is split: {error}"),
        }
    }
    flush(to_flush);
    while list != 0 {
        let frame = list;
        // SAFETY: as above; written above, and nobody has the frame until it is released.
        list = unsafe { (frame as *const u64).read() };
        release_frames(frame, 1);
    }
}

/// Runs `body` while the page at this physical address below 1 MiB is mapped onto itself; `None` if it could not be.
pub(crate) fn with_low_page<R>(page: u64, attributes: Attributes, body: impl FnOnce() -> R) -> Option<R> {
    with_space(|space| space.map(page..page + PAGE, page, attributes)).ok()?;
    let result = body();
    unmap(page..page + PAGE).ok()?;
    Some(result)
}

/// The leaf that maps this address. Takes no lock, so that it can be asked in any trap.
pub fn translate(address: u64) -> Option<Leaf> {
    let &(mode, root) = LOADED.get()?;
    let enabled = interrupts::disable();
    let leaf = page_table::translate(&FrameTables { spare: 0 }, mode, root, address);
    interrupts::restore(enabled);
    leaf
}

/// Whether the address can be read whoever asks: it is mapped, and no key guards it. For reports, which must not fault
/// themselves.
pub(crate) fn is_mapped(address: u64) -> bool {
    translate(address).is_some_and(|leaf| leaf.flags.key() == 0)
}

/// Calls `visit` for every leaf of the address space.
pub(crate) fn with_leaves(visit: impl FnMut(Leaf)) {
    with_space(|space| space.for_each_leaf(visit));
}
