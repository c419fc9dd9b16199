//! A store that goes astray while a write grant is open: no key stops it, but the write-protected page does.

use std::fs;

use holdfast_tests::machine::outcome;
use holdfast_tests::store::StoreImage;
use libos_contract::exit;
use xtask::crash::Plant;
use xtask::qemu::{Exit, Protection};
use xtask::size::MIB;

use super::history::entries;
use super::{Ledger, program};

/// With this entry the planted store goes astray; by then the first page is full, of entries of 32 bytes and more.
const LAST: u64 = 150;
/// Where the store goes: the amount of the first entry.
const TARGET: usize = 64 + 16;

fn entry(number: u64) -> String {
    format!("{number} entry number {number}")
}

/// Adds the entries before the last one, and keeps the image as it is then.
fn fill(ledger: &Ledger, image: &StoreImage) -> Vec<u8> {
    let mut client = ledger.client();
    for number in 1..LAST {
        let reply = client.try_request("POST", "/entries", &entry(number)).unwrap();
        assert_eq!((reply.status, reply.text), (201, format!("{number}\n")));
    }
    let bytes = fs::read(image.path()).unwrap();
    assert_eq!(bytes[TARGET..TARGET + 8], 1u64.to_le_bytes());
    bytes
}

#[test]
fn a_store_astray_in_a_write_grant_faults_at_an_acknowledged_entry() {
    for (protection, processors) in [(Protection::Pks, 1), (Protection::Pks, 4), (Protection::Pku, 1)] {
        let image = StoreImage::new(8 * MIB);
        let astray = Plant::find("ledger", "astray").unwrap().image().unwrap();
        let ledger = Ledger::boot_with(&astray, &image, protection.into(), processors);
        let before = fill(&ledger, &image);
        ledger.client().try_request("POST", "/entries", &entry(LAST)).expect_err("the machine ends before a reply");
        let outcome = outcome(&ledger.machine, &astray);
        outcome
            .expect_exit(exit::PROTECTION_FAULT)
            .report()
            .expect_headline(&format!("holdfast: FAULT stray write of pmem0 at offset {TARGET:#x} "))
            .expect_in_headline("key 1), where pages are write-protected, policy strict: machine stopped")
            .expect_rights("0x55555550 (key 0 always open, key 1 pmem0 write, the others closed)");
        outcome.expect_text("still open, taken at ").expect_text("<ledger::log::Log>::append");
        drop(ledger);
        // All that was acknowledged: the last entry's body had been stored behind it.
        let after = fs::read(image.path()).unwrap();
        let end = before.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        assert!(end as u64 > 4096 && after[..end] == before[..end], "the image has changed:\n{outcome}");
        let ledger = Ledger::boot(&program(), &image);
        assert_eq!(entries(&mut ledger.client(), 1), (1..LAST).map(entry).collect::<Vec<_>>());
    }
}

/// The control: a ledger that write-protects nothing goes on, with a damaged entry.
#[test]
fn without_write_protection_the_same_store_damages_the_entry() {
    let image = StoreImage::new(8 * MIB);
    let ledger = Ledger::boot(&Plant::find("ledger", "astray-unprotected").unwrap().image().unwrap(), &image);
    let before = fill(&ledger, &image);
    let mut client = ledger.client();
    assert_eq!(client.try_request("POST", "/entries", &entry(LAST)).unwrap().status, 201);
    let reply = client.try_request("GET", "/entries/1", "").unwrap();
    assert_eq!((reply.status, reply.text.contains("the entry at byte 0x40 is damaged")), (500, true), "{}", reply.text);
    assert_eq!(ledger.machine.kill(), Exit::Killed(9));
    let after = fs::read(image.path()).unwrap();
    assert_eq!(after[TARGET..TARGET + 8], [0x66; 8]);
    assert_eq!((&after[..TARGET], &after[TARGET + 8..4096]), (&before[..TARGET], &before[TARGET + 8..4096]));
}
