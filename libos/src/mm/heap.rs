//! The heap: one allocator for the program, `std` and this library.
//!
//! The last part of memory is kept for small pieces, as kernels keep it by watermarks. Whoever makes a large allocation
//! can ask whether there is room (`try_reserve`), and is the only one to notice when there is none; a `Box` or a
//! node of a tree cannot ask, and a program that gets none is at its end.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use talc::TalcLock;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

use super::CALL_ROOM;
use super::layout::PAGE;
use super::ram::{allocate_frames, free_bytes, kept_bytes, release_frames};
use crate::sync::{RawIrqLock, class};

/// The heap grows by at least this much.
const GROWTH: u64 = 1 << 20;

/// Room for the allocator's own bookkeeping in a new part of the heap.
const OVERHEAD: u64 = 64 << 10;

/// Allocations of this size or more leave the last part of memory alone.
const LARGE: usize = 32 << 10;

const _: () = assert!(CALL_ROOM < LARGE, "what every call needs is small");

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
        let least = wanted.checked_add(OVERHEAD).ok_or(())?.next_multiple_of(PAGE);
        let take = |bytes: u64| allocate_frames(bytes / PAGE).map(|physical| (physical, bytes));
        let (physical, bytes) = take(least.max(GROWTH)).or_else(|| take(least)).ok_or(())?;
        let start = physical.identity_mapped().as_mut_ptr::<u8>();
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

/// The allocator of the whole image.
pub(crate) struct Heap(TalcLock<RawIrqLock<class::Heap>, FrameSource>);

/// The heap of the whole image. Its lock disables interrupts, so that a thread is never preempted while holding it;
/// interrupt handlers do not allocate.
#[cfg_attr(not(feature = "own-allocator"), global_allocator)]
pub(crate) static HEAP: Heap = Heap(TalcLock::new(FrameSource { end: None, grown: 0 }));

impl Heap {
    /// Whether a piece of this size may be made. Threads that ask at the same moment may go over together.
    fn admits(&self, size: usize) -> bool {
        size < LARGE || available_bytes() >= size as u64
    }
}

// SAFETY: every call goes to talc, which upholds this trait's contract, or fails, which the contract allows.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !self.admits(layout.size()) {
            return null_mut();
        }
        // SAFETY: the caller promises what `GlobalAlloc` asks for, of us and so of talc.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the piece is talc's, for all of ours are.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // A piece that cannot grow where it is needs room for all of it anew.
        if new_size > layout.size() && !self.admits(new_size) {
            return null_mut();
        }
        // SAFETY: as above; the piece is talc's, for all of ours are.
        unsafe { self.0.realloc(pointer, layout, new_size) }
    }
}

/// How much memory there is for large pieces: RAM in no use and what is free in the heap, without the last
/// part, which is kept for small ones.
pub fn available_bytes() -> u64 {
    let in_heap = HEAP.0.lock().counters().available_bytes as u64;
    (in_heap + free_bytes()).saturating_sub(kept_bytes())
}

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
    let heap = HEAP.0.lock();
    let counters = heap.counters();
    HeapAccount { pieces: counters.allocation_count, bytes: counters.allocated_bytes, grown: heap.source.grown }
}
