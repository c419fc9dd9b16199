//! System calls with a device's bytes.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// How many bytes the calls move, and those that a device gets.
pub const BYTES: usize = 8;
pub const NEW: [u8; BYTES] = *b"new data";

/// The bytes of a system call that went well, and what became of one that did not.
pub fn bytes(result: isize) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap())
}

/// read(2) of a file into a device.
pub fn read_into(address: usize, from: &File) -> Result<usize, i32> {
    // SAFETY: the bytes are a device's, into which no reference is ever made.
    bytes(unsafe { libc::pread(from.as_raw_fd(), address as *mut libc::c_void, BYTES, 0) })
}

/// write(2) of a device's bytes to a file.
pub fn write_from(address: usize, to: &File) -> Result<usize, i32> {
    // SAFETY: as above.
    bytes(unsafe { libc::pwrite(to.as_raw_fd(), address as *const libc::c_void, BYTES, 0) })
}
