//! The heap: one allocator for the program, `std` and this library.

use core::alloc::Layout;
use core::ptr::NonNull;

use talc::TalcLock;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

use super::layout::PAGE;
use super::ram::{allocate_frames, release_frames};
use crate::sync::{RawIrqLock, class};

/// The heap grows by at least this much, in bytes.
const GROWTH: u64 = 1 << 20;

/// Room for the allocator's own bookkeeping in a new part of the heap, in bytes.
const OVERHEAD: u64 = 64 << 10;

/// Grows the heap by frames of RAM.
#[derive(Debug)]
pub(crate) struct FrameSource {
    /// Where the part that grew last ends, if the next frames could follow it.
    end: Option<NonNull<u8>>,
    /// The frames that it was given, in bytes. They stay the heap's for ever.
    grown: u64,
}

// SAFETY: `end` is only an address of heap memory, which belongs to the allocator that owns the source.
unsafe impl Send for FrameSource {}

// SAFETY: `acquire` gives only frames that `allocate_frames` made ours, and calls nothing that allocates from the heap.
unsafe impl Source for FrameSource {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let wanted = layout.size().checked_add(layout.align()).ok_or(())? as u64;
        let bytes = wanted.checked_add(OVERHEAD).ok_or(())?.max(GROWTH).next_multiple_of(PAGE);
        let physical = allocate_frames(bytes / PAGE).ok_or(())?;
        let start = physical as *mut u8;
        let grown_end = start.wrapping_add(bytes as usize);
        let end = match talc.source.end {
            // SAFETY: the frames follow the part of the heap that ends at `end`, are RAM, mapped, and ours alone.
            Some(end) if end.as_ptr() == start => Some(unsafe { talc.extend(end, grown_end) }),
            // SAFETY: the frames are RAM, mapped, and ours alone.
            _ => unsafe { talc.claim(start, bytes as usize) },
        };
        if end.is_none() {
            release_frames(physical, bytes / PAGE);
            return Err(());
        }
        talc.source.end = end;
        talc.source.grown += bytes;
        Ok(())
    }
}

/// The heap of the whole image. Its lock disables interrupts, so that a thread is never preempted while holding it;
/// interrupt handlers do not allocate.
#[global_allocator]
pub(crate) static HEAP: TalcLock<RawIrqLock<class::Heap>, FrameSource> =
    TalcLock::new(FrameSource { end: None, grown: 0 });

/// What is in the heap at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeapAccount {
    /// Pieces in use.
    pub(crate) pieces: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// Bytes of frames that the heap has taken.
    pub(crate) grown: u64,
}

/// What is in the heap now.
pub(crate) fn account() -> HeapAccount {
    let heap = HEAP.lock();
    let counters = heap.counters();
    HeapAccount { pieces: counters.allocation_count, bytes: counters.allocated_bytes, grown: heap.source.grown }
}
