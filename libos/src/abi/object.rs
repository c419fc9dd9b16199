//! What descriptors refer to.

use hermit_abi::{O_RDWR, stat};

use super::errno::Errno;
use crate::fs::Open;
use crate::io::{IoSlices, IoSlicesMut, Ready};
use crate::net::Socket;

/// What a descriptor refers to; several descriptors may share one object.
pub(super) trait Object: Send + Sync {
    /// Reads into the buffers. Zero is the end of the data.
    fn read(&self, _into: &mut IoSlicesMut<'_>) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }
    /// Writes what is in the buffers, or a part of it.
    fn write(&self, _from: &IoSlices<'_>) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }
    /// What it is ready for, for a poller that sleeps until that comes to contain any of `interest`.
    fn look(&self, interest: Ready) -> Ready;
    /// Fills in what `fstat` tells; all else is zero.
    fn describe(&self, about: &mut stat);
    /// Its flags, as `F_GETFL` says them, but for O_NONBLOCK.
    fn status_flags(&self) -> i32 {
        O_RDWR
    }
    /// Decides whether each write goes to the end.
    fn set_append(&self, _on: bool) {}
    /// Whether calls fail with EAGAIN instead of blocking.
    fn nonblocking(&self) -> bool {
        false
    }
    /// Makes calls fail instead of blocking, or block.
    fn set_nonblocking(&self, _on: bool) {}
    /// The open file or directory, if it is one.
    fn file(&self) -> Option<&Open> {
        None
    }
    /// The socket, if it is one.
    fn socket(&self) -> Option<&Socket> {
        None
    }
}
