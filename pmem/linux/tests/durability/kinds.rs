//! What is durable by what, what can be asked for, and what cannot be a device.

use std::ffi::CString;
use std::fs;

use pmem_linux::{Device, OpenError, OpenOptions};
use pmem_medium::{Durability, DurableBy, Load, Medium, Store, WriteProtectError};

use crate::places::{self, LEN};

#[test]
fn each_place_is_told_from_the_others_and_gives_what_it_has() {
    for place in places::all("kinds") {
        let name = place.path.display();
        let device = place.open();
        assert_eq!(device.durable_by(), place.by, "{name}");
        drop(device);
        for asked in [Durability::None, Durability::Process, Durability::Power] {
            let opened = place.open_with(OpenOptions::new().durability(asked));
            if asked <= place.by.durability() {
                assert_eq!(opened.unwrap().durable_by(), place.by, "{name}");
            } else {
                let error = opened.unwrap_err();
                assert!(matches!(error, OpenError::NotDurable { .. }), "{name}: {error}");
                let expected = "what is stored there does not survive a loss of power: it is memory that goes with";
                assert!(error.to_string().contains(expected), "{error}");
            }
        }
    }
}

#[test]
fn bytes_come_back_from_each_place() {
    for place in places::all("back") {
        let stored = [0x5a, 0xa5, place.path.as_os_str().len() as u8];
        let device = place.open();
        device.write(|grant| grant.store(4095, &stored).unwrap()).unwrap();
        drop(device);
        let mut found = [0; 3];
        place.open().read(|grant| grant.load(4095, &mut found)).unwrap().unwrap();
        assert_eq!(found, stored, "{}", place.path.display());
    }
}

#[test]
fn stores_that_nobody_keeps_survive_nothing() {
    let place = places::memory("nobody");
    let device = Device::open_copy_on_write(&place.path).unwrap();
    assert_eq!(device.durable_by(), DurableBy::Nothing);
    drop(device);
    assert_eq!(Device::open_read_only(&place.path).unwrap().durable_by(), DurableBy::Nothing);
    let error = OpenOptions::new().durability(Durability::Process).open_copy_on_write(&place.path).unwrap_err();
    assert!(error.to_string().ends_with("does not survive the process: it is opened so that stores are not kept"));
}

#[test]
fn a_refused_creation_leaves_no_file() {
    let options = OpenOptions::new().durability(Durability::Power);
    let directory = places::directory("HOLDFAST_DAX").map_or("/dev/shm".into(), |_| std::path::PathBuf::from("/tmp"));
    let path = directory.join(format!("refused-{}", std::process::id()));
    if !directory.is_dir() {
        return;
    }
    assert!(matches!(options.create(&path, LEN), Err(OpenError::NotDurable { .. })));
    assert!(!path.exists());
    assert_eq!(Device::create(&path, LEN).unwrap().durable_by(), DurableBy::Memory);
    fs::remove_file(path).unwrap();
}

#[test]
fn a_created_file_is_durable_by_its_place() {
    for place in [places::disk("created"), places::persistent("created")].into_iter().flatten() {
        fs::remove_file(&place.path).unwrap();
        let device = OpenOptions::new().durability(Durability::Power).create(&place.path, LEN).unwrap();
        assert_eq!((device.durable_by(), device.size()), (place.by, LEN));
        let device = device.extend(2 * LEN).unwrap();
        assert_eq!((device.durable_by(), device.size()), (place.by, 2 * LEN));
    }
}

#[test]
fn what_cannot_be_a_device_is_named_with_the_reason() {
    let scratch = tempfile::tempdir().unwrap();
    let fifo = scratch.path().join("fifo");
    let name = CString::new(fifo.to_str().unwrap()).unwrap();
    // SAFETY: a system call with a name that lives as long as it runs.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    for path in [fifo.as_path(), scratch.path(), "/dev/null".as_ref()] {
        let error = Device::open_read_only(path).unwrap_err();
        assert!(matches!(error, OpenError::NotAFile(_)), "{error}");
        let expected = format!("{} is neither a file nor a DAX device", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    let unmapped = "/sys/devices/system/cpu/online";
    let error = Device::open_read_only(unmapped).unwrap_err();
    assert!(matches!(error, OpenError::NotMapped(..)), "{error}");
    assert!(error.to_string().starts_with(&format!("{unmapped} cannot be mapped into memory: ")), "{error}");
}

#[test]
fn a_dax_device_has_large_pages_and_its_own_length() {
    let Some(place) = places::dax_device() else { return };
    let device = place.open();
    let len = device.size();
    assert!(len > 1 << 20 && len.is_multiple_of(1 << 21), "{len}");
    assert_eq!(device.set_writable(4096..8192, false), Err(WriteProtectError::LargePages(4096..8192)));
    assert_eq!(device.set_writable(0..1 << 21, false), Ok(()));
    assert_eq!(device.set_writable(0..1 << 21, true), Ok(()));
    device.write(|grant| grant.store(len - 4, b"last").unwrap()).unwrap();
    assert!(device.extend(2 * len).unwrap_err().to_string().contains("has the length that it has"));
}
