//! The log on a simulated persistence domain: power cuts at every event, damage, and what is no ledger.

use fastrand::Rng;
use pmem::sim::{Domain, Event, Memory};

use super::*;

fn entry(number: u64) -> Entry {
    // Lengths that end in every way at words and lines.
    let memo = "x".repeat((number * 7 % 97) as usize);
    Entry { time: number * 1000, amount: number as i64 * if number.is_multiple_of(3) { -1 } else { 1 }, memo }
}

fn ledger(entries: u64, bytes: u64) -> Memory {
    let memory = Memory::new(bytes);
    let mut log = Log::open(&memory).unwrap();
    for number in 1..=entries {
        assert_eq!(log.append(&entry(number)).unwrap().number(), number);
    }
    memory
}

#[test]
fn what_was_appended_is_read_by_number_and_after_opening_again() {
    let memory = ledger(200, 1 << 20);
    for _ in 0..2 {
        let log = Log::open(&memory).unwrap();
        assert_eq!(log.len(), 200);
        assert_eq!(log.balance(), (1..=200).map(|number| i128::from(entry(number).amount)).sum());
        for (first, most, found) in [(1, 1, 1..2), (64, 3, 64..67), (199, 500, 199..201), (201, 1, 201..201)] {
            assert_eq!(log.read(first, most).unwrap(), found.map(entry).collect::<Vec<_>>());
        }
        assert!(log.read(0, 5).unwrap().is_empty() && log.read(u64::MAX, u64::MAX).unwrap().is_empty());
    }
}

#[test]
fn a_full_ledger_says_so_and_keeps_what_it_has() {
    let memory = Memory::new(1024);
    let mut log = Log::open(&memory).unwrap();
    let count = (1..).take_while(|&number| log.append(&entry(number)).is_ok()).count() as u64;
    assert_eq!(log.append(&entry(count + 1)).unwrap_err(), Error::Full);
    let short = Entry { time: 0, amount: 0, memo: String::new() };
    while log.free() >= 24 {
        let _ = log.append(&short).unwrap();
    }
    assert_eq!(log.append(&short).unwrap_err(), Error::Full);
    let entries = log.len();
    assert_eq!(Log::open(&memory).unwrap().len(), entries);
}

#[test]
fn what_is_no_ledger_is_left_alone() {
    let memory = Memory::from([b"a pool!!".as_slice(), &[0; 4096]].concat());
    let before = memory.image();
    assert_eq!(Log::open(&memory).unwrap_err(), Error::Foreign(*b"a pool!!"));
    assert_eq!(memory.image(), before);
    assert_eq!(Log::open(Memory::new(64)).unwrap_err(), Error::TooSmall);
}

