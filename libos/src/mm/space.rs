//! The one address space.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use core::{iter, ptr};

use super::attributes::{Attributes, Permissions};
use super::layout::{self, PAGE, Section, image, pmem_physical_end, sections};
use super::page_table::{self, AddressSpace, FlushRange, Leaf, MapError, PageTable, Piece, TableMemory};
use super::ram::{allocate_frames, ram_ranges, release_frames};
use crate::addr::{AddrRange, PhysAddr, VirtAddr};
use crate::arch::paging::Mode;
use crate::arch::{interrupts, paging, percpu, shootdown};
use crate::sync::{IrqLock, Once, class, might_sleep};

/// Page tables lie in frames of RAM and are reached by the identity mapping.
///
/// A frame that held a table is used for tables for ever: a lazy CPU is not disturbed by a shootdown, and until it
/// has dropped what it remembers it may still look a table up ahead of time, and would set marks in whatever is there.
#[derive(Debug)]
struct FrameTables {
    /// The unused tables.
    spare: FrameList,
}

/// Frames of RAM that nobody uses, in a list that lies in themselves: each begins with the next one's address, or with
/// 0. Read as an entry of a page table that is not present, as it is a multiple of 4 KiB.
#[derive(Debug)]
struct FrameList {
    first: Option<PhysAddr>,
}

impl FrameList {
    const EMPTY: Self = Self { first: None };

    /// Adds a frame.
    ///
    /// # Safety
    /// It is RAM, and nobody uses it before it is taken out again.
    unsafe fn push(&mut self, frame: PhysAddr) {
        let next = self.first.map_or(0, PhysAddr::as_u64);
        // SAFETY: the frame is RAM, so identity mapped and aligned, and the caller says that nobody uses it.
        unsafe { frame.identity_mapped().as_mut_ptr::<u64>().write(next) };
        self.first = Some(frame);
    }

    /// Takes a frame out.
    fn pop(&mut self) -> Option<PhysAddr> {
        let frame = self.first?;
        // SAFETY: `push` wrote there, and its caller said that nobody has used the frame since.
        let next = unsafe { frame.identity_mapped().as_ptr::<u64>().read() };
        self.first = (next != 0).then_some(PhysAddr::new(next));
        Some(frame)
    }
}

impl TableMemory for FrameTables {
    fn allocate(&mut self) -> Option<PhysAddr> {
        let physical = match self.spare.pop() {
            Some(physical) => physical,
            None => {
                let new = allocate_frames(1)?;
                TABLES.fetch_add(1, Ordering::Relaxed);
                new
            }
        };
        // SAFETY: the frame is ours alone, RAM, and identity mapped (by the boot mapping or by the final one).
        unsafe { ptr::write_bytes(physical.identity_mapped().as_mut_ptr::<u8>(), 0, PAGE as usize) };
        Some(physical)
    }

    fn release(&mut self, physical: PhysAddr) {
        // SAFETY: the frame came from `allocate`, and nothing leads to it any more.
        unsafe { self.spare.push(physical) };
    }

