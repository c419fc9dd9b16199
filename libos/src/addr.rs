//! Addresses: a physical one and a virtual one are of different types, so that none is taken for the other.
//!
//! Neither becomes the other but where memory is mapped so, and that has a name: [`PhysAddr::identity_mapped`] and
//! [`VirtAddr::identity_physical`] for what lies at its physical address, and for persistent memory
//! [`pmem_window`](crate::mm::layout::pmem_window).
//!
//! Any 64 bits are an address. Firmware may name one where nothing can be, and a fault may be at one that no CPU
//! translates: [`Levels::is_canonical`](crate::arch::paging::Levels::is_canonical) and
//! [`Mode::physical_end`](crate::arch::paging::Mode::physical_end) tell what a machine can use.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Add, AddAssign, Range, Sub};

/// The space that physical addresses are of. There is no IOMMU, so it is also that of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Physical {}

/// The space that virtual addresses are of: the one address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Virtual {}

/// An address of this space, see [`PhysAddr`] and [`VirtAddr`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Addr<Space> {
    bits: u64,
    space: PhantomData<Space>,
}

/// A physical address. It is not a virtual one:
///
/// ```compile_fail,E0308
/// # use libos::addr::{PhysAddr, VirtAddr};
/// let at: VirtAddr = PhysAddr::new(0x1000);
/// ```
///
/// Nor is a difference an address, or a place in one space comparable to one in the other:
///
/// ```compile_fail,E0308
/// # use libos::addr::{PhysAddr, VirtAddr};
/// let is_inside = |range: &core::ops::Range<PhysAddr>, at: VirtAddr| range.contains(&at);
/// ```
///
/// ```compile_fail,E0308
/// # use libos::addr::PhysAddr;
/// let length: PhysAddr = PhysAddr::new(0x2000) - PhysAddr::new(0x1000);
/// ```
pub type PhysAddr = Addr<Physical>;

/// A virtual address, as a pointer has it. It is not a physical one:
///
/// ```compile_fail,E0308
/// # use libos::addr::{PhysAddr, VirtAddr};
/// let at: PhysAddr = VirtAddr::new(0x1000);
/// ```
///
/// What is mapped at its physical address has both, and it is said when one becomes the other:
///
/// ```
/// # use libos::addr::{PhysAddr, VirtAddr};
/// assert_eq!(PhysAddr::new(0x1000).identity_mapped(), VirtAddr::new(0x1000));
/// ```
pub type VirtAddr = Addr<Virtual>;

impl<Space> Addr<Space> {
    /// The address 0.
    pub const ZERO: Self = Self::new(0);

    /// The address with these bits.
    pub const fn new(bits: u64) -> Self {
        Self { bits, space: PhantomData }
    }

    /// Its bits.
    pub const fn as_u64(self) -> u64 {
        self.bits
    }

    /// Whether it is a multiple of `alignment`.
    pub const fn is_aligned(self, alignment: u64) -> bool {
        self.bits.is_multiple_of(alignment)
    }

    /// The last multiple of `alignment`, a power of two, that is not above it.
    #[must_use]
    pub const fn align_down(self, alignment: u64) -> Self {
        Self::new(self.bits & !(alignment - 1))
    }

    /// The first multiple of `alignment`, a power of two, that is not below it. There has to be one.
    #[must_use]
    pub const fn align_up(self, alignment: u64) -> Self {
        Self::new(self.bits.next_multiple_of(alignment))
    }

    /// The address so many bytes further on, if there is one.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.bits.checked_add(bytes) {
            Some(bits) => Some(Self::new(bits)),
            None => None,
        }
    }

    /// The address so many bytes further on, or the last one.
    #[must_use]
    pub const fn saturating_add(self, bytes: u64) -> Self {
        Self::new(self.bits.saturating_add(bytes))
    }

    /// The address so many bytes further on, round the end if need be.
    #[must_use]
    pub const fn wrapping_add(self, bytes: u64) -> Self {
        Self::new(self.bits.wrapping_add(bytes))
    }

    /// The address so many bytes before, round the beginning if need be.
    #[must_use]
    pub const fn wrapping_sub(self, bytes: u64) -> Self {
        Self::new(self.bits.wrapping_sub(bytes))
    }
}

impl PhysAddr {
    /// Where RAM, tables of the firmware and registers of devices are mapped: at their physical addresses. Persistent
    /// memory is not.
    #[must_use]
    #[inline]
    pub const fn identity_mapped(self) -> VirtAddr {
        VirtAddr::new(self.bits)
    }
}

impl VirtAddr {
    /// The physical address of what is mapped there, if that is something that [`PhysAddr::identity_mapped`] is about.
    #[must_use]
    #[inline]
    pub const fn identity_physical(self) -> PhysAddr {
        PhysAddr::new(self.bits)
    }

    /// The address of what the pointer leads to.
    pub fn from_ptr<T: ?Sized>(pointer: *const T) -> Self {
        Self::new(pointer.addr() as u64)
    }

    /// A pointer to what is there.
    pub const fn as_ptr<T>(self) -> *const T {
        self.bits as *const T
    }

    /// A pointer to what is there, for writing.
    pub const fn as_mut_ptr<T>(self) -> *mut T {
        self.bits as *mut T
    }
}

