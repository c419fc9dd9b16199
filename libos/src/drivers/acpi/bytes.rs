//! Little-endian fields of a firmware table; a field past the end is `None`.

use crate::addr::PhysAddr;

/// `N` bytes at `offset`.
pub fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// The byte at `offset`.
pub fn u8_at(bytes: &[u8], offset: usize) -> Option<u8> {
    bytes.get(offset).copied()
}

/// The 16-bit field at `offset`.
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_le_bytes)
}

/// The 32-bit field at `offset`.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_le_bytes)
}

/// The 64-bit field at `offset`.
pub fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    array_at(bytes, offset).map(u64::from_le_bytes)
}

/// The physical address of 32 bits at `offset`.
pub fn address_32_at(bytes: &[u8], offset: usize) -> Option<PhysAddr> {
    u32_at(bytes, offset).map(|address| PhysAddr::new(address.into()))
}

/// The physical address of 64 bits at `offset`.
pub fn address_64_at(bytes: &[u8], offset: usize) -> Option<PhysAddr> {
    u64_at(bytes, offset).map(PhysAddr::new)
}