    fn table(&self, physical: PhysAddr) -> &PageTable {
        // SAFETY: `physical` came from `allocate`, so it is an aligned, initialised frame that holds a table and
        // nothing else. It is not released below a reader: those who change tables hold `SPACE`'s lock, and
        // `translate`, which does not, disables interrupts, without which no flush that precedes a release
        // ends.
        unsafe { &*physical.identity_mapped().as_ptr() }
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
static LOADED: Once<(Mode, PhysAddr)> = Once::new();

/// Maps the image and all RAM, each page with its own attributes, and loads the tables.
pub(super) fn init(mode: Mode) -> Result<(), MapError> {
    let mut space = AddressSpace::new(FrameTables { spare: FrameList::EMPTY }, mode)?;
    let image = image();
    space.map_pieces(image.start.identity_mapped(), &sections().map(Section::piece))?;
    for range in ram_ranges() {
        for part in [range.start..range.end.min(image.start), range.start.max(image.end)..range.end] {
            if !part.is_empty() {
                space.map(identity_mapped(&part), part.start, Attributes::DATA)?;
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
        if percpu::online_count() > 1 {
            might_sleep();
        }
        // Tables are found through what CPUs remember of pages: flushing a page makes them forget all tables.
        shootdown::flush_everywhere(range);
        with_space(|space| space.release(retired));
    }
}

/// Where this is mapped that is mapped at its physical address.
pub(super) fn identity_mapped(range: &Range<PhysAddr>) -> Range<VirtAddr> {
    range.start.identity_mapped()..range.end.identity_mapped()
}

/// Maps a range at its physical address; pages that are mapped already stay as they are.
pub(super) fn map_identity(range: &Range<PhysAddr>, attributes: Attributes) -> Result<(), MapError> {
    with_space(|space| {
        for page in range.steps(PAGE) {
            let at = page.identity_mapped();
            if space.translate(at).is_none() {
                space.map(Range::of(at, PAGE), page, attributes)?;
            }
        }
        Ok(())
    })
}

/// Maps a pmem device's physical range in its window.
pub(crate) fn map_pmem(physical: Range<PhysAddr>, attributes: Attributes) -> Result<(), MapError> {
    let levels = mode().levels;
    if physical.end > pmem_physical_end(levels) {
        return Err(MapError::BadPhysical(physical.start));
    }
    let start = layout::pmem_window(levels, physical.start);
    with_space(|space| space.map_pieces(start, &[Piece::Memory { physical, attributes }])).map(drop)
}

/// Where a pmem device at this physical range is mapped, when it is.
pub(crate) fn pmem_window(physical: &Range<PhysAddr>) -> VirtAddr {
    layout::pmem_window(mode().levels, physical.start)
}

/// Unmaps a pmem device's window; when this returns no CPU reaches it any more, and every CPU has left the trap handler
/// that it was in. Called with interrupts enabled, without an [`IrqLock`].
pub(crate) fn unmap_pmem(window: Range<VirtAddr>) -> Result<(), MapError> {
    unmap(window)
}

/// Unmaps whatever is mapped in `range`, pages of any size; when this returns no CPU reaches it any more. The memory
/// behind it stays whose it was. Called with interrupts enabled, without an [`IrqLock`].
pub(super) fn unmap(range: Range<VirtAddr>) -> Result<(), MapError> {
    with_space(|space| space.unmap(range, &mut |_| {})).map(flush)
}

/// Gives the whole of `range`, which is mapped, these permissions; when this returns every CPU obeys them. Called with
/// interrupts enabled, without an [`IrqLock`].
pub(crate) fn protect(range: Range<VirtAddr>, permissions: Permissions) -> Result<(), MapError> {
    with_space(|space| space.protect(range, permissions)).map(flush)
}

/// Maps new frames of RAM at `range`; on an error nothing stays mapped.
pub(super) fn map_frames(range: Range<VirtAddr>) -> Result<(), MapError> {
    for page in range.steps(PAGE) {
        let mapped = allocate_frames(1).ok_or(MapError::OutOfMemory).and_then(|frame| {
            with_space(|space| space.map(Range::of(page, PAGE), frame, Attributes::DATA))
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
pub(super) fn unmap_frames(ranges: impl IntoIterator<Item = Range<VirtAddr>>) {
    let mut frames = FrameList::EMPTY;
    let mut keep = |leaf: Leaf| {
        // SAFETY: the frame is RAM, and it was the unmapped page's, so nobody uses it now or before it is released.
        unsafe { frames.push(leaf.physical_address) };
    };
    let mut to_flush = FlushRange::NOTHING;
    for range in ranges {
        match with_space(|space| space.unmap(range, &mut keep)) {
            Ok(more) => to_flush.merge(more),
            Err(error) => unreachable!("all of its pages are 4 KiB, so that none is split: {error}"),
        }
    }
    flush(to_flush);
    while let Some(frame) = frames.pop() {
        release_frames(frame, 1);
    }
}

/// Runs `body` while the page at this physical address below 1 MiB is mapped onto itself; `None` if it could not be.
pub(crate) fn with_low_page<R>(page: PhysAddr, attributes: Attributes, body: impl FnOnce() -> R) -> Option<R> {
    let range = Range::of(page.identity_mapped(), PAGE);
    with_space(|space| space.map(range.clone(), page, attributes)).ok()?;
    let result = body();
    unmap(range).ok()?;
    Some(result)
}

/// The leaf that maps this address. Takes no lock, so that it can be asked in any trap.
pub fn translate(address: VirtAddr) -> Option<Leaf> {
    let &(mode, root) = LOADED.get()?;
    let enabled = interrupts::disable();
    let leaf = page_table::translate(&FrameTables { spare: FrameList::EMPTY }, mode, root, address);
    interrupts::restore(enabled);
    leaf
}

/// Whether the address can be read whoever asks: it is mapped, and no key guards it. For reports, which must not fault
/// themselves.
pub(crate) fn is_mapped(address: VirtAddr) -> bool {
    translate(address).is_some_and(|leaf| leaf.flags.key() == 0)
}

/// Calls `visit` for every leaf of the address space.
pub(crate) fn with_leaves(visit: impl FnMut(Leaf)) {
    with_space(|space| space.for_each_leaf(visit));
}
