//! What a fence executes, and what is executed before a device is there.

use std::fs;

use pmem_linux::Device;
use pmem_medium::{Counters, DurableBy, Medium, Store};

use crate::places::{self, LEN};
use crate::steps::{self, Seen};

/// Stores here and there, and writes it back. What lies apart is of several pages, and of two lines each.
const PLACES: [u64; 3] = [60, 8192 + 60, 40_000 + 60];

fn commit(device: &Device) {
    device
        .write(|grant| {
            for at in PLACES {
                grant.store(at, b"more than a word").unwrap();
                grant.write_back(at..at + 16).unwrap();
            }
            grant.fence();
        })
        .unwrap();
}

/// What a commit executes that is durable by this.
fn expected(by: DurableBy) -> Seen {
    match by {
        DurableBy::Adr => Seen { write_backs: 2 * PLACES.len(), fences: 1, system_calls: vec![] },
        DurableBy::Eadr => Seen { write_backs: 0, fences: 1, system_calls: vec![] },
        DurableBy::Sync => Seen { write_backs: 0, fences: 0, system_calls: vec![libc::SYS_fdatasync] },
        _ => Seen::default(),
    }
}

#[test]
fn all_that_a_commit_has_stored_is_durable_by_one_fence_and_at_most_one_system_call() {
    for place in places::all("commit") {
        let device = place.open();
        // The thread's first grant makes what belongs to the thread, and the first store has the kernel find the page.
        commit(&device);
        let before = device.counters();
        assert_eq!(steps::seen(|| commit(&device)), expected(place.by), "{}", place.path.display());
        let done = device.counters().since(&before);
        let expected = Counters {
            write_grants: 1,
            bytes_stored: 48,
            lines_written_back: if place.by == DurableBy::Eadr { 0 } else { 6 },
            fences: 1,
            syncs: u64::from(place.by == DurableBy::Sync),
            ..Counters::default()
        };
        assert_eq!(done, expected, "{}", place.path.display());
    }
}

#[test]
fn a_fence_with_nothing_written_back_asks_the_kernel_for_nothing() {
    for place in places::all("nothing") {
        let device = place.open();
        commit(&device);
        let seen = steps::seen(|| {
            device
                .write(|grant| {
                    grant.write_back(8..8).unwrap();
                    grant.fence();
                })
                .unwrap();
        });
        let fences = usize::from(matches!(place.by, DurableBy::Adr | DurableBy::Eadr));
        assert_eq!(seen, Seen { write_backs: 0, fences, system_calls: vec![] }, "{}", place.path.display());
    }
}

#[test]
fn what_another_grant_has_stored_is_durable_by_the_fence_of_the_one_that_writes_it_back() {
    for place in places::all("another") {
        let device = place.open();
        commit(&device);
        device.write(|grant| grant.store(64, b"not fenced").unwrap()).unwrap();
        let seen = steps::seen(|| {
            device
                .write(|grant| {
                    grant.write_back(64..74).unwrap();
                    grant.fence();
                })
                .unwrap();
        });
        let write_backs = usize::from(place.by == DurableBy::Adr);
        assert_eq!(seen, Seen { write_backs, ..expected(place.by) }, "{}", place.path.display());
    }
}

#[test]
fn what_a_process_left_without_a_fence_is_made_durable_before_anybody_builds_on_it() {
    for place in places::all("left") {
        let leaving = place.open();
        leaving.write(|grant| grant.store(64, b"not fenced").unwrap()).unwrap();
        drop(leaving);
        if place.is_dax_device() {
            let lines = place.open().counters().lines_written_back;
            let expected = if place.by == DurableBy::Eadr { 0 } else { place.open().size() / 64 };
            assert_eq!(lines, expected);
            continue;
        }
        let seen = steps::seen(|| drop(place.open()));
        let synced = seen.system_calls.contains(&libc::SYS_fdatasync);
        assert_eq!(synced, place.by != DurableBy::Memory, "{}", place.path.display());
    }
}

#[test]
fn a_files_name_and_its_length_are_durable_before_anything_in_it() {
    for place in [places::disk("named"), places::persistent("named")].into_iter().flatten() {
        let name = place.path.display();
        fs::remove_file(&place.path).unwrap();
        let mut device = None;
        let created = steps::seen(|| device = Some(Device::create(&place.path, LEN).unwrap()));
        assert!(created.system_calls.contains(&libc::SYS_fsync), "{name}: the directory is not");
        let extended = steps::seen(|| drop(device.take().unwrap().extend(2 * LEN).unwrap()));
        assert!(extended.system_calls.contains(&libc::SYS_fsync), "{name}: the new length is not");
    }
}
