//! The ledger in its machine: an entry that was acknowledged is durable, whatever ends the machine, and no client can
//! keep the others waiting; and no store that goes astray changes it, not even inside a write grant.

mod astray;
mod history;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use history::{History, entries, judge};
use holdfast_tests::http::Client;
use holdfast_tests::machine::{PATIENCE, machine};
use holdfast_tests::store::StoreImage;
use xtask::crash::Plant;
use xtask::forward::Forwarder;
use xtask::guest;
use xtask::qemu::{Exit, Machine, MachineOptions, Network, ProtectionChoice};
use xtask::size::MIB;

/// How often the machine is killed.
const ROUNDS: u64 = 100;
/// How many clients add entries at a time.
const CLIENTS: usize = 2;

/// A ledger that accepts clients.
struct Ledger {
    forwarder: Forwarder,
    machine: Machine,
}

impl Ledger {
    fn boot(program: &Path, image: &StoreImage) -> Self {
        Self::boot_with(program, image, ProtectionChoice::Auto, 1)
    }

    fn boot_with(program: &Path, image: &StoreImage, protection: ProtectionChoice, processors: u32) -> Self {
        let options = MachineOptions {
            image: program.to_owned(),
            protection,
            smp: processors,
            network: Network::User,
            pmem: vec![image.open()],
            ..machine("ledger", &[])
        };
        let machine = Machine::start(options, None).unwrap();
        let is_ready = |line: &str| line.starts_with("ledger: ready on port 8080 (pmem0, ").then_some(());
        if machine.console().wait_for_line(PATIENCE, is_ready).is_none() {
            panic!("the ledger does not get ready:\n{}", machine.console().lines().join("\n"));
        }
        Self { forwarder: machine.forward_any(8080).unwrap(), machine }
    }

    fn address(&self) -> SocketAddr {
        self.forwarder.address()
    }

    fn client(&self) -> Client {
        Client::connect(self.address()).unwrap()
    }
}

fn program() -> PathBuf {
    guest::image("ledger").unwrap()
}

/// Boots the ledger again and again on one image. Each time it is judged by what was there before and what clients
/// know; then clients add entries, and the machine is killed at some moment. Returns how many entries there are in the
/// end.
fn survive(program: &Path, rounds: u64, seed: u64) -> Result<usize, String> {
    let image = StoreImage::new(8 * MIB);
    let (mut known, mut histories) = (Vec::new(), Vec::new());
    let mut random = Rng::with_seed(seed);
    for round in 0..=rounds {
        let ledger = Ledger::boot(program, &image);
        // The older ones are read now and then, and at the end.
        let from = if round % 10 == 0 || round == rounds { 0 } else { known.len() };
        let mut found = known[..from].to_vec();
        found.extend(entries(&mut ledger.client(), from + 1));
        judge(&known, &histories, &found).map_err(|error| format!("seed {seed}, round {round}: {error}"))?;
        known = found;
        if round == rounds {
            break;
        }
        let address = ledger.address();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let mut random = Rng::with_seed(seed + round * CLIENTS as u64 + client as u64);
                thread::spawn(move || History::live(address, &format!("{round}.{client}"), &mut random))
            })
            .collect();
        thread::sleep(Duration::from_micros(random.u64(..60_000)));
        assert_eq!(ledger.machine.kill(), Exit::Killed(9));
        drop(ledger);
        histories = clients.into_iter().map(|client| client.join().unwrap()).collect();
    }
    Ok(known.len())
}

#[test]
fn acknowledged_entries_survive_a_hundred_kills() {
    let began = Instant::now();
    let entries = survive(&program(), ROUNDS, 1).unwrap_or_else(|error| panic!("{error}"));
    println!("{ROUNDS} kills, {entries} entries, {:.0} s", began.elapsed().as_secs_f64());
    assert!(entries as u64 > 3 * ROUNDS, "only {entries} entries were added");
}

/// The control: a ledger that acknowledges an entry before its head word is stored is found out by the same test.
#[test]
fn a_ledger_that_acknowledges_too_early_is_found_out() {
    let error = survive(&Plant::find("ledger", "acknowledgement").unwrap().image().unwrap(), ROUNDS, 1).unwrap_err();
    assert!(error.contains("entries acknowledged"), "{error}");
    println!("{error}");
}

#[test]
fn entries_are_added_read_and_summed_and_what_is_wrong_is_refused() {
    let image = StoreImage::new(8 * MIB);
    let ledger = Ledger::boot(&program(), &image);
    let mut client = ledger.client();
    for (number, entry) in (1..).zip(["-350 coffee", "1000 found", "-50 tip größe"]) {
        let reply = client.try_request("POST", "/entries", entry).unwrap();
        assert_eq!((reply.status, reply.text), (201, format!("{number}\n")));
    }
    assert_eq!(entries(&mut client, 1), ["-350 coffee", "1000 found", "-50 tip größe"]);
    assert!(client.get("/entries/3").ends_with("\t-50\ttip größe\n"));
    let summary = client.get("/summary");
    assert!(summary.starts_with("entries\t3\nbalance\t600\n") && summary.ends_with("protection\tpks\n"), "{summary}");
    for (method, target, body, status) in [
        ("POST", "/entries", "much", 422),
        ("GET", "/entries/4", "", 404),
        ("GET", "/entries?to=0", "", 400),
        ("DELETE", "/entries/1", "", 405),
        ("GET", "/nothing", "", 404),
    ] {
        let reply = client.try_request(method, target, body).unwrap();
        assert_eq!(reply.status, status, "{method} {target}: {}", reply.text);
    }
    // What cannot be understood ends the connection, with a reason.
    for (bytes, status) in [
        (&b"nonsense\r\n\r\n"[..], 400),
        (b"POST /entries HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n", 413),
        (&[b'x'; 10_000], 431),
    ] {
        let mut client = ledger.client();
        client.send(bytes).unwrap();
        let reply = client.reply().unwrap();
        assert_eq!((reply.status, reply.closes), (status, true), "{}", reply.text);
        assert!(client.has_ended());
    }
    assert!(client.get("/summary").starts_with("entries\t3\n"));
}

#[test]
fn a_client_too_many_is_told_and_one_that_says_nothing_keeps_nobody_waiting() {
    let image = StoreImage::new(8 * MIB);
    let ledger = Ledger::boot(&program(), &image);
    // Once it is answered the machine has its address, and no SYN behind it is lost and late.
    let mut first = ledger.client();
    assert!(first.get("/summary").starts_with("entries\t0\n"));
    let mut others: Vec<Client> = (0..62).map(|_| ledger.client()).collect();
    // Half of a request, and then nothing.
    others.iter_mut().for_each(|client| client.send(b"GET /summary HTTP/1.1\r\nHost:").unwrap());
    let mut client = ledger.client();
    // Connections are carried one after the other, so when this one is answered the others have been accepted.
    assert!(client.get("/summary").starts_with("entries\t0\n"));
    let mut one_too_many = ledger.client();
    let reply = one_too_many.reply().unwrap();
    assert_eq!((reply.status, reply.closes), (503, true), "{}", reply.text);
    assert!(client.get("/summary").starts_with("entries\t0\n"));
    // They are let go by and by, with a reason, and there is room again.
    for other in &mut others {
        let reply = other.reply().unwrap();
        assert_eq!((reply.status, reply.closes), (408, true), "{}", reply.text);
    }
    let deadline = Instant::now() + PATIENCE;
    while ledger.client().try_request("GET", "/summary", "").is_ok_and(|reply| reply.status == 503) {
        assert!(Instant::now() < deadline, "the seats are not given back");
        drop(others.pop());
    }
}
