//! What reaches the persistence domain, and how: write-backs where they are needed, and none where the platform flushes caches.

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
