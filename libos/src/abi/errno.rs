//! Error numbers.

use core::sync::atomic::{AtomicI32, Ordering};

use hermit_abi::errno;

use crate::arch::per_thread;

/// A positive error number of the Hermit ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(i32);

macro_rules! numbers {
    ($($name:ident),* $(,)?) => {
        #[allow(dead_code, reason = "the list of the numbers that this library returns, kept in one place")]
        impl Errno {
            $(pub(crate) const $name: Self = Self(errno::$name);)*
        }
    };
}

numbers!(
    EACCES,
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EAGAIN,
    EALREADY,
    EBADF,
    EBUSY,
    ECONNABORTED,
    ECONNREFUSED,
    ECONNRESET,
    EDESTADDRREQ,
    EEXIST,
    EFAULT,
    EFBIG,
    EHOSTUNREACH,
    EINPROGRESS,
    EINVAL,
    EIO,
    EISCONN,
    EISDIR,
    EMFILE,
    EMSGSIZE,
    ENAMETOOLONG,
    ENETUNREACH,
    ENOBUFS,
    ENOENT,
    ENOMEM,
    ENOPROTOOPT,
    ENOSPC,
    ENOSYS,
    ENOTCONN,
    ENOTDIR,
    ENOTEMPTY,
    ENOTSOCK,
    ENOTTY,
    EOPNOTSUPP,
    EPIPE,
    EPROTONOSUPPORT,
    ESPIPE,
    ETIMEDOUT,
);

impl Errno {
    /// The number, positive.
    pub(crate) const fn number(self) -> i32 {
        self.0
    }
}

per_thread! {
    /// The error number of the last call that failed, positive.
    static LAST: AtomicI32 = AtomicI32::new(0);
}

/// Leaves an error number for `sys_get_errno`.
pub(crate) fn set_errno(error: Errno) {
    if let Some(last) = LAST.here() {
        last.store(error.0, Ordering::Relaxed);
    }
}

/// What a call returns: its value, or the negative error number, which is also left in errno.
pub(crate) fn result<T: From<i32>>(outcome: Result<T, Errno>) -> T {
    outcome.unwrap_or_else(|error| {
        set_errno(error);
        T::from(-error.0)
    })
}

/// The error number of this thread's last call that failed.
#[unsafe(no_mangle)]
extern "C" fn sys_get_errno() -> i32 {
    LAST.here().map_or(0, |last| last.load(Ordering::Relaxed))
}

/// As `sys_get_errno`; mio's and the libc crate's name for it.
#[unsafe(no_mangle)]
extern "C" fn sys_errno() -> i32 {
    sys_get_errno()
}
