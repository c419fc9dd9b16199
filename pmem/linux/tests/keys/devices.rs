//! The devices of the tests.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::sync::LazyLock;

use libos_contract::protection::{Protection, ProtectionChoice};
use pmem_linux::{Device, NoKey, OpenError, OpenOptions};
use tempfile::NamedTempFile;

use crate::contexts::Open;

/// Where this variable is set there have to be keys.
pub const REQUIRE_KEYS: &str = "HOLDFAST_REQUIRE_KEYS";
/// A device's length: eight pages.
pub const LEN: usize = 8 << 12;
/// Every byte of a new device.
pub const BEFORE: u8 = 0x5a;

/// A file for a device. It goes with this.
pub fn file() -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&[BEFORE; LEN]).unwrap();
    file
}

/// Opens a file under `protection`.
pub fn open(path: impl AsRef<Path>, protection: Protection) -> Result<Device, OpenError> {
    OpenOptions::new().protection(ProtectionChoice::Only(protection)).open(path)
}

/// The protection that a process is told by this word.
pub fn protection(word: &str) -> Protection {
    match word.parse() {
        Ok(ProtectionChoice::Only(protection)) => protection,
        other => panic!("{word}: {other:?}"),
    }
}

/// The protections that there are here.
pub fn protections() -> impl Iterator<Item = Protection> {
    [Protection::None].into_iter().chain(keys_are_here().then_some(Protection::Pku))
}

/// Runs `f` in a scope in which this much of a device is open.
pub fn within<R>(device: &Device, open: Open, f: impl FnOnce() -> R) -> R {
    let lock = device.read_lock().unwrap();
    match open {
        Open::Nothing => f(),
        Open::Loads => lock.read(|_| f()),
        Open::LoadsAndStores => lock.write(|_| f()).unwrap(),
    }
}

/// The number of a device's key.
pub fn key(device: &Device) -> Option<u32> {
    device.in_table().key().map(|key| key.number().into())
}

/// The address of a device's byte.
pub fn address(device: &Device, offset: usize) -> usize {
    device.in_table().addresses().start + offset
}

/// Whether there are keys.
pub fn keys_are_here() -> bool {
    static HERE: LazyLock<bool> = LazyLock::new(look_for_keys);
    *HERE
}

/// Whether there are keys. Says it where there are none.
#[expect(clippy::explicit_write, reason = "eprintln! is shown only where a test fails")]
fn look_for_keys() -> bool {
    match open(file(), Protection::Pku) {
        Ok(device) => {
            assert_eq!(device.protection(), "pku");
            true
        }
        Err(OpenError::NoKey(_, why @ NoKey::NotHere)) => {
            assert!(env::var_os(REQUIRE_KEYS).is_none(), "{why}");
            writeln!(io::stderr(), "skipped but for the controls: {why}").unwrap();
            false
        }
        Err(error) => panic!("{error}"),
    }
}
