//! What a scope permits: copies out of the medium, and into it.

use core::ops::Range;

use crate::error::{LoadError, OutOfRange};

mod view;

pub use view::{View, ViewMut};

/// What a read scope permits: copies out of the medium.
pub trait Load {
    /// The medium's length in bytes.
    fn size(&self) -> u64;

    /// Copies the bytes at `offset` into `into`, which after an error may have changed.
    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError>;

    /// A window on a byte range, checked once. It borrows the scope's handle and so cannot outlive the scope.
    fn view(&self, range: Range<u64>) -> Result<View<'_, Self>, OutOfRange> {
        View::new(self, range)
    }
}

/// What a write scope permits: copies into the medium, and making them durable.
///
/// A store is durable once the lines that it touched were written back and a fence followed. Before that any subset
/// of the 8-byte words stored may be what a power cut leaves behind; lines may also persist early, by themselves.
pub trait Store: Load {
    /// Copies `from` to `offset`. Eight bytes at a multiple of eight are stored in one piece.
    fn store(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange>;

    /// Copies `from` to `offset`, past the caches where the machine can: durable after the next fence, without a
    /// write-back. For bytes that nobody reads soon. Where the machine cannot, or one of the ends is no multiple of
    /// eight, the bytes are stored and written back.
    fn stream(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        self.store(offset, from)?;
        self.write_back(offset..offset + from.len() as u64)
    }

    /// Stores `len` times `byte` from `offset` on.
    fn fill(&self, offset: u64, len: u64, byte: u8) -> Result<(), OutOfRange>;

    /// Starts writing back every cache line that `range` touches. Returns without waiting.
    fn write_back(&self, range: Range<u64>) -> Result<(), OutOfRange>;

    /// Waits until every line written back before is durable.
    fn fence(&self);

    /// A writable window on a byte range, checked once.
    fn view_mut(&self, range: Range<u64>) -> Result<ViewMut<'_, Self>, OutOfRange> {
        ViewMut::new(self, range)
    }
}

impl<T: Load + ?Sized> Load for &T {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn load(&self, offset: u64, into: &mut [u8]) -> Result<(), LoadError> {
        (**self).load(offset, into)
    }
}

impl<T: Store + ?Sized> Store for &T {
    fn store(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        (**self).store(offset, from)
    }

    fn stream(&self, offset: u64, from: &[u8]) -> Result<(), OutOfRange> {
        (**self).stream(offset, from)
    }

    fn fill(&self, offset: u64, len: u64, byte: u8) -> Result<(), OutOfRange> {
        (**self).fill(offset, len, byte)
    }

    fn write_back(&self, range: Range<u64>) -> Result<(), OutOfRange> {
        (**self).write_back(range)
    }

    fn fence(&self) {
        (**self).fence();
    }
}