impl<Space> Add<u64> for Addr<Space> {
    type Output = Self;

    /// The address so many bytes further on. There has to be one.
    fn add(self, bytes: u64) -> Self {
        Self::new(self.bits + bytes)
    }
}

impl<Space> AddAssign<u64> for Addr<Space> {
    fn add_assign(&mut self, bytes: u64) {
        self.bits += bytes;
    }
}

impl<Space> Sub<u64> for Addr<Space> {
    type Output = Self;

    /// The address so many bytes before. There has to be one.
    fn sub(self, bytes: u64) -> Self {
        Self::new(self.bits - bytes)
    }
}

impl<Space> Sub for Addr<Space> {
    type Output = u64;

    /// How many bytes this one is further on than `other`, which is not above it.
    fn sub(self, other: Self) -> u64 {
        self.bits - other.bits
    }
}

impl<Space> fmt::LowerHex for Addr<Space> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.bits, f)
    }
}

impl<Space> fmt::Debug for Addr<Space> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.bits)
    }
}

/// What a range of addresses knows besides what every [`Range`] does.
pub trait AddrRange<Space>: Sized {
    /// The `length` bytes from `start` on. There have to be so many.
    fn of(start: Addr<Space>, length: u64) -> Self;

    /// Its length; 0 if its end is before its start.
    fn length(&self) -> u64;

    /// Whether some byte is in both.
    fn overlaps(&self, other: &Self) -> bool;

    /// Whether each byte of `other` is in it.
    fn covers(&self, other: &Self) -> bool;

    /// Whether start and end are multiples of `alignment`.
    fn is_aligned(&self, alignment: u64) -> bool;

    /// The least range of whole pages, or other units of `size` bytes, a power of two, that covers it.
    #[must_use]
    fn widened_to(&self, size: u64) -> Self;

    /// Every address that is a multiple of `step` away from the start, which is the first.
    fn steps(&self, step: u64) -> impl Iterator<Item = Addr<Space>>;
}

impl<Space: Copy + Ord> AddrRange<Space> for Range<Addr<Space>> {
    fn of(start: Addr<Space>, length: u64) -> Self {
        start..start + length
    }

    fn length(&self) -> u64 {
        self.end.bits.saturating_sub(self.start.bits)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    fn covers(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    fn is_aligned(&self, alignment: u64) -> bool {
        self.start.is_aligned(alignment) && self.end.is_aligned(alignment)
    }

    fn widened_to(&self, size: u64) -> Self {
        self.start.align_down(size)..self.end.align_up(size)
    }

    fn steps(&self, step: u64) -> impl Iterator<Item = Addr<Space>> {
        (self.start.bits..self.end.bits).step_by(step as usize).map(Addr::new)
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec::Vec;

    use super::*;

    fn range(start: u64, end: u64) -> Range<PhysAddr> {
        PhysAddr::new(start)..PhysAddr::new(end)
    }

    #[test]
    fn an_address_is_as_large_as_its_bits() {
        assert_eq!(size_of::<PhysAddr>(), 8);
        assert_eq!(size_of::<VirtAddr>(), 8);
    }

    #[test]
    fn addresses_are_aligned_down_and_up() {
        let at = VirtAddr::new(0x1fff);
        assert_eq!((at.align_down(0x1000), at.align_up(0x1000)), (VirtAddr::new(0x1000), VirtAddr::new(0x2000)));
        assert_eq!(at.align_up(0x1000).align_up(0x1000), VirtAddr::new(0x2000));
        assert!(at.align_down(8).is_aligned(8) && !at.is_aligned(8));
    }

    #[test]
    fn sums_say_when_there_is_no_such_address() {
        let last = PhysAddr::new(u64::MAX);
        assert_eq!((last.checked_add(0), last.checked_add(1)), (Some(last), None));
        assert_eq!((last.saturating_add(9), last.wrapping_add(9)), (last, PhysAddr::new(8)));
        assert_eq!(PhysAddr::new(8).wrapping_sub(9), last);
        assert_eq!(PhysAddr::new(0x3000) - PhysAddr::new(0x1000), 0x2000);
    }

    #[test]
    fn ranges_know_what_they_have_in_common() {
        let all = range(0x1000, 0x3000);
        assert_eq!((all.length(), range(2, 1).length()), (0x2000, 0));
        assert!(all.overlaps(&range(0x2fff, 0x5000)) && !all.overlaps(&range(0x3000, 0x5000)));
        assert!(all.covers(&range(0x1000, 0x3000)) && !all.covers(&range(0xfff, 0x3000)));
        assert_eq!(range(0x1001, 0x2001).widened_to(0x1000), all);
        assert!(all.is_aligned(0x1000) && !range(0x1000, 0x2001).is_aligned(0x1000));
        assert_eq!(all.steps(0x1000).collect::<Vec<_>>(), [all.start, all.start + 0x1000]);
        assert_eq!(Range::of(all.start, 0x2000), all);
    }

    #[test]
    fn addresses_are_shown_in_hexadecimal() {
        let at = VirtAddr::new(0x1230);
        assert_eq!(format!("{at:#x} {at:?} {at:#018x}"), "0x1230 0x1230 0x0000000000001230");
    }
}
