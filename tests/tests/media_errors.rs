//! Errors of the medium, injected as machine checks while the store runs: each costs the keys that it hits, is
//! remembered, and everything else goes on. An error elsewhere stops the machine.

use std::fs::File;
use std::io::Read;
use std::ops::Range;

use holdfast_tests::resp::{Client, Reply};
use holdfast_tests::store::{Store, StoreImage, store_machine};
use libos_contract::exit;
use xtask::pool;
use xtask::qemu::{Machine, MachineOptions};
use xtask::size::MIB;

const KEYS: u32 = 200;

/// An uncorrected error in data that was consumed: valid, enabled, with address and granularity, signalled, action
/// required, the processor's context whole (SDM volume 3B, sections 16.3.2.2 and 16.9.1).
const CONSUMED: &str = "0xbd80000000000134";
/// IA32_MCG_STATUS: restartable, the instruction is the one, in progress.
const RESTARTABLE: &str = "0x7";

/// Injects an error in the `granularity` bytes (as a power of two) around a physical address.
fn inject(machine: &Machine, cpu: u32, status: &str, address: u64, granularity: u32) {
    let misc = 0x80 | granularity;
    // The machine may end before QEMU answers.
    drop(machine.monitor_command(&format!("mce {cpu} 1 {status} {RESTARTABLE} {address:#x} {misc:#x}")));
}

/// The first physical address of the NVDIMM.
fn base(machine: &Machine) -> u64 {
    let text = machine.monitor_command("info memory-devices").unwrap();
    let address = text.lines().find_map(|line| line.trim().strip_prefix("addr: 0x")).unwrap();
    u64::from_str_radix(address, 16).unwrap()
}

fn value(number: u32) -> Vec<u8> {
    format!("<value {number:04}>{}", "x".repeat(number as usize % 90)).into_bytes()
}

/// Where the value of a key is in the image.
fn place(image: &StoreImage, number: u32) -> u64 {
    let mut bytes = vec![0; 4 * MIB as usize];
    File::open(image.path()).unwrap().read_exact(&mut bytes).unwrap();
    let value = value(number);
    // The log has only begun.
    (0..bytes.len()).rev().find(|at| bytes[*at] == b'<' && bytes[*at..].starts_with(&value)).unwrap() as u64
}

fn key(number: u32) -> String {
    format!("key:{number}")
}

/// The keys that are errors, each of which names a place in the image; all others have their values.
fn lost(client: &mut Client) -> Vec<u32> {
    let is_lost = |number: &u32| match client.command(&format!("GET {}", key(*number))) {
        Reply::Error(text) => {
            assert!(text.starts_with("ERR damaged data at byte 0x"), "{text}");
            true
        }
        reply => {
            assert_eq!(reply.into_bytes().unwrap(), value(*number), "key {number}");
            false
        }
    };
    (0..KEYS).filter(is_lost).collect()
}

fn fill(client: &mut Client) {
    for number in 0..KEYS {
        assert_eq!(client.set(&key(number), &value(number)), Reply::ok());
    }
}

fn listed(range: &Range<u64>) -> String {
    format!("{:#x}-{:#x}", range.start, range.end)
}

#[test]
fn an_unreadable_line_costs_one_key_until_that_is_written_anew() {
    let image = StoreImage::new(64 * MIB);
    for (cpus, cpu) in [(1, 0), (2, 1)] {
        let store = Store::start(MachineOptions { smp: cpus, ..store_machine(image.open()) });
        let mut client = store.client();
        fill(&mut client);
        let victim = 100 + cpus;
        let at = place(&image, victim);
        let bad = at / 64 * 64..at / 64 * 64 + 64;
        inject(store.machine(), cpu, CONSUMED, base(store.machine()) + at, 6);
        assert_eq!(lost(&mut client), [victim]);
        assert_eq!(client.count("pool_lost_keys"), 1);
        assert!(client.info("pool_bad_ranges").contains(&listed(&bad)));
        // Everything else goes on.
        assert_eq!(client.set("another", b"value"), Reply::ok());
        assert!(matches!(client.command(&format!("INCR {}", key(victim))), Reply::Error(_)));
        assert_eq!(client.get("another").unwrap(), b"value");
        store.kill();

        // The tool finds it, and so does the next boot.
        let found = pool::check(image.path(), false, false).unwrap();
        assert!(found.sound, "{}", found.text);
        assert!(found.text.contains(&format!("bad: bytes {:#x}..{:#x}", bad.start, bad.end)), "{}", found.text);
        assert!(found.text.contains("lost: 1 keys"), "{}", found.text);
        let store = Store::boot(&image);
        let mut client = store.client();
        assert_eq!(lost(&mut client), [victim]);
        assert!(client.info("pool_bad_ranges").contains(&listed(&bad)));
        assert_eq!(client.set(&key(victim), &value(victim)), Reply::ok());
        assert_eq!((lost(&mut client), client.count("pool_lost_keys")), (vec![], 0));
        assert!(client.try_command(&[b"SHUTDOWN"]).is_err());
        store.wait().expect_exit(0);
        let store = Store::boot(&image);
        assert_eq!(lost(&mut store.client()), [0; 0]);
        store.kill();
    }
    assert_eq!(pool::check(image.path(), false, true).unwrap().text.matches("\"bytes\": 64").count(), 2);
}

#[test]
fn an_unreadable_page_costs_the_keys_in_it_and_they_can_be_removed() {
    let image = StoreImage::new(64 * MIB);
    let store = Store::boot(&image);
    let mut client = store.client();
    fill(&mut client);
    let at = place(&image, 100);
    let page = at / 4096 * 4096..at / 4096 * 4096 + 4096;
    inject(store.machine(), 0, CONSUMED, base(store.machine()) + at, 12);
    let hit = lost(&mut client);
    assert!(hit.contains(&100) && hit.len() < 64, "{hit:?}");
    assert!(hit.iter().all(|number| (page.start - 200..page.end).contains(&place(&image, *number))));
    let names: Vec<String> = hit.iter().map(|number| key(*number)).collect();
    assert_eq!(client.command(&format!("DEL {}", names.join(" "))), Reply::Integer(hit.len() as i64));
    assert_eq!(client.count("pool_lost_keys"), 0);
    assert_eq!(client.command("DBSIZE"), Reply::Integer(i64::from(KEYS) - hit.len() as i64));
    store.kill();
    let store = Store::boot(&image);
    let mut client = store.client();
    assert_eq!(client.command("DBSIZE"), Reply::Integer(i64::from(KEYS) - hit.len() as i64));
    assert_eq!(client.count("pool_lost_keys"), 0);
}

#[test]
fn an_error_elsewhere_or_one_that_corrupts_the_processor_stops_the_machine() {
    let corrupt = "0xbf80000000000134";
    for (status, outside, reason) in [
        (CONSUMED, true, "it is not in persistent memory"),
        (corrupt, false, "the processor's context is corrupt (PCC)"),
    ] {
        let image = StoreImage::new(64 * MIB);
        let store = Store::boot(&image);
        fill(&mut store.client());
        let address = if outside { 16 * MIB } else { base(store.machine()) + place(&image, 7) };
        inject(store.machine(), 0, status, address, 6);
        let outcome = store.wait();
        outcome.expect_exit(exit::FATAL_EXCEPTION);
        outcome.report().expect_headline("holdfast: FAULT #MC machine check (vector 18)").expect_in_headline(reason);
        let store = Store::boot(&image);
        assert_eq!(lost(&mut store.client()), [0; 0]);
    }
}
