//! What reaches the persistence domain, and how: write-backs where they are needed, and none where the platform flushes
//! caches.

use holdfast_tests::resp::Reply;
use holdfast_tests::store::{Store, StoreImage, store_machine};
use xtask::qemu::MachineOptions;
use xtask::size::MIB;

#[test]
fn a_platform_that_flushes_caches_is_left_to_it() {
    let image = StoreImage::new(64 * MIB);
    for eadr in [true, false, true] {
        let store = Store::start(MachineOptions { eadr, ..store_machine(image.open()) });
        let line = store.printed("holdfast: pmem0 ");
        assert_eq!(line.contains("eADR (the platform flushes caches: no write-backs)"), eadr, "{line}");
        let mut client = store.client();
        let by = if eadr { "eadr" } else { "adr" };
        assert_eq!((client.info("durable"), client.info("durable_by")), ("power".into(), by.into()));
        // The first write of a pool opens a segment.
        assert_eq!(client.set("first", b""), Reply::ok());
        let before = client.counts(["lines_written_back", "fences", "bytes_stored"]);
        for number in 0..100 {
            assert_eq!(client.set(&format!("key:{number}"), &[b'x'; 64]), Reply::ok());
        }
        let after = client.counts(["lines_written_back", "fences", "bytes_stored"]);
        // A fence orders the stores before a reply, with or without write-backs.
        assert_eq!(after[1] - before[1], 100);
        assert!(after[2] - before[2] >= 100 * 64);
        match eadr {
            true => assert_eq!(after[0], 0),
            false => assert_eq!(after[0] - before[0], 200),
        }
        store.kill();
    }
    let store = Store::boot(&image);
    let mut client = store.client();
    assert!((0..100).all(|number| client.get(&format!("key:{number}")).unwrap() == [b'x'; 64]));
}

#[test]
fn large_values_go_past_the_caches_and_small_ones_do_not() {
    let image = StoreImage::new(64 * MIB);
    let store = Store::boot(&image);
    let mut client = store.client();
    let counts = ["bytes_streamed", "lines_written_back", "fences"];
    let large: Vec<u8> = (0..100_000u32).map(|byte| (byte / 11) as u8).collect();
    // The first write of a pool opens a segment.
    assert_eq!(client.set("small", b"value"), Reply::ok());
    let before = client.counts(counts);
    assert_eq!(client.set("small", &[b'x'; 64]), Reply::ok());
    let between = client.counts(counts);
    assert_eq!((between[0] - before[0], between[1] - before[1]), (0, 2));
    assert_eq!(client.set("large", &large), Reply::ok());
    let after = client.counts(counts);
    assert!(after[0] - between[0] >= 99_000, "{} of 100000 bytes", after[0] - between[0]);
    assert!(
        after[1] - between[1] <= 2 * (after[2] - between[2]),
        "at each fence a last line, and the record that names the parts"
    );
    drop(client);
    store.kill();
    let store = Store::boot(&image);
    assert!(store.client().get("large").unwrap() == large);
}
