//! Descriptors: what a number names, and the calls that every kind of [`Object`] knows.

use alloc::sync::Arc;
use core::ffi::c_void;
use core::slice;

use hermit_abi::{
    F_DUPFD, F_GETFD, F_GETFL, F_SETFD, F_SETFL, FIONBIO, IOV_MAX, O_APPEND, O_NONBLOCK, iovec, stat, timespec,
};

use super::errno::{Errno, result};
use super::object::Object;
use super::stdio::{Input, Output};
use crate::io::{Full, IoSlices, IoSlicesMut, Table};
use crate::mm::{CALL_ROOM, has_room};
use crate::sync::class;
use crate::task::Mutex;

/// The most descriptors that can be open: more than there can be connections.
const LIMIT: usize = 20_000;

/// The open descriptors; `None` until the first call opens the three that every program finds open.
static TABLE: Mutex<Option<Table<Arc<dyn Object>>>, class::Descriptors> = Mutex::new(None);

/// Runs `work` with the table. No object is dropped in it: dropping one may have to wait for the network's lock.
pub(super) fn with_table<R>(work: impl FnOnce(&mut Table<Arc<dyn Object>>) -> R) -> R {
    let mut table = TABLE.lock();
    work(table.get_or_insert_with(|| {
        let mut table: Table<Arc<dyn Object>> = Table::new(LIMIT);
        let standard: [Arc<dyn Object>; 3] = [Arc::new(Input), Arc::new(Output(1)), Arc::new(Output(2))];
        for object in standard {
            // An empty table has room.
            let _ = table.insert(object, 0);
        }
        table
    }))
}

/// How many descriptors are open.
pub(crate) fn open_count() -> usize {
    with_table(|table| table.count())
}

/// The object that a descriptor names.
pub(super) fn object(fd: i32) -> Result<Arc<dyn Object>, Errno> {
    with_table(|table| table.get(fd).cloned()).ok_or(Errno::EBADF)
}

/// Fails while memory is too short for what a call makes beside what it was asked for.
pub(super) fn room() -> Result<(), Errno> {
    if has_room(CALL_ROOM) { Ok(()) } else { Err(Errno::ENOMEM) }
}

/// Gives an object a descriptor not below `from`.
pub(super) fn open(object: Arc<dyn Object>, from: usize) -> Result<i32, Errno> {
    let number = with_table(|table| table.insert(object.clone(), from));
    number.map(|number| number as i32).map_err(|Full| Errno::EMFILE)
}

/// A number of bytes, or the negative error number.
pub(super) fn count(outcome: Result<usize, Errno>) -> isize {
    result::<i64>(outcome.map(|bytes| bytes as i64)) as isize
}

/// The caller's buffer.
///
/// # Safety
/// Unless it is null, `buffer` points to `len` readable bytes that nobody writes to for as long as the slice is used.
pub(super) unsafe fn bytes<'a>(buffer: *const u8, len: usize) -> Result<&'a [u8], Errno> {
    match len {
        0 => Ok(&[]),
        _ if buffer.is_null() => Err(Errno::EFAULT),
        // SAFETY: the caller's.
        _ => Ok(unsafe { slice::from_raw_parts(buffer, len.min(isize::MAX as usize)) }),
    }
}

/// The caller's buffer, to be filled.
///
/// # Safety
/// Unless it is null, `buffer` points to `len` writable bytes that nobody else uses for as long as the slice is used.
pub(super) unsafe fn bytes_mut<'a>(buffer: *mut u8, len: usize) -> Result<&'a mut [u8], Errno> {
    match len {
        0 => Ok(&mut []),
        _ if buffer.is_null() => Err(Errno::EFAULT),
        // SAFETY: the caller's. Bytes that were never initialised are only written to.
        _ => Ok(unsafe { slice::from_raw_parts_mut(buffer, len.min(isize::MAX as usize)) }),
    }
}

/// The caller's list of buffers.
///
/// # Safety
/// Unless it is null, `list` points to `count` entries.
unsafe fn list<'a>(list: *const iovec, count: usize) -> Result<&'a [iovec], Errno> {
    if count > IOV_MAX {
        return Err(Errno::EINVAL);
    }
    if count == 0 {
        return Ok(&[]);
    }
    if list.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: the caller's.
    let entries = unsafe { slice::from_raw_parts(list, count) };
    let total = entries.iter().try_fold(0usize, |sum, part| {
        if part.iov_base.is_null() && part.iov_len > 0 {
            return Err(Errno::EFAULT);
        }
        sum.checked_add(part.iov_len).filter(|&sum| sum <= isize::MAX as usize).ok_or(Errno::EINVAL)
    });
    total.map(|_| entries)
}

