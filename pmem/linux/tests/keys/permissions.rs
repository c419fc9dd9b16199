//! Rights, permissions of pages and kinds of access: all of them together, against a model.

use std::arch::asm;
use std::fs::{self, File};
use std::io::{Seek, Write};

use pmem_linux::Device;
use pmem_medium::Medium;

use crate::calls::{self, BYTES, NEW};
use crate::contexts::Open;
use crate::denials::{self, Access, By, Denial};
use crate::devices::{self, BEFORE, LEN, within};
use crate::{child, denials::catch};

/// The page that the accesses are to, and where in the device.
const PAGE: std::ops::Range<u64> = 0x2000..0x3000;
const PLACE: usize = 0x2a40;

/// A kind of access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Load,
    Store,
    Jump,
    /// The kernel's store, for read(2).
    Read,
    /// The kernel's load, for write(2).
    Write,
}

/// What comes of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Done,
    Denied(By, Access),
    /// EFAULT.
    Refused,
}

/// A cell of the matrix.
#[derive(Clone, Copy, Debug)]
struct Cell {
    rights: Open,
    /// Whether the page is writable.
    is_writable: bool,
    /// Whether the page was touched before, so that the CPU knows where it is.
    is_warm: bool,
    kind: Kind,
}

impl Cell {
    fn all() -> impl Iterator<Item = Self> {
        use Kind::{Jump, Load, Read, Store, Write};
        let rights = [Open::Nothing, Open::Loads, Open::LoadsAndStores].into_iter();
        let pages = rights.flat_map(|rights| [true, false].map(|is_writable| (rights, is_writable)));
        let states = pages.flat_map(|page| [false, true].map(|is_warm| (page, is_warm)));
        states.flat_map(|((rights, is_writable), is_warm)| {
            [Load, Store, Jump, Read, Write].map(|kind| Self { rights, is_writable, is_warm, kind })
        })
    }

    /// The model: what is to come of it, under this key. A key is asked before the page's permissions, and only of
    /// loads and stores; no page of a device is executable.
    fn expected(self, key: Option<u32>) -> Outcome {
        let may_load = key.is_none() || self.rights != Open::Nothing;
        let may_store = key.is_none() || self.rights == Open::LoadsAndStores;
        let by_key = By::Key(key.unwrap_or(0));
        match self.kind {
            Kind::Jump => Outcome::Denied(By::Page, Access::Jump),
            Kind::Load if !may_load => Outcome::Denied(by_key, Access::Load),
            Kind::Store if !may_store => Outcome::Denied(by_key, Access::Store),
            Kind::Store if !self.is_writable => Outcome::Denied(By::Page, Access::Store),
            Kind::Read if !may_store || !self.is_writable => Outcome::Refused,
            Kind::Write if !may_load => Outcome::Refused,
            Kind::Load | Kind::Store | Kind::Read | Kind::Write => Outcome::Done,
        }
    }

    /// Makes it.
    fn make(self, device: &Device, file: &mut File) -> Outcome {
        device.set_writable(PAGE, self.is_writable).unwrap();
        let address = devices::address(device, PLACE);
        forget(address - PLACE % 4096);
        if self.is_warm {
            within(device, Open::Loads, || load(address));
        }
        let made = within(device, self.rights, || match self.kind {
            Kind::Load => load_caught(address),
            Kind::Store => caught(address, || store(address)),
            Kind::Jump => caught(address, || jump(address)),
            Kind::Read => called(calls::read_into(address, file)),
            Kind::Write => called(calls::write_from(address, file)),
        });
        device.set_writable(PAGE, true).unwrap();
        made
    }
}

/// What came of an access of this thread's to this address.
fn caught(address: usize, access: impl FnOnce()) -> Outcome {
    let ((), denial) = catch(access);
    denial.map_or(Outcome::Done, |Denial { by, access, address: at }| {
        assert_eq!(at, address);
        Outcome::Denied(by, access)
    })
}

/// What came of a load, which sees what is there if it is not denied.
fn load_caught(address: usize) -> Outcome {
    let mut loaded = None;
    let outcome = caught(address, || loaded = Some(load(address)));
    if outcome == Outcome::Done {
        assert_eq!(loaded, Some(u64::from_ne_bytes([BEFORE; 8])));
    }
    outcome
}

/// What came of a system call.
fn called(result: Result<usize, i32>) -> Outcome {
    match result {
        Ok(moved) => {
            assert_eq!(moved, BYTES);
            Outcome::Done
        }
        Err(error) => {
            assert_eq!(error, libc::EFAULT);
            Outcome::Refused
        }
    }
}

fn load(address: usize) -> u64 {
    let mut value: u64 = 0;
    // SAFETY: none, if it is denied; the value stays then. No reference into a device is ever made.
    unsafe { asm!("mov {}, [{}]", inout(reg) value, in(reg) address, options(nostack)) };
    value
}

fn store(address: usize) {
    // SAFETY: as for `load`.
    unsafe { asm!("mov [{}], {}", in(reg) address, in(reg) u64::from_ne_bytes(NEW), options(nostack)) };
}

fn jump(address: usize) {
    // SAFETY: it is denied, and the handler returns.
    unsafe { asm!("call {}", in(reg) address, clobber_abi("C")) };
}

/// Has the page at this address unmapped until it is touched again.
fn forget(page: usize) {
    // SAFETY: what the page holds is in the file.
    assert_eq!(unsafe { libc::madvise(page as *mut libc::c_void, 4096, libc::MADV_DONTNEED) }, 0);
}

#[test]
fn every_access_comes_to_what_rights_and_pages_say_together() {
    for protection in devices::protections() {
        assert_eq!(child::run("permissions::all_cells", &[&protection.to_string()]), Ok(()));
    }
}

#[test]
#[ignore = "has a process's signals come to itself, so it is run in one of its own"]
fn all_cells() {
    let [protection] = child::words().try_into().unwrap();
    let (file, mut other) = (devices::file(), tempfile::tempfile().unwrap());
    let device = devices::open(&file, devices::protection(&protection)).unwrap();
    denials::install();
    let mut wrong = Vec::new();
    for cell in Cell::all() {
        other.rewind().unwrap();
        other.write_all(&NEW).unwrap();
        let (expected, found) = (cell.expected(devices::key(&device)), cell.make(&device, &mut other));
        let is_stored = expected == Outcome::Done && matches!(cell.kind, Kind::Store | Kind::Read);
        let mut bytes = [BEFORE; LEN];
        if is_stored {
            bytes[PLACE..PLACE + BYTES].copy_from_slice(&NEW);
        }
        if found != expected || fs::read(file.path()).unwrap() != bytes {
            wrong.push(format!("{cell:?}: {found:?}, not {expected:?}"));
        }
        fs::OpenOptions::new().write(true).open(file.path()).unwrap().write_all(&[BEFORE; LEN]).unwrap();
    }
    assert!(wrong.is_empty(), "under {protection}:\n{}", wrong.join("\n"));
    drop(file);
    child::end();
}
