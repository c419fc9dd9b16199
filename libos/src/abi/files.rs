//! Files and directories.

use alloc::sync::Arc;
use core::ffi::{CStr, c_char};
use core::slice;

use hermit_abi::{
    O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, S_IFCHR, S_IFDIR, S_IFREG,
    stat,
};

use super::errno::{Errno, result};
use super::fd::{object, open, room};
use super::object::Object;
use super::time::as_timespec;
use crate::fs::{self, About, Error, FileType, Open, OpenOptions, Whence};
use crate::io::{IoSlices, IoSlicesMut, Ready};

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::ENOENT,
            Error::NotADirectory => Self::ENOTDIR,
            Error::IsADirectory => Self::EISDIR,
            Error::Exists => Self::EEXIST,
            Error::Denied => Self::EACCES,
            Error::NotEmpty => Self::ENOTEMPTY,
            Error::Busy => Self::EBUSY,
            Error::NameTooLong => Self::ENAMETOOLONG,
            Error::NoSpace => Self::ENOSPC,
            Error::TooLarge => Self::EFBIG,
            Error::Invalid => Self::EINVAL,
            Error::BadDescriptor => Self::EBADF,
        }
    }
}

/// An open file or directory.
pub(super) struct File(Open);

impl Object for File {
    fn read(&self, into: &mut IoSlicesMut<'_>) -> Result<usize, Errno> {
        Ok(fs::with(|tree, now| tree.read(&self.0, into, now))?)
    }

    fn write(&self, from: &IoSlices<'_>) -> Result<usize, Errno> {
        Ok(fs::with(|tree, now| tree.write(&self.0, from, now))?)
    }

    fn look(&self, _interest: Ready) -> Ready {
        // As POSIX says of files: they are always ready.
        Ready::IN | Ready::OUT
    }

    fn describe(&self, about: &mut stat) {
        if let Ok(found) = fs::with(|tree, _| tree.about_open(&self.0)) {
            *about = as_stat(&found);
        }
    }

    fn status_flags(&self) -> i32 {
        let access = match self.0.access() {
            (true, true) => O_RDWR,
            (false, true) => O_WRONLY,
            _ => O_RDONLY,
        };
        access | if self.0.append() { O_APPEND } else { 0 }
    }

    fn set_append(&self, on: bool) {
        self.0.set_append(on);
    }

    fn file(&self) -> Option<&Open> {
        Some(&self.0)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::with(|tree, _| tree.close(&self.0));
    }
}

fn as_stat(about: &About) -> stat {
    stat {
        st_dev: 1,
        st_ino: about.inode,
        st_nlink: about.links,
        st_mode: about.mode
            | match about.file_type {
                FileType::Directory => S_IFDIR,
                FileType::Device => S_IFCHR,
                FileType::File | FileType::Unknown => S_IFREG,
            },
        st_size: about.size as i64,
        st_blksize: 4096,
        st_blocks: about.allocated.div_ceil(512) as i64,
        st_atim: as_timespec(about.accessed),
        st_mtim: as_timespec(about.modified),
        // `std` reads the creation time there.
        st_ctim: as_timespec(about.created),
        ..stat::default()
    }
}

/// The bytes of a path.
///
/// # Safety
/// Unless it is null, `path` is a C string that nobody changes for as long as the slice is used.
unsafe fn bytes<'a>(path: *const c_char) -> Result<&'a [u8], Errno> {
    // SAFETY: the caller's.
    if path.is_null() { Err(Errno::EFAULT) } else { Ok(unsafe { CStr::from_ptr(path) }.to_bytes()) }
}

/// What a call that takes a path returns.
///
/// # Safety
/// Unless it is null, `path` is a C string.
unsafe fn by_path(path: *const c_char, work: impl FnOnce(&[u8]) -> Result<i32, Errno>) -> i32 {
    // SAFETY: the caller's; the string is used only while it is.
    result(unsafe { bytes(path) }.and_then(work))
}

