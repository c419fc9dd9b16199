//! The access that a process is about: to one byte, from wherever it is made, a signal handler among it.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};
use pmem_linux::Device;

use crate::{child, devices};

/// The byte of its device that it is to: not the first of its page, nor of the map.
pub const OFFSET: usize = 4096 + 17;
/// What it stores.
pub const STORED: u8 = 0xa5;

static ADDRESS: AtomicUsize = AtomicUsize::new(0);
static KEY: AtomicU8 = AtomicU8::new(0);
static STORES: AtomicBool = AtomicBool::new(false);

/// Prepares the process for it: an access that a key stops ends it as [`child::STOPPED`] says.
pub fn prepare(device: &Device, stores: bool) {
    ADDRESS.store(devices::address(device, OFFSET), Ordering::Relaxed);
    KEY.store(device.in_table().key().map_or(0, |key| key.number()), Ordering::Relaxed);
    STORES.store(stores, Ordering::Relaxed);
    // SAFETY: all zeros are a `sigaction` without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = judge;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler calls only what may be called in one, and does not return.
    assert_eq!(unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()) }, 0);
}

/// Makes it.
pub fn attempt() {
    let byte = ADDRESS.load(Ordering::Relaxed) as *mut u8;
    if STORES.load(Ordering::Relaxed) {
        // SAFETY: the byte is of a device that is open, and no reference into one is ever made.
        unsafe { byte.write_volatile(STORED) };
    } else {
        // SAFETY: as above.
        assert_eq!(unsafe { byte.read_volatile() }, devices::BEFORE);
    }
}

/// SIGSEGV's handler: ends the process, by the kernel's reasons for the signal (sigaction(2)).
extern "C" fn judge(_signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    /// SEGV_PKUERR of `asm-generic/siginfo.h`.
    const BY_KEY: c_int = 4;
    /// Where `si_pkey` is, in bytes: behind the address, its width, and padding of a pointer's size.
    const PKEY: usize = 32;
    // SAFETY: the kernel hands over the reasons, which for SIGSEGV have an address and, if it is by a key, the key's
    // number.
    let (code, address, key) =
        unsafe { ((*info).si_code, (*info).si_addr() as usize, info.byte_add(PKEY).cast::<u32>().read()) };
    let expected = (BY_KEY, ADDRESS.load(Ordering::Relaxed), u32::from(KEY.load(Ordering::Relaxed)));
    let status = if (code, address, key) == expected { child::STOPPED } else { child::STRAYED };
    // SAFETY: it may be called in a handler.
    unsafe { libc::_exit(status) }
}
