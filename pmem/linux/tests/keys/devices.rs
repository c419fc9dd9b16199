//! The devices of the tests.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::LazyLock;

use libos_contract::protection::{Protection, ProtectionChoice};
use pmem_linux::{Device, NoKey, OpenError, OpenOptions};
use tempfile::NamedTempFile;

/// Where this variable is set there have to be keys.
pub const REQUIRE_KEYS: &str = "HOLDFAST_REQUIRE_KEYS";
/// A device's length: two pages.
pub const LEN: usize = 8192;
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

/// The address of a device's byte.
pub fn address(device: &Device, offset: usize) -> usize {
    device.in_table().addresses().start + offset
}

/// The byte of a file.
pub fn byte(path: &Path, offset: usize) -> u8 {
    fs::read(path).unwrap()[offset]
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
