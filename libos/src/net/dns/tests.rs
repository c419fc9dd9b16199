use std::collections::VecDeque;
use std::string::String;
use std::vec;

use proptest::prelude::*;

use super::message::{answer, question};
use super::*;

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 3)), 53);
const OTHER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 4)), 53);
const HOST: &str = "Host.example";

fn host() -> Name {
    Name::new(HOST).unwrap()
}

/// One record: an owner as in messages, its type and its data.
type Record<'a> = (&'a [u8], u16, &'a [u8]);

/// The name at the beginning of the question, by a pointer to it.
const ASKED: &[u8] = &[0xc0, 12];
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// The reply to a question.
fn reply(question: &[u8], rcode: u8, records: &[Record<'_>]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    (bytes[2], bytes[3], bytes[7]) = (0x81, 0x80 | rcode, records.len() as u8);
    for (owner, kind, data) in records {
        bytes.extend_from_slice(owner);
        bytes.extend(kind.to_be_bytes().into_iter().chain([0, 1, 0, 0, 0, 9]));
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend_from_slice(data);
    }
    bytes
}

/// A name in messages.
fn wire(name: &str) -> Vec<u8> {
    name.split('.').flat_map(|label| [label.len() as u8].into_iter().chain(label.bytes())).chain([0]).collect()
}

fn is_v6(question: &[u8]) -> bool {
    question[question.len() - 3] == AAAA as u8
}

/// A network in which a function plays the servers: to each question it sends any number of datagrams.
struct Network<F> {
    plays: F,
    asked: Vec<SocketAddr>,
    heard: VecDeque<Vec<u8>>,
    now: Instant,
}

fn network<F: FnMut(SocketAddr, &[u8]) -> Vec<Vec<u8>>>(plays: F) -> Network<F> {
    Network { plays, asked: Vec::new(), heard: VecDeque::new(), now: Instant::BOOT }
}

impl<F: FnMut(SocketAddr, &[u8]) -> Vec<Vec<u8>>> Carrier for Network<F> {
    fn ask(&mut self, server: SocketAddr, question: &[u8]) -> bool {
        self.asked.push(server);
        self.heard.extend((self.plays)(server, question));
        true
    }

    fn hear(&mut self, into: &mut [u8], deadline: Instant) -> Option<usize> {
        let Some(datagram) = self.heard.pop_front() else {
            self.now = deadline;
            return None;
        };
        into[..datagram.len()].copy_from_slice(&datagram);
        Some(datagram.len())
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn random(&mut self) -> u16 {
        self.asked.len() as u16 * 1000 + 7
    }
}

fn good(question: &[u8]) -> Vec<u8> {
    if is_v6(question) {
        reply(question, 0, &[(ASKED, AAAA, &Ipv6Addr::LOCALHOST.octets())])
    } else {
        reply(question, 0, &[(ASKED, A, &[10, 0, 0, 1]), (ASKED, A, &[10, 0, 0, 2])])
    }
}

fn both() -> Vec<IpAddr> {
    vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), "::1".parse().unwrap()]
}

#[test]
fn both_kinds_of_address_are_found() {
    let mut net = network(|_, question| vec![good(question)]);
    assert_eq!(lookup(&mut net, &[SERVER], &host()), Ok(both()));
    assert_eq!(net.asked, [SERVER, SERVER]);
}

#[test]
fn aliases_are_followed_and_strangers_records_are_not() {
    let (alias, last) = (wire("alias.example"), wire("LAST.example"));
    let records: Vec<Record<'_>> = vec![
        (&last, A, &[10, 0, 0, 9]),
        (ASKED, CNAME, &alias),
        (&[3, b'x', b'y', b'z', 0], A, &[6, 6, 6, 6]),
        (&alias, CNAME, &last),
    ];
    let mut net = network(|_, question| vec![reply(question, 0, if is_v6(question) { &[] } else { &records })]);
    assert_eq!(lookup(&mut net, &[SERVER], &host()), Ok(vec!["10.0.0.9".parse().unwrap()]));
}

#[test]
fn aliases_in_a_circle_end() {
    let alias = wire("alias.example");
    let own = wire("host.example");
    let mut net = network(|_, question| vec![reply(question, 0, &[(ASKED, CNAME, &alias), (&alias, CNAME, &own)])]);
    assert_eq!(lookup(&mut net, &[SERVER], &host()), Err(LookupError::NoAddress));
}

#[test]
fn a_server_that_is_silent_or_in_trouble_gives_way_to_the_next() {
    for trouble in [None, Some(2)] {
        let mut net = network(|server, question| match (server, trouble) {
            (OTHER, _) => vec![good(question)],
            (_, None) => vec![],
            (_, Some(rcode)) => vec![reply(question, rcode, &[])],
        });
        assert_eq!(lookup(&mut net, &[SERVER, OTHER], &host()), Ok(both()));
        assert_eq!(net.now, Instant::BOOT + if trouble.is_none() { PATIENCE } else { Duration::ZERO });
        let mut net = network(|_, question| trouble.map(|rcode| reply(question, rcode, &[])).into_iter().collect());
        assert_eq!(lookup(&mut net, &[SERVER], &host()), Err(LookupError::TryAgain));
        assert_eq!(net.asked.len(), 2 * ROUNDS);
    }
    assert_eq!(lookup(&mut network(|_, _| vec![]), &[], &host()), Err(LookupError::TryAgain), "nobody to ask");
}

