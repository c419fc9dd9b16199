//! A program's buffers: one, or several that are filled or emptied in order.

use core::marker::PhantomData;
use core::slice;

use hermit_abi::iovec;

enum Raw<'a> {
    One(iovec),
    Many(&'a [iovec]),
}

impl Raw<'_> {
    fn all(&self) -> &[iovec] {
        match self {
            Raw::One(one) => slice::from_ref(one),
            Raw::Many(many) => many,
        }
    }
}

/// Buffers to read from.
pub struct IoSlices<'a> {
    raw: Raw<'a>,
    bytes: PhantomData<&'a [u8]>,
}

/// Buffers to write to.
pub struct IoSlicesMut<'a> {
    raw: Raw<'a>,
    bytes: PhantomData<&'a mut [u8]>,
}

impl<'a> IoSlices<'a> {
    /// A single buffer.
    pub fn one(bytes: &'a [u8]) -> Self {
        let raw = Raw::One(iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
        Self { raw, bytes: PhantomData }
    }

    /// Several buffers.
    ///
    /// # Safety
    /// Each names memory that is readable and not written to for as long as `'a`, or has no length.
    pub unsafe fn many(slices: &'a [iovec]) -> Self {
        Self { raw: Raw::Many(slices), bytes: PhantomData }
    }

    /// The buffers, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.raw.all().iter().map(|slice| match slice.iov_len {
            0 => &[][..],
            // SAFETY: `one` made it from a slice, or the caller of `many` answers for it.
            len => unsafe { slice::from_raw_parts(slice.iov_base.cast(), len) },
        })
    }
}

impl<'a> IoSlicesMut<'a> {
    /// A single buffer.
    pub fn one(bytes: &'a mut [u8]) -> Self {
        let raw = Raw::One(iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() });
        Self { raw, bytes: PhantomData }
    }

    /// Several buffers.
    ///
    /// # Safety
    /// Each names memory that is writable and used by nobody else for as long as `'a`, or has no length; no two
    /// overlap.
    pub unsafe fn many(slices: &'a [iovec]) -> Self {
        Self { raw: Raw::Many(slices), bytes: PhantomData }
    }

    /// The buffers, in order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.raw.all().iter().map(|slice| match slice.iov_len {
            0 => &mut [][..],
            // SAFETY: `one` made it from a slice, or the caller of `many` answers for it; `self` is borrowed for as
            // long as the slices live, and each slice is given out once.
            len => unsafe { slice::from_raw_parts_mut(slice.iov_base.cast(), len) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(bytes: &mut [u8]) -> iovec {
        iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
    }

    #[test]
    fn slices_come_in_order_and_more_than_once() {
        let (mut a, mut b) = ([1, 2], [3]);
        let nothing = iovec { iov_base: core::ptr::null_mut(), iov_len: 0 };
        let list = [raw(&mut a), nothing, raw(&mut b)];
        // SAFETY: the two arrays live, do not overlap and are not touched meanwhile.
        let mut slices = unsafe { IoSlicesMut::many(&list) };
        for _ in 0..2 {
            for slice in slices.iter_mut() {
                slice.fill(9);
            }
        }
        // SAFETY: as above.
        let slices = unsafe { IoSlices::many(&list) };
        assert!(slices.iter().eq([&[9, 9][..], &[], &[9]]));
        assert!(IoSlices::one(b"xy").iter().eq([b"xy"]));
        let mut c = [0; 3];
        IoSlicesMut::one(&mut c).iter_mut().for_each(|slice| slice.fill(7));
        assert_eq!(c, [7; 3]);
    }
}
