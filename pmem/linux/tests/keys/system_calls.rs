//! What the kernel does for a process with a device's bytes: where it asks keys, and where it does not.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process;

use libos_contract::protection::Protection;
use pmem_linux::Device;
use pmem_medium::{Load, Medium};

use crate::calls::{BYTES, NEW, bytes, read_into, write_from};
use crate::contexts::Open;
use crate::devices::{self, BEFORE, LEN, protections, within};

/// Where the calls put their bytes.
const PLACE: usize = 100;

#[test]
fn read_and_write_have_the_rights_of_the_thread_that_calls_them() {
    let (well, refused) = (Ok(BYTES), Err(libc::EFAULT));
    for protection in protections() {
        for open in [Open::Nothing, Open::Loads, Open::LoadsAndStores] {
            let file = devices::file();
            let device = devices::open(&file, protection).unwrap();
            let mut source = tempfile::tempfile().unwrap();
            source.write_all(&NEW).unwrap();
            let target = tempfile::tempfile().unwrap();
            let loads = protection == Protection::None || open != Open::Nothing;
            let stores = protection == Protection::None || open == Open::LoadsAndStores;

            let written = within(&device, open, || write_from(devices::address(&device, PLACE), &target));
            assert_eq!(written, if loads { well } else { refused }, "write: {protection}, {open:?}");
            let read = within(&device, open, || read_into(devices::address(&device, PLACE), &source));
            assert_eq!(read, if stores { well } else { refused }, "read: {protection}, {open:?}");
            let now = if stores { NEW } else { [BEFORE; BYTES] };
            assert_eq!(std::fs::read(file.path()).unwrap()[PLACE..PLACE + BYTES], now, "{protection}, {open:?}");
        }
    }
}

/// process_vm_writev(2) from this process to a device of its own.
fn write_as_another(device: &Device) -> Result<usize, i32> {
    let local = libc::iovec { iov_base: NEW.as_ptr().cast_mut().cast(), iov_len: BYTES };
    let remote = libc::iovec { iov_base: devices::address(device, PLACE) as *mut libc::c_void, iov_len: BYTES };
    let pid = process::id().cast_signed();
    // SAFETY: the local bytes are only read. The others are a device's, into which no reference is ever made.
    bytes(unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) })
}

/// A store through this process's own `/proc/self/mem`.
fn write_to_memory_file(device: &Device) -> Result<usize, i32> {
    let memory = OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
    let at = devices::address(device, PLACE) as u64;
    memory.write_at(&NEW, at).map_err(|error| error.raw_os_error().unwrap())
}

/// What reaches a process's memory as a debugger does goes past keys: the kernel asks them only for the rights of a
/// thread to its own memory.
#[test]
fn what_writes_to_the_memory_of_processes_goes_past_keys() {
    for protection in protections() {
        for write in [write_as_another, write_to_memory_file] {
            let file = devices::file();
            let device = devices::open(&file, protection).unwrap();
            assert_eq!(write(&device), Ok(BYTES), "{protection}");
            assert_eq!(std::fs::read(file.path()).unwrap()[PLACE..PLACE + BYTES], NEW, "{protection}");
        }
    }
}

/// A store through a second map of a device's file.
fn write_to_second_map(file: &File) {
    let (permissions, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new map, of which nothing but these bytes is used.
    unsafe {
        let map = libc::mmap(std::ptr::null_mut(), LEN, permissions, flags, file.as_raw_fd(), 0);
        assert_ne!(map, libc::MAP_FAILED);
        map.cast::<u8>().add(PLACE).copy_from_nonoverlapping(NEW.as_ptr(), BYTES);
        assert_eq!(libc::munmap(map, LEN), 0);
    }
}

/// write(2) to a device's file.
fn write_to_file(file: &File) {
    file.write_all_at(&NEW, PLACE as u64).unwrap();
}

/// Keys guard a map, and not the file: its lock is for those who ask for it.
#[test]
fn what_writes_to_the_file_goes_past_keys() {
    for protection in protections() {
        for write in [write_to_second_map, write_to_file] {
            let file = devices::file();
            let device = devices::open(&file, protection).unwrap();
            write(file.as_file());
            let mut read = [0; BYTES];
            device.read(|grant| grant.load(PLACE as u64, &mut read)).unwrap().unwrap();
            assert_eq!(read, NEW, "{protection}");
        }
    }
}

/// Whether anything is mapped where a device's first page is. It allocates nothing, for a child of a process with
/// threads.
fn is_mapped(address: usize) -> bool {
    let mut resident = [0; LEN / 4096];
    // SAFETY: there is a byte for each page of the range.
    let result = unsafe { libc::mincore(address as *mut libc::c_void, LEN, resident.as_mut_ptr()) };
    result == 0
}

#[test]
fn a_child_of_fork_has_no_map() {
    for protection in protections() {
        let file = devices::file();
        let device = devices::open(&file, protection).unwrap();
        let address = devices::address(&device, 0);
        assert!(is_mapped(address));
        within(&device, Open::LoadsAndStores, || {
            // SAFETY: the child does nothing but two system calls.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let status = i32::from(is_mapped(address));
                // SAFETY: it ends the child, which has nothing to clean up.
                unsafe { libc::_exit(status) };
            }
            let mut status = -1;
            // SAFETY: the child is this one's, and the status has a place.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "{protection}: the child has the map");
        });
    }
}
