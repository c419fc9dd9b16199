//! Stacks with a guard: below each one nothing is mapped, so an overflow faults.

use alloc::vec;
use core::fmt;
use core::ops::Range;

use super::CALL_ROOM;
use super::bitmap::Bitmap;
use super::heap::available_bytes;
use super::layout::{PAGE, STACK_SLOTS, STACK_STRIDE, STACKS_BASE};
use super::page_table::MapError;
use super::space::{map_frames, unmap_frames};
use crate::addr::{AddrRange, VirtAddr};
use crate::sync::{IrqLock, class};

/// The address slots for stacks.
static SLOTS: IrqLock<Option<Slots>, class::Slots> = IrqLock::new(None);

struct Slots {
    free: Bitmap<'static>,
    most_taken: u64,
}

/// How many unused stacks stay mapped.
const KEPT: usize = 32;

/// Unused stacks that stay mapped for threads to come: unmapping one interrupts every CPU.
static UNUSED: IrqLock<[Option<Mapped>; KEPT]> = IrqLock::new([const { None }; KEPT]);

/// Why there is no stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StackError {
    /// The size is zero or leaves no room for the guard.
    BadSize,
    /// All slots are in use, or RAM is.
    OutOfMemory,
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadSize => "a stack has between 1 byte and 512 MiB",
            Self::OutOfMemory => "no memory is left for a stack",
        })
    }
}

impl From<MapError> for StackError {
    fn from(_: MapError) -> Self {
        Self::OutOfMemory
    }
}

/// A slot with pages mapped at its end.
#[derive(Debug)]
struct Mapped {
    slot: u64,
    range: Range<VirtAddr>,
}

impl Mapped {
    /// An unused one of this size, if one was kept.
    fn reuse(bytes: u64) -> Option<Self> {
        let fits = |mapped: &mut Mapped| mapped.range.length() == bytes;
        UNUSED.lock().iter_mut().find_map(|place| place.take_if(fits))
    }

    /// All unused ones that were kept.
    fn take_unused() -> [Option<Self>; KEPT] {
        UNUSED.lock().each_mut().map(Option::take)
    }

    /// Keeps it for later; half of those that are kept already if there are too many.
    fn keep(self) -> [Option<Self>; KEPT / 2] {
        let mut unused = UNUSED.lock();
        if let Some(place) = unused.iter_mut().find(|place| place.is_none()) {
            *place = Some(self);
            return [const { None }; KEPT / 2];
        }
        let mut surplus = [const { None }; KEPT / 2];
        surplus.swap_with_slice(&mut unused[..KEPT / 2]);
        unused[0] = Some(self);
        surplus
    }

    /// A new one, whose frames are not of the memory that is kept for small pieces of the heap.
    fn new(bytes: u64) -> Result<Self, StackError> {
        if available_bytes() < bytes + CALL_ROOM as u64 {
            return Err(StackError::OutOfMemory);
        }
        let slot = allocate_slot().ok_or(StackError::OutOfMemory)?;
        let top = STACKS_BASE + (slot + 1) * STACK_STRIDE;
        let range = top - bytes..top;
        if let Err(error) = map_frames(range.clone()) {
            release_slot(slot);
            return Err(error.into());
        }
        Ok(Self { slot, range })
    }

    /// Unmaps these, with one interruption of the other CPUs.
    fn unmap(all: &[Option<Self>]) {
        unmap_frames(all.iter().flatten().map(|mapped| mapped.range.clone()));
        all.iter().flatten().for_each(|mapped| release_slot(mapped.slot));
    }
}

/// A mapped stack, whole pages. Its contents at first are whatever its frames held.
#[derive(Debug)]
pub(crate) struct Stack {
    /// Taken out only by dropping the stack.
    mapped: Option<Mapped>,
    range: Range<VirtAddr>,
}

impl Stack {
    /// A stack of at least `bytes` bytes.
    pub(crate) fn new(bytes: usize) -> Result<Self, StackError> {
        let bytes = (bytes as u64).checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
        if bytes == 0 || bytes > STACK_STRIDE / 2 {
            return Err(StackError::BadSize);
        }
        let mapped = Mapped::reuse(bytes).map_or_else(|| Mapped::new(bytes), Ok).or_else(|_| {
            // What the unused ones occupy may be what is missing.
            Mapped::unmap(&Mapped::take_unused());
            Mapped::new(bytes)
        })?;
        Ok(Self { range: mapped.range.clone(), mapped: Some(mapped) })
    }

    /// The address just above the stack: where its first push goes below.
    pub(crate) fn top(&self) -> VirtAddr {
        self.range.end
    }

    /// The address of the stack's lowest byte.
    pub(crate) fn bottom(&self) -> VirtAddr {
        self.range.start
    }

    /// The stack's size.
    pub(crate) fn size(&self) -> u64 {
        self.range.length()
    }

    /// How many bytes of the stack are free if this is its stack pointer; `None` if that is not in this stack.
    pub(crate) fn room_below(&self, stack_pointer: VirtAddr) -> Option<u64> {
        (self.range.start..=self.range.end).contains(&stack_pointer).then(|| stack_pointer - self.range.start)
    }

    /// Whether the address lies in the unmapped space below this stack: an overflow.
    pub(crate) fn guards(&self, address: VirtAddr) -> bool {
        (self.range.end - STACK_STRIDE..self.range.start).contains(&address)
    }
}

/// Bytes of the unused stacks that stay mapped.
pub(crate) fn unused_bytes() -> u64 {
    UNUSED.lock().iter().flatten().map(|mapped| mapped.range.length()).sum()
}

/// The most stacks that there were at once since the boot, unused ones among them.
pub(crate) fn most() -> u64 {
    SLOTS.lock().as_ref().map_or(0, |slots| slots.most_taken)
}

fn allocate_slot() -> Option<u64> {
    let mut slots = SLOTS.lock();
    let slots = slots.get_or_insert_with(|| {
        let mut free = Bitmap::new(vec![0; STACK_SLOTS / 64].leak());
        free.release(0, STACK_SLOTS as u64);
        Slots { free, most_taken: 0 }
    });
    let slot = slots.free.allocate(1)?;
    slots.most_taken = slots.most_taken.max(STACK_SLOTS as u64 - slots.free.free());
    Some(slot)
}

fn release_slot(slot: u64) {
    if let Some(slots) = SLOTS.lock().as_mut() {
        slots.free.release(slot, 1);
    }
}

impl Drop for Stack {
    /// Keeps the stack for the next thread; unmaps many at once when too many are kept.
    fn drop(&mut self) {
        let Some(mapped) = self.mapped.take() else { return };
        Mapped::unmap(&mapped.keep());
    }
}
