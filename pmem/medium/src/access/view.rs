//! Windows on a byte range of a medium, valid inside one scope.
//!
//! A view borrows the scope's handle, so it dies with the scope; it copies and compares, and never lends a reference
//! to the memory behind it. Positions are relative to the view's start and checked against its length.

use core::ops::Range;

use super::{Load, Store};
use crate::error::{LoadError, OutOfRange};

/// How much moves through the stack at once when a view compares.
const PIECE: usize = 512;

/// A readable window on a byte range.
#[derive(Debug)]
pub struct View<'g, G: Load + ?Sized> {
    grant: &'g G,
    start: u64,
    len: u64,
}

impl<G: Load + ?Sized> Clone for View<'_, G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G: Load + ?Sized> Copy for View<'_, G> {}

impl<'g, G: Load + ?Sized> View<'g, G> {
    pub(crate) fn new(grant: &'g G, range: Range<u64>) -> Result<Self, OutOfRange> {
        if range.start > range.end {
            return Err(OutOfRange { range, len: grant.size() });
        }
        OutOfRange::check(range.start, range.end - range.start, grant.size())?;
        Ok(View { grant, start: range.start, len: range.end - range.start })
    }

    /// Bytes in the window.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the window has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A window on a part of this one.
    pub fn slice(&self, range: Range<u64>) -> Result<View<'g, G>, OutOfRange> {
        if range.start > range.end {
            return Err(OutOfRange { range, len: self.len });
        }
        OutOfRange::check(range.start, range.end - range.start, self.len)?;
        Ok(View { grant: self.grant, start: self.start + range.start, len: range.end - range.start })
    }

    /// Copies the bytes at `at` into `into`.
    pub fn copy_to(&self, at: u64, into: &mut [u8]) -> Result<(), LoadError> {
        OutOfRange::check(at, into.len() as u64, self.len)?;
        self.grant.load(self.start + at, into)
    }

    /// Reads one byte.
    pub fn read_u8(&self, at: u64) -> Result<u8, LoadError> {
        let mut bytes = [0; 1];
        self.copy_to(at, &mut bytes)?;
        Ok(bytes[0])
    }

    /// Reads a little-endian `u16`.
    pub fn read_u16(&self, at: u64) -> Result<u16, LoadError> {
        let mut bytes = [0; 2];
        self.copy_to(at, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// Reads a little-endian `u32`.
    pub fn read_u32(&self, at: u64) -> Result<u32, LoadError> {
        let mut bytes = [0; 4];
        self.copy_to(at, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads a little-endian `u64`.
    pub fn read_u64(&self, at: u64) -> Result<u64, LoadError> {
        let mut bytes = [0; 8];
        self.copy_to(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Whether the window holds exactly `other`.
    pub fn equals(&self, other: &[u8]) -> Result<bool, LoadError> {
        if other.len() as u64 != self.len {
            return Ok(false);
        }
        let mut at = 0;
        for part in other.chunks(PIECE) {
            let mut piece = [0; PIECE];
            let piece = &mut piece[..part.len()];
            self.copy_to(at, piece)?;
            if piece != part {
                return Ok(false);
            }
            at += part.len() as u64;
        }
        Ok(true)
    }
}

/// A readable and writable window on a byte range.
#[derive(Debug)]
pub struct ViewMut<'g, G: Store + ?Sized> {
    view: View<'g, G>,
}

impl<'g, G: Store + ?Sized> ViewMut<'g, G> {
    pub(crate) fn new(grant: &'g G, range: Range<u64>) -> Result<Self, OutOfRange> {
        Ok(ViewMut { view: View::new(grant, range)? })
    }

    /// The same window, for reading.
    pub fn as_view(&self) -> View<'g, G> {
        self.view
    }

    /// Copies `from` to `at`.
    pub fn copy_from(&mut self, at: u64, from: &[u8]) -> Result<(), OutOfRange> {
        OutOfRange::check(at, from.len() as u64, self.view.len)?;
        self.view.grant.store(self.view.start + at, from)
    }

    /// Stores a little-endian `u64`; in one piece if it lies at a multiple of eight of the medium.
    pub fn write_u64(&mut self, at: u64, value: u64) -> Result<(), OutOfRange> {
        self.copy_from(at, &value.to_le_bytes())
    }

    /// Stores `byte` everywhere in the window.
    pub fn fill(&mut self, byte: u8) -> Result<(), OutOfRange> {
        self.view.grant.fill(self.view.start, self.view.len, byte)
    }

    /// Starts writing back the window's lines; they are durable after the next fence of the scope.
    pub fn write_back(&self) -> Result<(), OutOfRange> {
        self.view.grant.write_back(self.view.start..self.view.start + self.view.len)
    }
}
