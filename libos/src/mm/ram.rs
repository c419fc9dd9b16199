//! All RAM: which physical ranges it has, and who uses which frame.

use core::ops::Range;
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;

use super::InitError;
use super::frames::FrameBitmap;
use super::layout::{IDENTITY_END, PAGE, image};
use crate::sync::{IrqLock, class};

/// The most ranges of RAM that are kept; firmware reports two or three.
const MAX_RANGES: usize = 32;

/// Memory below 1 MiB belongs to the firmware and to start-up code of other CPUs.
const LOW_MEMORY_END: u64 = 1 << 20;

/// What the boot mapping covers: until the real tables are loaded, nothing above is reachable.
const BOOT_MAPPING_END: u64 = 1 << 30;

/// The part of RAM that is kept for small pieces of the heap, and its bounds in bytes.
const KEPT_SHARE: u64 = 32;
const LEAST_KEPT: u64 = 512 << 10;
const MOST_KEPT: u64 = 8 << 20;

/// See [`kept_bytes`].
static KEPT: AtomicU64 = AtomicU64::new(0);

static RANGES: Once<([Range<u64>; MAX_RANGES], usize)> = Once::new();
static FRAMES: IrqLock<Option<FrameBitmap<'static>>, class::Frames> = IrqLock::new(None);

/// Takes charge of the RAM in `usable`, except what lies in `reserved`.
///
/// # Safety
/// `usable` is RAM that nobody else uses, apart from the image itself and `reserved`. Called once, on the boot mapping.
pub(super) unsafe fn init(usable: impl Iterator<Item = Range<u64>>, reserved: &[Range<u64>]) -> Result<(), InitError> {
    let mut ranges = [const { 0..0 }; MAX_RANGES];
    let mut count = 0;
    for range in usable {
        let range = range.start.max(LOW_MEMORY_END).next_multiple_of(PAGE)..range.end.min(IDENTITY_END) / PAGE * PAGE;
        if range.start < range.end && count < MAX_RANGES {
            ranges[count] = range;
            count += 1;
        }
    }
    let (ranges, count) = RANGES.call_once(|| (ranges, count));
    let ranges = &ranges[..*count];

    let top = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    let words = top.div_ceil(PAGE * 64);
    let after_image = image().end;
    let length = words * 8;
    // In a range, or after what is reserved in it.
    let starts = ranges.iter().map(|range| range.start.max(after_image));
    let starts = starts.chain(reserved.iter().map(|range| range.end.next_multiple_of(PAGE).max(after_image)));
    let is_free = |start: &u64| {
        let place = *start..*start + length;
        let in_range = |range: &Range<u64>| range.start <= place.start && place.end <= range.end.min(BOOT_MAPPING_END);
        ranges.iter().any(in_range) && reserved.iter().all(|range| !overlap(range, &place))
    };
    let place = starts.filter(is_free).min().ok_or(InitError::NoRoom)?;
    let bitmap = place..place + length;
    // SAFETY: the range is RAM that `init`'s caller gives us, behind the image, mapped by the boot mapping, aligned to
    // a page; it is reserved below, so nobody else gets it.
    let words = unsafe { slice::from_raw_parts_mut(bitmap.start as *mut u64, words as usize) };
    let mut frames = FrameBitmap::new(words);
    for range in ranges {
        frames.release(range.start / PAGE, (range.end - range.start) / PAGE);
    }
    for range in [image(), bitmap].iter().chain(reserved) {
        frames.reserve(range.start / PAGE, range.end.div_ceil(PAGE) - range.start / PAGE);
    }
    KEPT.store((frames.free() * PAGE / KEPT_SHARE).clamp(LEAST_KEPT, MOST_KEPT), Ordering::Relaxed);
    *FRAMES.lock() = Some(frames);
    Ok(())
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// The physical ranges of RAM.
pub(crate) fn ram_ranges() -> impl Iterator<Item = Range<u64>> {
    RANGES.get().into_iter().flat_map(|(ranges, count)| ranges[..*count].iter().cloned())
}

/// Whether any byte of this physical range is RAM.
pub(super) fn is_ram(range: &Range<u64>) -> bool {
    ram_ranges().any(|ram| overlap(&ram, range))
}

/// Takes `count` contiguous frames; the physical address of the first. Their contents are whatever was there.
pub(super) fn allocate_frames(count: u64) -> Option<u64> {
    FRAMES.lock().as_mut()?.allocate(count).map(|frame| frame * PAGE)
}

/// Gives `count` frames from this physical address on back.
pub(super) fn release_frames(physical: u64, count: u64) {
    if let Some(frames) = FRAMES.lock().as_mut() {
        frames.release(physical / PAGE, count);
    }
}

/// How much RAM is in no use at all, in bytes (the heap's own free memory does not count).
pub fn free_bytes() -> u64 {
    FRAMES.lock().as_ref().map_or(0, |frames| frames.free() * PAGE)
}

/// How much memory only small pieces of the heap may have, in bytes.
pub(super) fn kept_bytes() -> u64 {
    KEPT.load(Ordering::Relaxed)
}
