//! Requests of io_uring(7) for a device's bytes: which rights they have, in the call that submits them and where a
//! worker of the kernel's does them.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::{fs, thread};

use io_uring::{IoUring, opcode, squeue, types};
use libos_contract::protection::Protection;
use pmem_linux::Device;

use crate::calls::{BYTES, NEW};
use crate::contexts::Open;
use crate::devices::{self, BEFORE, within};

/// Where in the device.
const PLACE: usize = 0x3210;

/// A ring whose requests are done by one worker, if a worker does them.
struct Ring {
    ring: IoUring,
    flags: squeue::Flags,
    /// A socket that devices' bytes come from and go to, and its other end. Of one that is ready the kernel does
    /// requests at once; those of most files it gives to a worker by itself.
    socket: UnixStream,
    other_end: UnixStream,
}

impl Ring {
    /// One whose requests are done at once by who submits them, or by a worker. Nothing where the system has none.
    fn new(by_worker: bool) -> Option<Self> {
        let ring = match IoUring::new(4) {
            Ok(ring) => ring,
            // Not compiled in, turned off, or forbidden to this container.
            Err(error) if [Some(libc::ENOSYS), Some(libc::EPERM)].contains(&error.raw_os_error()) => {
                assert!(std::env::var_os(devices::REQUIRE_KEYS).is_none(), "io_uring: {error}");
                return None;
            }
            Err(error) => panic!("io_uring: {error}"),
        };
        ring.submitter().register_iowq_max_workers(&mut [1, 1]).unwrap();
        let (socket, other_end) = UnixStream::pair().unwrap();
        let flags = if by_worker { squeue::Flags::ASYNC } else { squeue::Flags::empty() };
        Some(Self { ring, flags, socket, other_end })
    }

    /// Has the kernel store to a device; what becomes of it.
    fn read_into(&mut self, device: &Device) -> Result<usize, i32> {
        self.other_end.write_all(&NEW).unwrap();
        let to = devices::address(device, PLACE) as *mut u8;
        self.request(opcode::Read::new(types::Fd(self.socket.as_raw_fd()), to, BYTES as u32).build())
    }

    /// Has the kernel load from a device.
    fn write_from(&mut self, device: &Device) -> Result<usize, i32> {
        let from = devices::address(device, PLACE) as *const u8;
        self.request(opcode::Write::new(types::Fd(self.socket.as_raw_fd()), from, BYTES as u32).build())
    }

    fn request(&mut self, entry: squeue::Entry) -> Result<usize, i32> {
        // SAFETY: the socket is open until the request is done, and the bytes are a device's, into which no reference
        // is ever made.
        unsafe { self.ring.submission().push(&entry.flags(self.flags)) }.unwrap();
        self.ring.submit_and_wait(1).unwrap();
        let result = self.ring.completion().next().unwrap().result();
        usize::try_from(result).map_err(|_| -result)
    }
}

#[test]
fn requests_that_are_done_at_once_have_the_rights_of_who_submits_them() {
    for protection in devices::protections() {
        for open in [Open::Nothing, Open::Loads, Open::LoadsAndStores] {
            let Some(mut ring) = Ring::new(false) else { return };
            let file = devices::file();
            let device = devices::open(&file, protection).unwrap();
            let is_open = |needed: &[Open]| device.protection() == "none" || needed.contains(&open);
            let expected = |is_open| if is_open { Ok(BYTES) } else { Err(libc::EFAULT) };
            let loads = within(&device, open, || ring.write_from(&device));
            assert_eq!(loads, expected(is_open(&[Open::Loads, Open::LoadsAndStores])), "{protection}, {open:?}");
            let stores = within(&device, open, || ring.read_into(&device));
            assert_eq!(stores, expected(is_open(&[Open::LoadsAndStores])), "{protection}, {open:?}");
            let now = if stores.is_ok() { NEW } else { [BEFORE; BYTES] };
            assert_eq!(fs::read(file.path()).unwrap()[PLACE..PLACE + BYTES], now, "{protection}, {open:?}");
        }
    }
}

/// A worker is a thread of the kernel's own making, which has for its life the rights of the thread for which it was
/// started, as they were then.
#[test]
fn a_worker_has_the_rights_that_there_were_when_it_was_started() {
    for protection in devices::protections() {
        for first in [Open::Nothing, Open::LoadsAndStores] {
            // The worker is the thread's, whatever the ring.
            thread::scope(|scope| scope.spawn(|| ask_worker(protection, first)).join()).unwrap();
        }
    }
}

/// Has a new thread's worker do requests, the first one while so much of the device is open.
fn ask_worker(protection: Protection, first: Open) {
    let Some(mut ring) = Ring::new(true) else { return };
    let file = devices::file();
    let device = devices::open(&file, protection).unwrap();
    let stores = device.protection() == "none" || first == Open::LoadsAndStores;
    let expected = if stores { Ok(BYTES) } else { Err(libc::EFAULT) };
    for open in [first, Open::Nothing, Open::LoadsAndStores] {
        let read = within(&device, open, || ring.read_into(&device));
        assert_eq!(read, expected, "{protection}, {open:?}, its first request in {first:?}");
    }
}
