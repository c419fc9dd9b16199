//! DRAM that grows with the pool, asked for where that can fail.

use alloc::vec::Vec;

use crate::error::Error;

/// There is no DRAM for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl From<NoRoom> for Error {
    fn from(_: NoRoom) -> Self {
        Error::NoMemory { needed: 0 }
    }
}

/// Appends to a list.
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), NoRoom> {
    list.try_reserve(1).map_err(|_| NoRoom)?;
    list.push(item);
    Ok(())
}

/// A list of so many equal items.
pub(crate) fn filled<T: Clone>(len: usize, item: T) -> Result<Vec<T>, NoRoom> {
    let mut list = with_room(len)?;
    list.resize(len, item);
    Ok(list)
}

/// An empty list with room for so many items.
pub(crate) fn with_room<T>(len: usize) -> Result<Vec<T>, NoRoom> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| NoRoom)?;
    Ok(list)
}

/// Appends bytes to a list of them.
pub(crate) fn append(list: &mut Vec<u8>, bytes: &[u8]) -> Result<(), NoRoom> {
    list.try_reserve(bytes.len()).map_err(|_| NoRoom)?;
    list.extend_from_slice(bytes);
    Ok(())
}

/// Makes a list of bytes so long, as [`Vec::resize`] does.
pub(crate) fn resize(bytes: &mut Vec<u8>, len: usize) -> Result<(), NoRoom> {
    bytes.try_reserve(len.saturating_sub(bytes.len())).map_err(|_| NoRoom)?;
    bytes.resize(len, 0);
    Ok(())
}
