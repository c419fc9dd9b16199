//! The one address space.

use core::ops::Range;
use core::{iter, ptr};

use x86_64::structures::paging::PageTable;

use super::attributes::Attributes;
use super::layout::{PAGE, PMEM_BASE, image, sections};
use super::page_table::{AddressSpace, Leaf, MapError, TableMemory};
use super::ram::{allocate_frames, release_frames};
use crate::arch;
use crate::sync::IrqLock;

/// Page tables lie in frames of RAM and are reached by the identity mapping.
#[derive(Debug)]
struct FrameTables;

impl TableMemory for FrameTables {
    fn allocate(&mut self) -> Option<u64> {
        let physical = allocate_frames(1)?;
        // SAFETY: the frame is ours alone, RAM, and identity mapped (by the boot mapping or by the final one).
        unsafe { ptr::write_bytes(physical as *mut u8, 0, PAGE as usize) };
        Some(physical)
    }

    fn table(&mut self, physical: u64) -> &mut PageTable {
        // SAFETY: `physical` came from `allocate`, so it is an aligned, initialised frame that holds a table and nothing
        // else; `&mut self` is reached only through `SPACE`, whose lock makes the borrow exclusive.
        unsafe { &mut *(physical as *mut PageTable) }
    }
}

static SPACE: IrqLock<Option<AddressSpace<FrameTables>>> = IrqLock::new(None);

/// Maps the image and all RAM, each page with its own attributes, and loads the tables.
pub(super) fn init(ram: &[Range<u64>]) {
    let build = || {
        let mut space = AddressSpace::new(FrameTables, arch::cpu::has_gibibyte_pages())?;
        for section in sections() {
            space.map(section.range.clone(), section.range.start, section.attributes)?;
        }
        let image = image();
        for range in ram {
            for part in [range.start..range.end.min(image.start), range.start.max(image.end)..range.end] {
                if part.start < part.end {
                    space.map(part.clone(), part.start, Attributes::DATA)?;
                }
            }
        }
        Ok::<_, MapError>(space)
    };
    match build() {
        Ok(space) => {
            // SAFETY: the tables map the running code, its data and its stack where they are now.
            unsafe { arch::cpu::load_page_tables(space.root()) };
            *SPACE.lock() = Some(space);
        }
        Err(error) => crate::fatal::fatal!(crate::fatal::BOOT_REFUSED, "cannot map memory: {error}"),
    }
}

fn with_space<R>(f: impl FnOnce(&mut AddressSpace<FrameTables>) -> R) -> R {
    f(SPACE.lock().as_mut().expect("the address space is made at boot"))
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

/// Maps a pmem device's physical range, which ends below [`super::layout::PMEM_PHYSICAL_END`]; where it begins.
pub(crate) fn map_pmem(physical: Range<u64>, attributes: Attributes) -> Result<u64, MapError> {
    let range = PMEM_BASE + physical.start..PMEM_BASE + physical.end;
    with_space(|space| space.map(range.clone(), physical.start, attributes))?;
    Ok(range.start)
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

/// Unmaps what [`map_frames`] mapped at these ranges and gives the frames back, once no CPU can reach them any more: one
/// shootdown for all.
pub(super) fn unmap_frames(ranges: impl IntoIterator<Item = Range<u64>>) {
    // The list of the frames lies in the frames themselves, which nobody uses now; 0 is no frame of RAM that is given out.
    let mut list = 0;
    let mut hull: Option<Range<u64>> = None;
    for range in ranges {
        let before = hull.unwrap_or(range.clone());
        hull = Some(before.start.min(range.start)..before.end.max(range.end));
        for page in range.step_by(PAGE as usize) {
            if let Ok(frame) = with_space(|space| space.unmap_page(page)) {
                // SAFETY: the frame is RAM, so mapped at its physical address, aligned, and it was the unmapped page's.
                unsafe { (frame as *mut u64).write(list) };
                list = frame;
            }
        }
    }
    if let Some(hull) = hull {
        arch::shootdown::flush_everywhere(hull);
    }
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
    with_space(|space| space.unmap_page(page)).ok()?;
    arch::shootdown::flush_everywhere(page..page + PAGE);
    Some(result)
}

/// The leaf that maps this address.
pub(crate) fn translate(address: u64) -> Option<Leaf> {
    with_space(|space| space.translate(address))
}

/// Whether the address can be read: for reports, which must not fault themselves. False when the tables are being
/// changed by the very code that is reported.
pub(crate) fn is_mapped(address: u64) -> bool {
    SPACE.try_lock().is_some_and(|mut space| {
        space.as_mut().is_some_and(|space| {
            let canonical = address < 1 << 47;
            canonical && space.translate(address).is_some_and(|leaf| super::attributes::key_number(leaf.flags) == 0)
        })
    })
}

/// Calls `visit` for every leaf of the address space.
pub(crate) fn with_leaves(visit: impl FnMut(Leaf)) {
    with_space(|space| space.for_each_leaf(visit));
}
