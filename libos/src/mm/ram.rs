//! All RAM: which physical ranges it has, and who uses which frame.

use core::ops::Range;
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use super::InitError;
use super::frames::Frames;
use super::layout::{IDENTITY_END, PAGE, image};
use crate::addr::{AddrRange, PhysAddr};
use crate::sync::{IrqLock, Once, class};

/// The most ranges of RAM that are kept; firmware reports two or three.
const MAX_RANGES: usize = 32;

/// Memory below 1 MiB belongs to the firmware and to start-up code of other CPUs.
const LOW_MEMORY_END: PhysAddr = PhysAddr::new(1 << 20);

/// What the boot mapping covers: until the real tables are loaded, nothing above is reachable.
const BOOT_MAPPING_END: PhysAddr = PhysAddr::new(1 << 30);

/// The part of RAM that is kept for small pieces of the heap, and its bounds.
const KEPT_SHARE: u64 = 32;
const LEAST_KEPT: u64 = 512 << 10;
const MOST_KEPT: u64 = 8 << 20;

/// See [`kept_bytes`].
static KEPT: AtomicU64 = AtomicU64::new(0);

static RANGES: Once<([Range<PhysAddr>; MAX_RANGES], usize)> = Once::new();
static FRAMES: IrqLock<Option<Frames<'static>>, class::Frames> = IrqLock::new(None);

/// Takes charge of the RAM in `usable`, except what lies in `reserved`.
///
/// # Safety
/// `usable` is RAM that nobody else uses, apart from the image itself and `reserved`. Called once, on the boot mapping.
pub(super) unsafe fn init(
    usable: impl Iterator<Item = Range<PhysAddr>>,
    reserved: &[Range<PhysAddr>],
) -> Result<(), InitError> {
    let mut ranges = [const { PhysAddr::ZERO..PhysAddr::ZERO }; MAX_RANGES];
    let mut count = 0;
    for range in usable {
        let range = range.start.max(LOW_MEMORY_END).align_up(PAGE)..range.end.min(IDENTITY_END).align_down(PAGE);
        if !range.is_empty() && count < MAX_RANGES {
            ranges[count] = range;
            count += 1;
        }
    }
    let (ranges, count) = RANGES.call_once(|| (ranges, count));
    let ranges = &ranges[..*count];

    let top = ranges.iter().map(|range| range.end).max().unwrap_or(PhysAddr::ZERO);
    let words = Frames::words(top);
    let after_image = image().end;
    let length = words as u64 * 8;
    // In a range, or after what is reserved in it.
    let starts = ranges.iter().map(|range| range.start.max(after_image));
    let starts = starts.chain(reserved.iter().map(|range| range.end.align_up(PAGE).max(after_image)));
    let is_free = |start: &PhysAddr| {
        let place = Range::of(*start, length);
        let in_range = |range: &Range<PhysAddr>| (range.start..range.end.min(BOOT_MAPPING_END)).covers(&place);
        ranges.iter().any(in_range) && reserved.iter().all(|range| !range.overlaps(&place))
    };
    let bitmap = Range::of(starts.filter(is_free).min().ok_or(InitError::NoRoom)?, length);
    // SAFETY: the range is RAM that `init`'s caller gives us, behind the image, mapped by the boot mapping, aligned to
    // a page; it is reserved below, so nobody else gets it.
    let words = unsafe { slice::from_raw_parts_mut(bitmap.start.identity_mapped().as_mut_ptr(), words) };
    let mut frames = Frames::new(words);
    for range in ranges {
        frames.release(range);
    }
    for range in [image(), bitmap].iter().chain(reserved) {
        frames.reserve(range);
    }
    KEPT.store((frames.free_bytes() / KEPT_SHARE).clamp(LEAST_KEPT, MOST_KEPT), Ordering::Relaxed);
    *FRAMES.lock() = Some(frames);
    Ok(())
}

/// The physical ranges of RAM.
pub(crate) fn ram_ranges() -> impl Iterator<Item = Range<PhysAddr>> {
    RANGES.get().into_iter().flat_map(|(ranges, count)| ranges[..*count].iter().cloned())
}

/// Whether any byte of this physical range is RAM.
pub(super) fn is_ram(range: &Range<PhysAddr>) -> bool {
    ram_ranges().any(|ram| ram.overlaps(range))
}

/// Takes `count` contiguous frames; where the first begins. Their contents are whatever was there.
pub(super) fn allocate_frames(count: u64) -> Option<PhysAddr> {
    FRAMES.lock().as_mut()?.allocate(count)
}

/// Gives `count` frames, of which the first begins here, back.
pub(super) fn release_frames(first: PhysAddr, count: u64) {
    if let Some(frames) = FRAMES.lock().as_mut() {
        frames.release(&Range::of(first, count * PAGE));
    }
}

/// How much RAM is in no use at all (the heap's own free memory does not count).
pub fn free_bytes() -> u64 {
    FRAMES.lock().as_ref().map_or(0, Frames::free_bytes)
}

/// How much memory only small pieces of the heap may have.
pub(super) fn kept_bytes() -> u64 {
    KEPT.load(Ordering::Relaxed)
}
