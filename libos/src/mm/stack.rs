//! Stacks with a guard: below each one nothing is mapped, so an overflow faults.

use alloc::vec;
use core::fmt;
use core::ops::Range;

use super::frames::FrameBitmap;
use super::layout::{PAGE, STACK_SLOTS, STACK_STRIDE, STACKS_BASE};
use super::page_table::MapError;
use super::space::{map_frames, unmap_frames};
use crate::sync::IrqLock;

/// The address slots for stacks; a bitmap of frames serves as well for slots.
static SLOTS: IrqLock<Option<FrameBitmap<'static>>> = IrqLock::new(None);
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

/// A mapped stack, whole pages; dropping it unmaps it.
#[derive(Debug)]
pub(crate) struct Stack {
    slot: u64,
    range: Range<u64>,
}

impl Stack {
    /// A stack of at least `bytes` bytes. Its contents are whatever the frames held.
    pub(crate) fn new(bytes: usize) -> Result<Self, StackError> {
        let bytes = bytes as u64;
        if bytes == 0 || bytes > STACK_STRIDE / 2 {
            return Err(StackError::BadSize);
        }
        let slot = {
            let mut slots = SLOTS.lock();
            let slots = slots.get_or_insert_with(|| {
                let mut all = FrameBitmap::new(vec![0; STACK_SLOTS / 64].leak());
                all.release(0, STACK_SLOTS as u64);
                all
            });
            slots.allocate(1).ok_or(StackError::OutOfMemory)?
        };
        let top = STACKS_BASE + (slot + 1) * STACK_STRIDE;
        let range = top - bytes.next_multiple_of(PAGE)..top;
        if let Err(error) = map_frames(range.clone()) {
            release_slot(slot);
            return Err(error.into());
        }
        Ok(Self { slot, range })
    }

    /// The address just above the stack: where its first push goes below.
    pub(crate) fn top(&self) -> u64 {
        self.range.end
    }

    /// Whether the address lies in the unmapped space below this stack: an overflow.
    pub(crate) fn guards(&self, address: u64) -> bool {
        (self.range.end - STACK_STRIDE..self.range.start).contains(&address)
    }
}

fn release_slot(slot: u64) {
    if let Some(slots) = SLOTS.lock().as_mut() {
        slots.release(slot, 1);
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        unmap_frames(self.range.clone());
        release_slot(self.slot);
    }
}