#[test]
fn every_changed_byte_of_an_entry_is_noticed() {
    let image = ledger(5, 4096).image();
    let end = Log::open(Memory::from(image.clone())).unwrap().end;
    for at in FIRST..end {
        let mut changed = image.clone();
        changed[at as usize] ^= 0x40;
        match Log::open(Memory::from(changed)) {
            Err(Error::Damaged(_)) => {}
            // Zeros that fill a record up to a word mean nothing.
            Ok(log) => assert_eq!((image[at as usize], log.read(1, 9).unwrap()), (0, (1..6).map(entry).collect())),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    let memory = Memory::from(image);
    memory.poison(FIRST + 8..FIRST + 16, false);
    assert_eq!(Log::open(&memory).unwrap_err(), Error::Damaged(FIRST + 8));
}

#[test]
fn whole_pages_of_entries_are_write_protected_and_the_page_of_the_end_is_not() {
    let memory = ledger(0, 1 << 16);
    let mut log = Log::open(&memory).unwrap();
    let mut pages = 0;
    for number in 1..=400 {
        let end = log.end;
        let _ = log.append(&entry(number)).unwrap();
        // It was at the end's page when this entry was stored.
        let first = end / PAGE;
        assert!((0..first).all(|page| !memory.is_writable(page * PAGE)), "before entry {number}");
        assert!((first..16).all(|page| memory.is_writable(page * PAGE)), "before entry {number}");
        pages = first;
    }
    assert!(pages > 5, "only {pages} pages are full");
    // A stray store in a write scope is what the simulation panics at, as the machine stops at it.
    let stray = |at: u64| {
        let store = || memory.write(|grant| grant.store(at, &[0x66; 8])).unwrap().unwrap();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(store)).is_err()
    };
    assert!(stray(FIRST) && stray(pages * PAGE - 8) && !stray(log.end));
}

#[test]
fn opening_a_ledger_write_protects_what_is_there() {
    let memory = Memory::from(ledger(400, 1 << 16).image());
    assert!((0..16).all(|page| memory.is_writable(page * PAGE)), "nothing of it is in the image");
    let mut log = Log::open(&memory).unwrap();
    let first = log.end / PAGE;
    assert!(first > 5 && (0..16).all(|page| memory.is_writable(page * PAGE) == (page >= first)));
    assert_eq!(log.append(&entry(401)).unwrap().number(), 401);
}

/// Cuts the power after every event of `events`, which began with `image`. Of the images that each could leave some are
/// opened: what was acknowledged by then is there, of the entry at work at most that one is, and the ledger takes
/// another entry and has it. Returns how many images were opened, or what is wrong with one.
fn cut(image: Vec<u8>, events: &[(Event, u64)]) -> Result<usize, String> {
    let (mut domain, mut random, mut opened) = (Domain::new(image), Rng::with_seed(1), 0);
    for (event, acknowledged) in events {
        domain.apply(event);
        for words in domain.images(40, &mut |below| random.u64(..below)) {
            let memory = Memory::from(domain.image(&words));
            let mut log = Log::open(&memory).map_err(|error| format!("after {acknowledged} entries: {error}"))?;
            let found = log.len();
            if !(*acknowledged..=acknowledged + 1).contains(&found) {
                return Err(format!("{found} entries are there of {acknowledged} that were acknowledged"));
            }
            let added = Entry { memo: "after the cut".into(), ..entry(found + 1) };
            let _ = log.append(&added).map_err(|error| error.to_string())?;
            let entries =
                Log::open(&memory).and_then(|log| log.read(1, u64::MAX)).map_err(|error| error.to_string())?;
            let expected: Vec<Entry> = (1..=found).map(entry).chain([added]).collect();
            if entries != expected {
                return Err(format!("after {acknowledged} entries the ledger has {entries:?}"));
            }
            opened += 1;
        }
    }
    Ok(opened)
}

/// What a ledger does to blank memory, each event with the number of entries that had been acknowledged before it.
fn life(entries: u64) -> Vec<(Event, u64)> {
    let memory = Memory::new(4096);
    memory.record();
    let mut log = Log::open(&memory).unwrap();
    let mut events: Vec<_> = memory.record().into_iter().map(|event| (event, 0)).collect();
    for number in 1..=entries {
        let _ = log.append(&entry(number)).unwrap();
        let recorded = memory.record();
        let last = recorded.len() - 1;
        // With its last fence the entry is acknowledged.
        let acknowledged = |at: usize| if at == last { number } else { number - 1 };
        events.extend(recorded.into_iter().enumerate().map(|(at, event)| (event, acknowledged(at))));
    }
    events
}

#[test]
fn acknowledged_entries_survive_a_power_cut_anywhere() {
    let opened = cut(vec![0; 4096], &life(24)).unwrap();
    assert!(opened > 1000, "only {opened} images were opened");
}

/// What a torn entry leaves behind the end may look like anything, a record too: here, one with the right number.
#[test]
fn what_a_torn_entry_leaves_is_never_taken_for_an_entry() {
    let bait = ledger(3, 4096).image();
    let mut image = ledger(1, 4096).image();
    let end = Log::open(Memory::from(image.clone())).unwrap().end as usize;
    // The third entry, where it would lie behind a second one without a memo.
    let from = end + (24 + entry(2).memo.len()).next_multiple_of(8);
    let length = 24 + entry(3).memo.len();
    assert_ne!(bait[from..from + 8], [0; 8]);
    image[end + 24..end + 24 + length].copy_from_slice(&bait[from..from + length]);
    let memory = Memory::from(image);
    let mut log = Log::open(&memory).unwrap();
    let _ = log.append(&Entry { memo: String::new(), ..entry(1) }).unwrap();
    assert_eq!(Log::open(&memory).unwrap().len(), 2);
}

/// The control: without one of its fences, or with the two steps exchanged, the same cuts find a ledger that breaks.
#[test]
fn a_ledger_without_a_fence_or_in_the_wrong_order_is_found_out() {
    let events = life(24);
    let fences: Vec<usize> = (0..events.len()).filter(|&at| events[at].0 == Event::Fence).collect();
    for (name, of_two) in [("first", 0), ("second", 1)] {
        // The fences of the formatting stay.
        let missing = |at: usize| fences.iter().skip(2 + of_two).step_by(2).any(|&fence| fence == at);
        let without: Vec<_> = events
            .iter()
            .enumerate()
            .map(|(at, event)| if missing(at) { (Event::WriteBack(0..0), event.1) } else { event.clone() })
            .collect();
        assert!(cut(vec![0; 4096], &without).is_err(), "without the {name} fence of an entry nothing is found");
    }
    let mut exchanged = events.clone();
    for entry in exchanged[6..].chunks_mut(6) {
        let acknowledged: Vec<u64> = entry.iter().map(|(_, acknowledged)| *acknowledged).collect();
        entry.rotate_left(3);
        entry.iter_mut().zip(acknowledged).for_each(|((_, of), acknowledged)| *of = acknowledged);
    }
    assert!(cut(vec![0; 4096], &exchanged).is_err(), "the head word before the body is not found");
}
