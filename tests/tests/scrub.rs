//! Scrubbing in the background, in a machine: what has changed in the image is found without anybody asking for it.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::machine::PATIENCE;
use holdfast_tests::resp::{Client, Reply};
use holdfast_tests::store::{Store, StoreImage};
use xtask::size::MIB;

/// Waits until a pass has ended after those so far.
fn pass(client: &mut Client) {
    let before = client.count("scrub_passes");
    assert_eq!(client.command("CONFIG SET scrub-rate 10000000"), Reply::ok());
    let deadline = Instant::now() + PATIENCE;
    while client.count("scrub_passes") == before {
        assert!(Instant::now() < deadline, "no pass ends");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_changed_bit_is_found_in_the_background() {
    let image = StoreImage::new(64 * MIB);
    let store = Store::boot(&image);
    let mut client = store.client();
    for number in 0..300 {
        assert_eq!(client.set(&format!("key:{number}"), format!("<value {number:03}>").as_bytes()), Reply::ok());
    }
    pass(&mut client);
    assert!(client.count("scrub_bytes") > 300 * 50 && client.count("scrub_last_pass_ms") > 0);
    assert_eq!((client.count("scrub_errors"), client.count("pool_lost_keys")), (0, 0));
    assert_eq!(client.count("pool_damaged_places"), 0);

    // The file is the medium: what changes in it changes under the machine's feet.
    let file = OpenOptions::new().read(true).write(true).open(image.path()).unwrap();
    let mut bytes = vec![0; 2 * MIB as usize];
    (&file).read_exact(&mut bytes).unwrap();
    let text = b"<value 123>";
    let at = (0..bytes.len()).find(|at| bytes[*at] == b'<' && bytes[*at..].starts_with(text)).unwrap();
    file.write_all_at(b"#", at as u64 + 3).unwrap();
    pass(&mut client);
    assert_eq!((client.count("scrub_errors"), client.count("pool_lost_keys")), (1, 1));
    assert_eq!(client.count("pool_damaged_places"), 1);
    assert!(store.printed("kvstore: damage in the pool: ").contains("not as it was written"));
    for number in 0..300 {
        match client.command(&format!("GET key:{number}")) {
            Reply::Error(text) => assert!(number == 123 && text.starts_with("ERR damaged data at byte 0x"), "{text}"),
            reply => assert!(number != 123 && reply == Reply::Bulk(format!("<value {number:03}>").into_bytes())),
        }
    }
    assert_eq!(client.command("CONFIG SET scrub-rate 0"), Reply::ok());
    assert_eq!(client.set("key:123", b"new"), Reply::ok());
    assert_eq!(client.count("pool_lost_keys"), 0);
}
