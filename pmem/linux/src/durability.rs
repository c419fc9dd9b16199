//! What a fence promises: that what was written back before it survives.
//!
//! Durable means here what the system's kernel can promise: a fence is `msync` of what was written back since the last
//! one.

use std::io;
use std::ops::Range;

use pmem_medium::LINE;

use crate::map::Map;

/// What one write grant has written back and not yet fenced.
#[derive(Debug, Default)]
pub(crate) struct Unfenced(Vec<Range<u64>>);

impl Unfenced {
    /// A range of bytes, which is not empty, is written back.
    pub(crate) fn write_back(&mut self, range: Range<u64>) {
        match self.0.last_mut() {
            // Neighbours become one call to msync.
            Some(last) if range.start <= last.end.next_multiple_of(LINE) && range.start >= last.start => {
                last.end = last.end.max(range.end);
            }
            _ => self.0.push(range),
        }
    }

    /// Returns when all that was written back is durable. After an error nothing can be promised of it.
    pub(crate) fn fence(&mut self, map: &Map) -> io::Result<()> {
        self.0.drain(..).try_for_each(|range| map.sync(range.start as usize..range.end as usize))
    }
}
