//! Making leaves.

use core::ops::Range;

use super::{AddressSpace, MapError, Piece, TableMemory};
use crate::addr::{AddrRange, PhysAddr, VirtAddr};
use crate::arch::page_table::Entry;
use crate::arch::paging::{PAGE, coverage, index};
use crate::mm::attributes::Attributes;

impl<M: TableMemory> AddressSpace<M> {
    /// Maps `range` to the physical memory from `physical` on. On an error nothing is mapped.
    pub fn map(&mut self, range: Range<VirtAddr>, physical: PhysAddr, attributes: Attributes) -> Result<(), MapError> {
        let length = (range.start <= range.end).then(|| range.length()).ok_or(MapError::Misaligned)?;
        let end = physical.checked_add(length).ok_or(MapError::BadPhysical(physical))?;
        self.map_pieces(range.start, &[Piece::Memory { physical: physical..end, attributes }]).map(drop)
    }

    /// Maps the `pieces` one after the other from `start` on, each to its own memory with its own attributes and with
    /// the largest pages that fit; the addresses that they occupy. On an error nothing is mapped.
    pub fn map_pieces(&mut self, start: VirtAddr, pieces: &[Piece]) -> Result<Range<VirtAddr>, MapError> {
        let mut at = start;
        for piece in pieces {
            let length = piece.length();
            let mapped = self.check_range(&(at..at.wrapping_add(length))).and_then(|()| match piece {
                Piece::Hole { .. } => Ok(()),
                Piece::Memory { physical, attributes } => self.map_piece(at, physical, *attributes),
            });
            if let Err(error) = mapped {
                // The piece that failed has undone its own part. What the others mapped, nobody has used.
                self.unmap_leaves(&(start..at), &mut |_| {});
                return Err(error);
            }
            at += length;
        }
        Ok(start..at)
    }

    fn map_piece(
        &mut self,
        start: VirtAddr,
        physical: &Range<PhysAddr>,
        attributes: Attributes,
    ) -> Result<(), MapError> {
        if !physical.is_aligned(PAGE) || physical.start > physical.end {
            return Err(MapError::Misaligned);
        }
        if physical.end > self.mode.physical_end() {
            return Err(MapError::BadPhysical(physical.start));
        }
        let mut target = physical.start;
        while target < physical.end {
            let at = start + (target - physical.start);
            let level = self.leaf_level(at, target, physical.end - target);
            if let Err(error) = self.map_leaf(at, target, level, attributes) {
                // Where memory ran out nothing was mapped; there may be tables on the way there, which go too.
                let end = if error == MapError::OutOfMemory { at + PAGE } else { at };
                self.unmap_leaves(&(start..end), &mut |_| {});
                return Err(error);
            }
            target += coverage(level);
        }
        Ok(())
    }

    /// The highest level whose leaf fits the alignment of both addresses and the length that is left.
    fn leaf_level(&self, at: VirtAddr, target: PhysAddr, length: u64) -> u32 {
        let fits = |&level: &u32| {
            let size = coverage(level);
            at.is_aligned(size) && target.is_aligned(size) && length >= size
        };
        (2..=self.mode.leaf_limit()).rev().find(fits).unwrap_or(1)
    }

    fn map_leaf(
        &mut self,
        at: VirtAddr,
        physical: PhysAddr,
        level: u32,
        attributes: Attributes,
    ) -> Result<(), MapError> {
        let mut table = self.root;
        for above in (level + 1..=self.mode.levels.root()).rev() {
            let entry = self.memory.table(table).get(index(at, above));
            if entry.is_present() && entry.is_leaf(above) {
                return Err(MapError::AlreadyMapped(at));
            }
            table = if entry.is_present() {
                entry.physical(above, self.mode)
            } else {
                let new = self.memory.allocate().ok_or(MapError::OutOfMemory)?;
                self.memory.table(table).set(index(at, above), Entry::table(new));
                new
            };
        }
        let table = self.memory.table(table);
        if table.get(index(at, level)).is_present() {
            return Err(MapError::AlreadyMapped(at));
        }
        let encryption = if attributes.is_encrypted() { self.mode.encryption.set } else { 0 };
        table.set(index(at, level), Entry::leaf(level, physical, attributes.flags(), encryption));
        Ok(())
    }
}
