//! An NVDIMM that would not keep stores: the platform says so (NFIT: not armed), and the image is only read. It is
//! read-only and not gone: it is read as any other, stores are refused with that reason, and its bytes stay as they
//! are.

use std::fs;
use std::os::unix::fs::FileExt;

use holdfast_tests::machine::{machine, run};
use holdfast_tests::resp::Reply;
use holdfast_tests::store::{Store, StoreImage, store_machine};
use xtask::qemu::{MachineOptions, Protection};
use xtask::size::MIB;

/// Where the program loads and stores a word, and what is there before.
const OFFSET: u64 = 4096;
const BEFORE: u64 = 0xbef0_0000_0000_0001;

/// What a device says to everything that can be done to it, by the lines of the program `grants`.
fn uses(protection: Protection, unarmed: bool, expected: [&str; 8]) -> u64 {
    let image = StoreImage::new(4 * MIB);
    let pmem = image.open();
    let file = fs::OpenOptions::new().read(true).write(true).open(image.path()).unwrap();
    file.write_all_at(&BEFORE.to_le_bytes(), OFFSET).unwrap();
    let options = MachineOptions {
        pmem: vec![pmem],
        protection: protection.into(),
        unarmed,
        ..machine("grants", &["keeps-stores"])
    };
    let outcome = run(options);
    outcome.expect_exit(0);
    for line in expected {
        outcome.expect_line(line);
    }
    let said = outcome.after("holdfast: pmem0 ");
    assert_eq!(said.contains("read-only: the platform would not keep stores"), unarmed, "{said}");
    let mut word = [0; 8];
    file.read_exact_at(&mut word, OFFSET).unwrap();
    u64::from_le_bytes(word)
}

#[test]
fn an_unarmed_nvdimm_is_read_and_refuses_stores_as_read_only() {
    for protection in [Protection::Pks, Protection::Pku, Protection::None] {
        let left = uses(
            protection,
            true,
            [
                "read Ok(Ok(()))",
                "word 0xbef0000000000001",
                "write Err(ReadOnly)",
                "write in a section Err(ReadOnly)",
                "write-protect Ok(())",
                "make writable Err(ReadOnly)",
                "leaf is writable false",
                "grants 1 0",
            ],
        );
        assert_eq!(left, BEFORE, "{protection:?}");
    }
}

#[test]
fn control_an_armed_nvdimm_is_read_and_keeps_stores() {
    let left = uses(
        Protection::Pks,
        false,
        [
            "read Ok(Ok(()))",
            "word 0xbef0000000000001",
            "write Ok(Ok(()))",
            "write in a section Ok(Ok(()))",
            "write-protect Ok(())",
            "make writable Ok(())",
            "leaf is writable true",
            "grants 1 2",
        ],
    );
    assert_eq!(left, 0x55);
}

#[test]
fn a_store_refuses_an_nvdimm_that_keeps_no_stores_and_says_why() {
    let image = StoreImage::new(64 * MIB);
    // With nothing on it, and with a pool.
    for round in 0..2 {
        let before = fs::read(image.path()).unwrap_or_default();
        let options = MachineOptions { unarmed: true, ..store_machine(image.open()) };
        let outcome = run(options);
        outcome.expect_exit(1).expect_text(
            "pmem0: the persistent-memory device is read-only: it would not keep stores (a store keeps what it is told: \
             give this machine an NVDIMM that is armed, with an image that can be written)",
        );
        if round == 1 {
            assert!(fs::read(image.path()).unwrap() == before, "the image has changed");
        }
        // The control: the same image in a machine that keeps stores.
        let store = Store::boot(&image);
        let mut client = store.client();
        match round {
            0 => assert_eq!(client.set("key", b"value"), Reply::ok()),
            _ => assert_eq!(client.get("key").unwrap(), b"value"),
        }
        store.kill();
    }
}
