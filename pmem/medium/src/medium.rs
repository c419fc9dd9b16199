//! A medium: a run of persistent bytes, and the scopes in which it is reached.

use alloc::vec::Vec;
use core::ops::Range;

use crate::access::{Load, Store};
use crate::counters::Counters;
use crate::error::{Gone, WriteError, WriteProtectError};

/// A run of persistent bytes, reached in scopes.
///
/// The handles are `Copy` values that live as long as the scope (`'g`) and no longer; implementations make them
/// neither `Send` nor `Sync`, for a grant belongs to the thread that took it.
pub trait Medium {
    /// The handle of a read scope.
    type Reader<'g>: Load + Copy;
    /// The handle of a write scope.
    type Writer<'g>: Store + Copy;

    /// Lets a reader pass for one of a shorter life, as a reference would. Implementations return `reader` as it is;
    /// the compiler does not know by itself that this is sound for every handle type.
    fn shorten<'short, 'long: 'short>(reader: Self::Reader<'long>) -> Self::Reader<'short>;

    /// The medium's length in bytes. It never changes while the medium is open.
    fn len(&self) -> u64;

    /// Whether the medium has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the medium keeps no stores. No write scope is entered then ([`WriteError::ReadOnly`]).
    fn is_read_only(&self) -> bool {
        false
    }

    /// Runs `f` with read access.
    fn read<R>(&self, f: impl for<'g> FnOnce(Self::Reader<'g>) -> R) -> Result<R, Gone>;

    /// Runs `f` with read and write access.
    fn write<R>(&self, f: impl for<'g> FnOnce(Self::Writer<'g>) -> R) -> Result<R, WriteError>;

    /// Permits stores to this range, in write scopes as ever, or forbids them to everyone, whatever scopes are open.
    /// For what stays as it is for long: on the guest it edits page tables and waits for every CPU. When this returns
    /// it holds for all threads, until it is changed or the machine ends; nothing of it is in the medium. On an error
    /// nothing has changed.
    ///
    /// A medium that cannot do it checks its argument and does nothing.
    fn set_writable(&self, range: Range<u64>, writable: bool) -> Result<(), WriteProtectError> {
        let _ = writable;
        WriteProtectError::check(&range, self.len())
    }

    /// How many ranges the medium has reported as unreadable since the machine started. When it grows,
    /// [`Medium::bad_ranges`] has news. Media that never report any keep this.
    fn media_errors(&self) -> usize {
        0
    }

    /// The byte ranges that the medium has reported as unreadable since the machine started, by a machine check for
    /// example.
    fn bad_ranges(&self) -> Vec<Range<u64>> {
        Vec::new()
    }

    /// What was done to the medium since it was opened.
    fn counters(&self) -> Counters;
}

impl<M: Medium> Medium for &M {
    type Reader<'g> = M::Reader<'g>;
    type Writer<'g> = M::Writer<'g>;

    fn shorten<'short, 'long: 'short>(reader: Self::Reader<'long>) -> Self::Reader<'short> {
        M::shorten(reader)
    }

    fn len(&self) -> u64 {
        (**self).len()
    }

    fn is_read_only(&self) -> bool {
        (**self).is_read_only()
    }

    fn read<R>(&self, f: impl for<'g> FnOnce(Self::Reader<'g>) -> R) -> Result<R, Gone> {
        (**self).read(f)
    }

    fn write<R>(&self, f: impl for<'g> FnOnce(Self::Writer<'g>) -> R) -> Result<R, WriteError> {
        (**self).write(f)
    }

    fn set_writable(&self, range: Range<u64>, writable: bool) -> Result<(), WriteProtectError> {
        (**self).set_writable(range, writable)
    }

    fn media_errors(&self) -> usize {
        (**self).media_errors()
    }

    fn bad_ranges(&self) -> Vec<Range<u64>> {
        (**self).bad_ranges()
    }

    fn counters(&self) -> Counters {
        (**self).counters()
    }
}
