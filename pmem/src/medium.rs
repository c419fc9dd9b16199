//! The persistence interface: what the pool asks of the memory that it lives in.
//!
//! A [`Medium`] is a run of bytes that survives a power cut. It is reached only inside a *scope*: a closure that gets
//! a read or a write handle and cannot keep it. On the guest a scope is a protection-key grant (two register writes),
//! so callers take one for a batch of work, not one for a field. Scopes nest: the inner one's end restores what the
//! outer one had.
//!
//! Bytes move by copy only. Nothing here hands out a Rust reference into the medium: the compiler may move an access
//! through a reference across the register write that opens or closes the scope, and takes the memory behind it for
//! always readable. Both would be wrong.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::view::{View, ViewMut};

/// Bytes in a cache line: what one write-back moves, and what persists or is lost as a unit of 8-byte words.
pub const LINE: u64 = 64;

/// Bytes in a page: what [`Medium::set_writable`] permits or forbids stores to as a whole.
pub const PAGE: u64 = 4096;

/// An access outside the medium. Nothing was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// The byte range asked for, from the start of the medium.
    pub range: Range<u64>,
    /// The medium's length in bytes.
    pub len: u64,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access to bytes {:#x}..{:#x} of a medium of {:#x} bytes", self.range.start, self.range.end, self.len)
    }
}

impl core::error::Error for OutOfRange {}

impl OutOfRange {
    /// Checks that `bytes` bytes at `offset` lie within a medium of `len` bytes.
    pub(crate) fn check(offset: u64, bytes: u64, len: u64) -> Result<(), OutOfRange> {
        match offset.checked_add(bytes) {
            Some(end) if end <= len => Ok(()),
            _ => Err(OutOfRange { range: offset..offset.saturating_add(bytes), len }),
        }
    }
}

/// Why bytes were not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// They do not all lie within the medium.
    OutOfRange(OutOfRange),
    /// The medium cannot read these bytes any more. What was loaded of the others is not to be used.
    Unreadable(Range<u64>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::OutOfRange(out_of_range) => out_of_range.fmt(f),
            LoadError::Unreadable(bad) => {
                write!(f, "bytes {:#x}..{:#x} of the medium are unreadable", bad.start, bad.end)
            }
        }
    }
}

impl core::error::Error for LoadError {}

impl From<OutOfRange> for LoadError {
    fn from(out_of_range: OutOfRange) -> Self {
        LoadError::OutOfRange(out_of_range)
    }
}

/// The medium is gone: its device was removed or shut down. No data was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the persistent-memory device is gone")
    }
}

impl core::error::Error for Gone {}

/// Why a write scope was not entered. No data was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The medium is gone.
    Gone,
    /// The medium keeps no stores.
    ReadOnly,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Gone => Gone.fmt(f),
            WriteError::ReadOnly => f.write_str("the persistent-memory device is read-only: it would not keep stores"),
        }
    }
}

impl core::error::Error for WriteError {}

impl From<Gone> for WriteError {
    fn from(_: Gone) -> Self {
        WriteError::Gone
    }
}

/// Why stores to a part of a medium were neither permitted nor forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteProtectError {
    /// It does not lie within the medium.
    OutOfRange(OutOfRange),
    /// An end of it is no multiple of [`PAGE`].
    Misaligned(Range<u64>),
    /// The medium is gone.
    Gone,
    /// The medium keeps no stores, so none of it can be writable.
    ReadOnly,
    /// There is no memory for the tables that smaller pages need.
    OutOfMemory,
}

impl fmt::Display for WriteProtectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(out_of_range) => out_of_range.fmt(f),
            Self::Misaligned(range) => write!(
                f,
                "bytes {:#x}..{:#x} are no whole pages: their ends have to be multiples of {PAGE}",
                range.start, range.end
            ),
            Self::Gone => Gone.fmt(f),
            Self::ReadOnly => f.write_str("the medium keeps no stores, so none of it can be writable"),
            Self::OutOfMemory => f.write_str("no memory is left for page tables; give the machine more"),
        }
    }
}

impl core::error::Error for WriteProtectError {}

impl WriteProtectError {
    /// Checks that `range` is whole pages of a medium of `len` bytes.
    pub(crate) fn check(range: &Range<u64>, len: u64) -> Result<(), WriteProtectError> {
        if range.start > range.end || range.end > len {
            return Err(Self::OutOfRange(OutOfRange { range: range.clone(), len }));
        }
        if !(range.start | range.end).is_multiple_of(PAGE) {
            return Err(Self::Misaligned(range.clone()));
        }
        Ok(())
    }
}

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

/// Counts of what was done to a medium since it was opened. Exact where times are noisy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Read scopes entered.
    pub read_grants: u64,
    /// Write scopes entered.
    pub write_grants: u64,
    /// Bytes loaded.
    pub bytes_loaded: u64,
    /// Bytes stored.
    pub bytes_stored: u64,
    /// Of these, bytes stored past the caches, which need no write-back.
    pub bytes_streamed: u64,
    /// Cache lines written back. None where the platform flushes caches when power fails (eADR).
    pub lines_written_back: u64,
    /// Fences.
    pub fences: u64,
}

/// The number of cache lines that a byte range touches.
pub(crate) fn lines_touched(range: &Range<u64>) -> u64 {
    if range.start >= range.end { 0 } else { (range.end - 1) / LINE - range.start / LINE + 1 }
}
