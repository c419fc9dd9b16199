//! The machine with the least RAM: the store serves clients there, tells those that it cannot serve, and lets nobody
//! wait in vain. With less the boot is refused, with the number.

use std::fs;
use std::io::{self, ErrorKind};
use std::thread;

use holdfast_tests::machine::{machine, run};
use holdfast_tests::resp::{Client, Reply};
use holdfast_tests::store::{Store, StoreImage, store_machine};
use libos_contract::exit;
use libos_contract::limits::LEAST_RAM;
use xtask::qemu::{HostFile, MachineOptions};
use xtask::size::{MIB, display};

/// The most RAM that the store may need for fifty clients.
const MOST: u64 = 16 * MIB;

/// How a client fared.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Served,
    /// The store has said so, in these words.
    Told(String),
    /// The connection was refused, or closed.
    Refused,
}

/// A client that writes 64 values of 1 KiB and reads each, all at once. Waiting for longer than [`PATIENCE`] fails.
///
/// [`PATIENCE`]: holdfast_tests::machine::PATIENCE
fn fate(client: io::Result<Client>, number: usize) -> Fate {
    let served = client.and_then(|mut client| {
        let value = vec![b'a' + (number % 26) as u8; 1024];
        for round in 0..64 {
            let key = format!("{number}:{round}");
            for (request, expected) in [
                (&[b"SET", key.as_bytes(), &value][..], Reply::ok()),
                (&[b"GET", key.as_bytes()][..], Reply::Bulk(value.clone())),
            ] {
                let reply = client.try_command(request)?;
                if let Reply::Error(words) = reply {
                    return Ok(Fate::Told(words));
                }
                assert_eq!(reply, expected, "{key}");
            }
        }
        Ok(Fate::Served)
    });
    served.unwrap_or_else(|error| match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Fate::Refused,
        _ => panic!("client {number}: {error}"),
    })
}

/// So many clients at once.
fn fates(store: &Store, count: usize) -> Vec<Fate> {
    let clients: Vec<_> = (0..count).map(|_| Client::connect(store.address())).collect();
    let asking: Vec<_> =
        clients.into_iter().enumerate().map(|(number, client)| thread::spawn(move || fate(client, number))).collect();
    asking.into_iter().map(|client| client.join().unwrap()).collect()
}

/// What a machine that is refused says that it needs, in bytes.
fn needed(options: MachineOptions) -> u64 {
    let outcome = run(options);
    outcome.expect_exit(exit::BOOT_REFUSED);
    let refusal = outcome.lines().find_map(|line| Some(line.split_once("of RAM, and needs ")?.1.to_owned()));
    let refusal = refusal.unwrap_or_else(|| panic!("no line says what is needed:\n{outcome}"));
    let (number, advice) = refusal.split_once(".0 MiB; give it more").expect("whole mebibytes");
    assert!(advice.contains(&format!("-m {number}M, with xtask: --memory {number}M")), "{refusal}");
    number.parse::<u64>().unwrap() * MIB
}

#[test]
fn with_what_a_refused_machine_says_it_needs_the_store_serves_or_says_why_not() {
    let image = StoreImage::new(64 * MIB);
    let with = |memory| MachineOptions { memory, ..store_machine(image.open()) };
    let memory = needed(with(LEAST_RAM));
    assert!(memory <= MOST, "{}", display(memory));
    assert_eq!(needed(with(memory - MIB)), memory, "a mebibyte less is too little");
    let store = Store::start(with(memory));
    for count in [8, 50] {
        let fates = fates(&store, count);
        assert!(fates.iter().all(|fate| *fate == Fate::Served), "{count}: {fates:?}");
    }
    let fates = fates(&store, 400);
    let served = fates.iter().filter(|fate| **fate == Fate::Served).count();
    println!("{}: {served} of 400 served", display(memory));
    assert!(served >= 50, "{fates:?}");
    // It is as before when they have gone.
    assert_eq!(store.client().set("after", b"all"), Reply::ok());
    store.press_power_button();
    store.wait().expect_exit(0);
}

#[test]
fn what_the_boot_loader_puts_into_memory_is_needed_beside_the_least() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, vec![1; 20 * MIB as usize]).unwrap();
    let with = |files| needed(MachineOptions { memory: LEAST_RAM + 20 * MIB, files, ..machine("crash", &["return"]) });
    let bare = needed(MachineOptions { memory: LEAST_RAM, ..machine("crash", &["return"]) });
    assert!(bare > LEAST_RAM, "the image takes some, too");
    let needed = with(vec![HostFile::new("file", &file).unwrap()]);
    assert!((20 * MIB..=21 * MIB).contains(&(needed - bare)), "{} and {}", display(bare), display(needed));
}
