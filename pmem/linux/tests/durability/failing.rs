//! Disks that fail: what could not be made durable is never promised, neither later nor by others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{env, fs};

use pmem_linux::{Device, WriteGrant};
use pmem_medium::{Load, Medium, Store, WriteError};

use crate::places;
use crate::steps;

/// Stores a byte at 64, and what became of the fence behind it: an error is the words of its panic.
fn commit(grant: &WriteGrant<'_>, byte: u8) -> Result<(), String> {
    grant.store(64, &[byte]).unwrap();
    grant.write_back(64..65).unwrap();
    let fenced = catch_unwind(AssertUnwindSafe(|| grant.fence()));
    fenced.map_err(|panic| panic.downcast_ref::<String>().unwrap().clone())
}

fn byte(device: &Device) -> u8 {
    let mut byte = [0];
    device.read(|grant| grant.load(64, &mut byte)).unwrap().unwrap();
    byte[0]
}

#[test]
fn a_fence_that_has_failed_is_never_tried_again() {
    let Some(place) = places::disk("fails") else { return };
    let device = place.open();
    device
        .write(|grant| {
            commit(grant, 1).unwrap();
            let why = steps::with_failing_disk(|| commit(grant, 2)).unwrap_err();
            let expected = format!("{}: what was stored since the last fence may not be durable", place.path.display());
            assert!(why.starts_with(&expected) && why.contains("Input/output error"), "{why}");
            // The kernel would say that all is well now, for the pages are clean to it.
            for _ in 0..2 {
                assert!(commit(grant, 3).unwrap_err().contains("an earlier attempt has failed"));
            }
        })
        .unwrap();
    assert_eq!(device.counters().syncs, 2, "the kernel was asked again");
    assert_eq!(device.write(|_| ()), Err(WriteError::FenceFailed));
    byte(&device);
    drop(device);
    // Its own device, whose disk does not fail, is not concerned.
    place.open().write(|grant| commit(grant, 4)).unwrap().unwrap();
}

/// On a disk that is a file in a file system that is full: nothing can be written to it.
#[test]
fn who_opens_a_device_whose_disk_has_failed_finds_what_the_disk_holds() {
    let (Some(directory), Some(filler)) = (places::directory("HOLDFAST_FAILING"), env::var_os("HOLDFAST_FILLER"))
    else {
        return;
    };
    let path = directory.join("pool");
    // Such a test that failed has left what it had made.
    for left in [path.as_path(), filler.as_ref()] {
        let _ = fs::remove_file(left);
    }
    let device = Device::create(&path, 32 << 20).unwrap();
    device.write(|grant| commit(grant, 1)).unwrap().unwrap();
    // Takes what is left there. The page of the pool that has a place on the disk keeps it.
    let error = fs::write(&filler, vec![1; 256 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let far = 16 << 20;
    let failed = device.write(|grant| {
        grant.store(far, &[7; 4096]).unwrap();
        grant.write_back(far..far + 4096).unwrap();
        commit(grant, 2)
    });
    assert!(failed.unwrap().unwrap_err().contains("may not be durable"));
    assert_eq!(device.write(|_| ()), Err(WriteError::FenceFailed));
    drop(device);
    fs::remove_file(&filler).unwrap();
    let mut lost = [0; 4096];
    let device = Device::open(&path).unwrap();
    device.read(|grant| grant.load(far, &mut lost)).unwrap().unwrap();
    assert_eq!(lost, [0; 4096], "what the disk has not got is taken for durable");
    device.write(|grant| commit(grant, 3)).unwrap().unwrap();
    assert_eq!(byte(&device), 3);
}
