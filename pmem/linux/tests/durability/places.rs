//! The places that devices of the tests lie in. `cargo xtask test native` makes a machine that has all of them.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pmem_linux::{Device, OpenError, OpenOptions};
use pmem_medium::DurableBy;

/// The length of a file for a device.
pub const LEN: u64 = 1 << 16;

/// Something to open as a device. It goes with this.
pub struct Place {
    /// Where it is.
    pub path: PathBuf,
    /// What makes stored bytes durable there.
    pub by: DurableBy,
    kept: Kept,
}

/// What becomes of a place in the end.
enum Kept {
    /// Memory that has no other name goes with its file.
    Memory(#[expect(dead_code, reason = "it is only kept open")] File),
    /// The file is removed.
    Removed,
    /// The device is the next test's.
    Lent(#[expect(dead_code, reason = "it is only held")] MutexGuard<'static, ()>),
}

impl Place {
    /// Opens it, with nothing chosen.
    pub fn open(&self) -> Device {
        Device::open(&self.path).unwrap()
    }

    /// Opens it as `options` say.
    pub fn open_with(&self, options: OpenOptions) -> Result<Device, OpenError> {
        options.open(&self.path)
    }

    /// Whether it is a DAX device.
    pub fn is_dax_device(&self) -> bool {
        matches!(self.kept, Kept::Lent(_))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if matches!(self.kept, Kept::Removed) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// One of each kind that there is here, under names that `test` alone has.
pub fn all(test: &str) -> Vec<Place> {
    [Some(memory(test)), disk(test), persistent(test), dax_device()].into_iter().flatten().collect()
}

/// Memory of the kernel's (memfd_create(2)).
pub fn memory(test: &str) -> Place {
    let name = std::ffi::CString::new(test).unwrap();
    // SAFETY: a system call with a name that lives as long as it runs; the descriptor is nobody else's.
    let file = unsafe { File::from_raw_fd(libc::memfd_create(name.as_ptr(), 0)) };
    file.set_len(LEN).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    Place { path, by: DurableBy::Memory, kept: Kept::Memory(file) }
}

/// A file on a disk.
pub fn disk(test: &str) -> Option<Place> {
    let directory = directory("HOLDFAST_EXT4").or_else(target_directory);
    let Some(directory) = directory else { return skipped("a place on a disk") };
    Some(Place { path: file(&directory, test), by: DurableBy::Sync, kept: Kept::Removed })
}

/// A file in persistent memory.
pub fn persistent(test: &str) -> Option<Place> {
    let Some(directory) = directory("HOLDFAST_DAX") else { return skipped("a file system on persistent memory") };
    Some(Place { path: file(&directory, test), by: domain(), kept: Kept::Removed })
}

/// A DAX device. There is one for all tests, which take turns.
pub fn dax_device() -> Option<Place> {
    static DEVICE: Mutex<()> = Mutex::new(());
    let Some(path) = directory("HOLDFAST_DAX_DEVICE") else { return skipped("a DAX device") };
    let lent = DEVICE.lock().unwrap_or_else(PoisonError::into_inner);
    Some(Place { path, by: domain(), kept: Kept::Lent(lent) })
}

/// What whoever makes the places says of the persistent memory's domain, in the kernel's words.
fn domain() -> DurableBy {
    match env::var("HOLDFAST_DOMAIN").as_deref() {
        Ok("cpu_cache") => DurableBy::Eadr,
        Ok("memory_controller") => DurableBy::Adr,
        other => panic!("HOLDFAST_DOMAIN is {other:?}"),
    }
}

/// A place that a variable names.
pub fn directory(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

/// The directory of this program, if it is on a disk.
fn target_directory() -> Option<PathBuf> {
    let program = env::current_exe().unwrap();
    let directory = program.parent().unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut kind = "";
    let mut longest = 0;
    for mount in mounts.lines() {
        let words: Vec<_> = mount.split(' ').collect();
        if directory.starts_with(words[1]) && words[1].len() >= longest {
            (longest, kind) = (words[1].len(), words[2]);
        }
    }
    (directory.is_dir() && kind != "tmpfs").then(|| directory.to_owned())
}

/// A new file of this name.
fn file(directory: &Path, test: &str) -> PathBuf {
    let path = directory.join(format!("{test}-{}", std::process::id()));
    fs::write(&path, vec![0; LEN as usize]).unwrap();
    path
}

/// Says that there is no such place here.
#[expect(clippy::explicit_write, reason = "eprintln! is shown only where a test fails")]
fn skipped(what: &str) -> Option<Place> {
    assert!(env::var_os("HOLDFAST_PLACES").is_none(), "{what} is missing");
    writeln!(std::io::stderr(), "skipped: this computer has not got {what}").unwrap();
    None
}