/// Opens a file or a directory; the descriptor.
///
/// # Safety
/// Unless it is null, `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_open(path: *const c_char, flags: i32, mode: i32) -> i32 {
    /// Without a meaning here, and harmless: calls on files do not block, nothing is executed.
    const IGNORED: i32 = O_NONBLOCK | 0o2_000_000;
    const KNOWN: i32 = O_WRONLY | O_RDWR | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_DIRECTORY | IGNORED;
    let access = flags & (O_WRONLY | O_RDWR);
    let options = OpenOptions {
        read: access != O_WRONLY,
        write: access != O_RDONLY,
        append: flags & O_APPEND != 0,
        create: flags & O_CREAT != 0,
        exclusive: flags & O_EXCL != 0,
        truncate: flags & O_TRUNC != 0,
        directory: flags & O_DIRECTORY != 0,
        mode: mode as u32,
    };
    // SAFETY: the caller's.
    unsafe {
        by_path(path, |path| {
            if flags & !KNOWN != 0 || access == O_WRONLY | O_RDWR {
                return Err(Errno::EINVAL);
            }
            room()?;
            let file = fs::with(|tree, now| tree.open(path, &options, now))?;
            open(Arc::new(File(file)), 0)
        })
    }
}

/// Describes what a path names.
///
/// # Safety
/// Unless they are null, `path` is a C string and `into` points to a writable `stat`.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_stat(path: *const c_char, into: *mut stat) -> i32 {
    // SAFETY: the caller's.
    unsafe {
        by_path(path, |path| {
            if into.is_null() {
                return Err(Errno::EFAULT);
            }
            into.write(as_stat(&fs::with(|tree, _| tree.about(path))?));
            Ok(0)
        })
    }
}

/// As `sys_stat`: there are no symbolic links.
///
/// # Safety
/// As `sys_stat`.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_lstat(path: *const c_char, into: *mut stat) -> i32 {
    // SAFETY: the caller's.
    unsafe { sys_stat(path, into) }
}

/// Makes a directory.
///
/// # Safety
/// Unless it is null, `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_mkdir(path: *const c_char, mode: u32) -> i32 {
    // SAFETY: the caller's.
    unsafe { by_path(path, |path| Ok(fs::with(|tree, now| tree.make_directory(path, mode, now)).map(|()| 0)?)) }
}

/// Removes an empty directory.
///
/// # Safety
/// Unless it is null, `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_rmdir(path: *const c_char) -> i32 {
    // SAFETY: the caller's.
    unsafe { by_path(path, |path| Ok(fs::with(|tree, now| tree.remove_directory(path, now)).map(|()| 0)?)) }
}

/// Removes a file's name; who has it open keeps it.
///
/// # Safety
/// Unless it is null, `path` is a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_unlink(path: *const c_char) -> i32 {
    // SAFETY: the caller's.
    unsafe { by_path(path, |path| Ok(fs::with(|tree, now| tree.unlink(path, now)).map(|()| 0)?)) }
}

/// Lists an open directory; how many bytes, 0 once all was listed, -EINVAL if the buffer does not hold all of it.
///
/// # Safety
/// Unless it is null, `into` points to `len` writable bytes that nobody else uses.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_getdents64(fd: i32, into: *mut u8, len: usize) -> i64 {
    result(object(fd).and_then(|object| {
        let open = object.file().ok_or(Errno::ENOTDIR)?;
        if into.is_null() {
            return Err(Errno::EFAULT);
        }
        // SAFETY: the caller's. Bytes that were never initialised are only written to.
        let into = unsafe { slice::from_raw_parts_mut(into, len.min(isize::MAX as usize)) };
        let listed = fs::with(|tree, now| tree.list(open, into, now))?;
        listed.map(|bytes| bytes as i64).ok_or(Errno::EINVAL)
    }))
}

/// Moves a file's position; where it is.
#[unsafe(no_mangle)]
extern "C" fn sys_lseek(fd: i32, offset: isize, whence: i32) -> isize {
    let outcome: Result<i64, Errno> = object(fd).and_then(|object| {
        let open = object.file().ok_or(Errno::ESPIPE)?;
        let whence = match whence {
            hermit_abi::SEEK_SET => Whence::Start,
            hermit_abi::SEEK_CUR => Whence::Current,
            hermit_abi::SEEK_END => Whence::End,
            _ => return Err(Errno::EINVAL),
        };
        Ok(fs::with(|tree, _| tree.seek(open, offset as i64, whence))? as i64)
    });
    result(outcome) as isize
}

/// Always fails: nothing that is open is stored anywhere that it could be brought to.
#[unsafe(no_mangle)]
extern "C" fn sys_fsync(fd: i32) -> i32 {
    result(object(fd).and(Err(Errno::ENOSYS)))
}
