//! An image without symbols boots and serves as the one that it was made of, which tells what its reports mean.

use std::fs;

use holdfast_tests::machine::{machine_of, run};
use holdfast_tests::resp::Reply;
use holdfast_tests::store::{Store, StoreImage, store_machine_of};
use libos_contract::exit;
use xtask::size::MIB;
use xtask::{guest, stripped};

/// The longest that the store's image may be, in bytes.
const LONGEST: u64 = 1_900_000;

#[test]
fn the_stores_image_is_short_and_serves() {
    let image = stripped::make(&guest::image("kvstore").unwrap()).unwrap();
    let length = fs::metadata(&image).unwrap().len();
    assert!(length <= LONGEST, "{length} bytes");
    let pmem = StoreImage::new(64 * MIB);
    let store = Store::start(store_machine_of(image, pmem.open()));
    let mut client = store.client();
    assert_eq!(client.set("key", b"value"), Reply::ok());
    assert_eq!(client.get("key"), Some(b"value".to_vec()));
}

#[test]
fn a_report_names_functions_and_lines_of_the_image_that_it_was_made_of() {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("crash");
    fs::copy(guest::image("crash").unwrap(), &whole).unwrap();
    let outcome = run(machine_of(stripped::make(&whole).unwrap(), "crash", &["panic"]));
    outcome
        .expect_exit(exit::PANIC)
        .report()
        .expect_headline("holdfast: the program aborted")
        .expect_backtrace("tests/programs/src/bin/crash.rs", &["main"]);
}