/// Reads up to `len` bytes; how many, zero at the end of the data.
///
/// # Safety
/// `buffer` points to `len` writable bytes that nobody else uses.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_read(fd: i32, buffer: *mut u8, len: usize) -> isize {
    // SAFETY: the caller's.
    count(unsafe { bytes_mut(buffer, len) }.and_then(|into| object(fd)?.read(&mut IoSlicesMut::one(into))))
}

/// Writes up to `len` bytes; how many.
///
/// # Safety
/// `buffer` points to `len` readable bytes that nobody writes to.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_write(fd: i32, buffer: *const u8, len: usize) -> isize {
    // SAFETY: the caller's.
    count(unsafe { bytes(buffer, len) }.and_then(|from| object(fd)?.write(&IoSlices::one(from))))
}

/// Reads into several buffers, in order.
///
/// # Safety
/// `buffers` points to `number` buffers, each writable, used by nobody else, and apart from the others.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_readv(fd: i32, buffers: *const iovec, number: usize) -> isize {
    // SAFETY: the caller's.
    let into = unsafe { list(buffers, number) };
    // SAFETY: the caller's.
    count(into.and_then(|into| object(fd)?.read(&mut unsafe { IoSlicesMut::many(into) })))
}

/// Writes from several buffers, in order.
///
/// # Safety
/// `buffers` points to `number` buffers, each readable and written to by nobody.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_writev(fd: i32, buffers: *const iovec, number: usize) -> isize {
    // SAFETY: the caller's.
    let from = unsafe { list(buffers, number) };
    // SAFETY: the caller's.
    count(from.and_then(|from| object(fd)?.write(&unsafe { IoSlices::many(from) })))
}

/// Closes a descriptor. A connection winds up in the background, unless SO_LINGER says to wait for that.
#[unsafe(no_mangle)]
extern "C" fn sys_close(fd: i32) -> i32 {
    let closed = with_table(|table| table.remove(fd));
    // The object itself goes here, outside the table's lock.
    result(closed.map(|_object| 0).ok_or(Errno::EBADF))
}

/// Another descriptor for the same object.
#[unsafe(no_mangle)]
extern "C" fn sys_dup(fd: i32) -> i32 {
    result(object(fd).and_then(|object| open(object, 0)))
}

/// Asks or changes a descriptor's flags. There is nothing to execute, so FD_CLOEXEC changes nothing.
#[unsafe(no_mangle)]
extern "C" fn sys_fcntl(fd: i32, command: i32, argument: i32) -> i32 {
    result(object(fd).and_then(|object| match command {
        F_DUPFD => open(object, usize::try_from(argument).map_err(|_| Errno::EINVAL)?),
        F_GETFD | F_SETFD => Ok(0),
        F_GETFL => Ok(object.status_flags() | if object.nonblocking() { O_NONBLOCK } else { 0 }),
        F_SETFL => {
            object.set_nonblocking(argument & O_NONBLOCK != 0);
            object.set_append(argument & O_APPEND != 0);
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }))
}

/// Only FIONBIO: whether calls block.
///
/// # Safety
/// For FIONBIO, `argument` points to an `i32`.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_ioctl(fd: i32, command: i32, argument: *mut c_void) -> i32 {
    result(object(fd).and_then(|object| match command {
        FIONBIO if argument.is_null() => Err(Errno::EFAULT),
        FIONBIO => {
            // SAFETY: the caller's.
            object.set_nonblocking(unsafe { argument.cast::<i32>().read_unaligned() } != 0);
            Ok(0)
        }
        _ => Err(Errno::ENOTTY),
    }))
}

/// Describes what is open.
///
/// # Safety
/// `into` points to a writable `stat`.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_fstat(fd: i32, into: *mut stat) -> i32 {
    result(object(fd).and_then(|object| {
        if into.is_null() {
            return Err(Errno::EFAULT);
        }
        let none = timespec { tv_sec: 0, tv_nsec: 0 };
        let mut about =
            stat { st_nlink: 1, st_blksize: 4096, st_atim: none, st_mtim: none, st_ctim: none, ..stat::default() };
        object.describe(&mut about);
        // SAFETY: the caller's.
        unsafe { into.write(about) };
        Ok(0)
    }))
}
