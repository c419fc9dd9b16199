//! Protection keys of a Linux process (pkeys(7)): what of them there is, keys of our own, and this thread's rights.
//!
//! A key is a number that the kernel puts into the entries of a map's pages ([`HeldKey::protect`]). What may be done
//! with such pages is said by the register PKRU, which each thread has for itself and may write without the kernel
//! (Intel SDM volume 3A, section 4.6.2). It is the only register that is written here, in [`register`].

pub(crate) mod register;

use std::{fmt, io};

use libos_contract::rights::Key;

/// PKEY_DISABLE_ACCESS of `sys/mman.h`: the thread that takes a key has no rights to its pages.
const CLOSED: libc::c_ulong = 1;

/// Why a device has no key.
#[derive(Debug)]
#[non_exhaustive]
pub enum NoKey {
    /// The CPU has no keys for user pages (PKU), or the kernel does not use them.
    NotHere,
    /// Supervisor keys (PKS) were asked for, and a process has none.
    Supervisor,
    /// All keys of this process are in use: there are fifteen.
    AllTaken,
    /// The kernel gives none to this process.
    Refused(io::Error),
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHere => f.write_str(
                "this CPU has no protection keys for user pages (PKU), or this kernel does not use them (`ospke` is not \
                 among the flags in /proc/cpuinfo), so nothing could guard persistent memory",
            )?,
            Self::Supervisor => {
                f.write_str("protection keys for supervisor pages (PKS) are for kernels; a process has those for user pages: `pku`")?;
            }
            Self::AllTaken => f.write_str(
                "all protection keys of this process are in use: there are 15, one for each open device and for whatever \
                 else takes some",
            )?,
            Self::Refused(error) => write!(f, "the kernel gives this process no protection key: {error}")?,
        }
        f.write_str("; protection `none` is to run without")
    }
}

impl std::error::Error for NoKey {}

/// Whether the CPU has protection keys for user pages and the kernel uses them.
pub(crate) fn available() -> bool {
    register::is_on()
}

/// A key that is this process's until it is dropped. All maps under it have to be gone by then: whoever gets the number
/// next would guard them too.
#[derive(Debug)]
pub(crate) struct HeldKey(Key);

impl HeldKey {
    /// Takes a free key. This thread has no rights to its pages, nor has any that never had some to a key of this
    /// number: threads start with all keys closed.
    pub(crate) fn take() -> Result<Self, NoKey> {
        if !available() {
            return Err(NoKey::NotHere);
        }
        let no_flags: libc::c_ulong = 0;
        // SAFETY: a system call that takes no pointers. It writes this thread's PKRU, for the new key alone.
        let number = unsafe { libc::syscall(libc::SYS_pkey_alloc, no_flags, CLOSED) };
        if let Some(key) = u8::try_from(number).ok().and_then(Key::from_number) {
            return Ok(Self(key));
        }
        let error = io::Error::last_os_error();
        Err(match error.raw_os_error() {
            Some(libc::ENOSPC) => NoKey::AllTaken,
            Some(libc::ENOSYS) => NoKey::NotHere,
            _ => NoKey::Refused(error),
        })
    }

    /// The key.
    pub(crate) fn key(&self) -> Key {
        self.0
    }

    /// Puts whole pages under this key, with these permissions (`PROT_READ`, `PROT_WRITE`).
    ///
    /// # Safety
    /// The pages are a map of the caller's, and stay one no longer than the key is held.
    pub(crate) unsafe fn protect(&self, start: *mut u8, len: usize, permissions: libc::c_int) -> io::Result<()> {
        let key = libc::c_long::from(self.0.number());
        // SAFETY: the caller owns the map, and nobody has a reference into it that other permissions would break.
        let result = unsafe { libc::syscall(libc::SYS_pkey_mprotect, start, len, permissions, key) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        // SAFETY: the key is this one's, and its pages are gone (see the type). The kernel leaves every thread's rights
        // to the number as they are. They are closed: a grant borrows its device, and closes when it ends.
        let freed = unsafe { libc::syscall(libc::SYS_pkey_free, libc::c_long::from(self.0.number())) };
        debug_assert_eq!(freed, 0, "{}", io::Error::last_os_error());
    }
}