#[test]
fn a_lost_question_is_asked_again() {
    let mut lost = 0;
    let mut net = network(|_, question| {
        lost += 1;
        if lost <= 2 { vec![] } else { vec![good(question)] }
    });
    assert_eq!(lookup(&mut net, &[SERVER], &host()), Ok(both()));
    // One answer of two is better than none.
    let mut net = network(|_, question| if is_v6(question) { vec![] } else { vec![good(question)] });
    assert_eq!(lookup(&mut net, &[SERVER], &host()), Ok(both()[..2].to_vec()));
}

#[test]
fn what_a_server_says_against_a_name_is_told_apart() {
    for (rcode, expected) in [(3, LookupError::NoName), (5, LookupError::Failed), (0, LookupError::NoAddress)] {
        let mut net = network(|_, question| vec![reply(question, rcode, &[])]);
        assert_eq!(lookup(&mut net, &[SERVER], &host()), Err(expected));
    }
}

#[test]
fn answers_to_other_questions_are_not_listened_to() {
    let forgeries = |question: &[u8]| {
        let good = good(question);
        let mut bad = Vec::new();
        for (at, xor) in [(0, 0xff), (1, 1 << 6), (2, 0x80), (2, 0x08), (5, 2), (13, 2), (good.len().min(27), 2)] {
            let mut forged = good.clone();
            forged[at] ^= xor;
            bad.push(forged);
        }
        let evil: &[Record<'_>] = &[(ASKED, A, &[6, 6, 6, 6])];
        // Names that point at themselves, at each other, forwards, and out of the message.
        for pointer in [[0xc0, 30], [0xc0, 42], [0xc0, 12], [0xff, 0xff]] {
            let mut looped = reply(question, 0, evil);
            let at = question.len();
            looped[at..at + 2].copy_from_slice(&pointer);
            if pointer != [0xc0, 12] {
                bad.push(looped);
            }
        }
        bad.push(Vec::new());
        bad.push(good[..good.len() - 1].to_vec());
        bad
    };
    let mut net = network(|_, question| {
        let mut all = forgeries(question);
        assert!(all.iter().all(|bytes| {
            let id = u16::from_be_bytes([question[0], question[1]]);
            let want = if is_v6(question) { Want::V6 } else { Want::V4 };
            let found = answer(bytes, id, &host(), want);
            found.is_none_or(|answer| answer.addresses().is_empty())
        }));
        all.truncate(7);
        all.push(good(question));
        all
    });
    assert_eq!(lookup(&mut net, &[SERVER], &host()), Ok(both()));
}

#[test]
fn names_that_need_no_server() {
    let local: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    for name in ["localhost", "LOCALHOST.", "app.localhost"] {
        assert_eq!(known(name).unwrap(), local, "{name}");
    }
    for (name, address) in [("10.0.2.2", "10.0.2.2"), ("::1", "::1"), ("fe80::1%2", "fe80::1")] {
        assert_eq!(known(name).unwrap(), [address.parse::<IpAddr>().unwrap()], "{name}");
    }
    for name in ["notlocalhost", "localhost.example", "10.0.2", "10.0.2.2%1", "", ".", "ünlocalhost"] {
        assert_eq!(known(name), None, "{name}");
    }
}

#[test]
fn names_that_nothing_can_have() {
    let label = "a".repeat(63);
    let long = [&*label; 4].join(".");
    for text in ["", ".", "a..b", ".a", "a b", "é.example", &*"a".repeat(64), &*long, "a\0b"] {
        assert_eq!(Name::new(text), None, "{text:?}");
    }
    for text in ["a", "a.", "_srv.a-b.c", &*label, &long[..253]] {
        assert!(Name::new(text).is_some(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_an_answer_or_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for want in [Want::V4, Want::V6] {
            prop_assert_eq!(answer(&bytes, 7, &host(), want).map(|answer| answer.addresses().len()).unwrap_or(0), 0);
        }
    }

    #[test]
    fn no_damage_to_an_answer_is_a_panic(
        changes in proptest::collection::vec((0usize..200, any::<u8>()), 0..6), cut in 0usize..80,
    ) {
        let alias = wire("alias.example");
        let question = question(7, &host(), Want::V4);
        let mut bytes = reply(&question, 0, &[(ASKED, CNAME, &alias), (&alias, A, &[1, 2, 3, 4]), (ASKED, A, &[1, 2, 3, 5])]);
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        answer(&bytes, 7, &host(), Want::V4);
    }

    #[test]
    fn no_text_is_a_panic(text: String) {
        Name::new(&text);
        known(&text);
    }
}
