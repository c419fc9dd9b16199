//! The parser as a connection drives it, whole and in pieces.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { argument: 1000, request: 4000, arguments: 100 };

#[derive(Clone, PartialEq, Eq, Debug)]
enum Event {
    Request(Vec<Vec<u8>>),
    Refused(Step),
    Error(ProtocolError),
}

/// Everything that a connection would see if `data` arrived in pieces of the given sizes, and the most memory held.
fn parse(data: &[u8], sizes: &[usize]) -> (Vec<Event>, usize) {
    let memory = Memory::new(8 << 20);
    let (mut input, mut parser, mut events) = (Input::new(&memory), Parser::new(LIMITS, &memory), Vec::new());
    let (mut rest, mut sizes, mut memory) = (data, sizes.iter().cycle(), 0);
    while !rest.is_empty() {
        let (piece, next) = rest.split_at((*sizes.next().unwrap_or(&usize::MAX)).clamp(1, rest.len()));
        input.push(piece);
        rest = next;
        loop {
            match parser.step(&mut input) {
                Ok(Step::Incomplete) => break,
                Ok(Step::Request) => {
                    let request = parser.request(&input);
                    events.push(Event::Request(request.from(0).map(<[u8]>::to_vec).collect()));
                }
                Ok(refused) => events.push(Event::Refused(refused)),
                Err(error) => {
                    assert_eq!(parser.step(&mut input), Err(error), "an error stays");
                    events.push(Event::Error(error));
                    return (events, memory);
                }
            }
            parser.finish(&mut input);
        }
        memory = memory.max(input.memory() + parser.memory());
    }
    (events, memory)
}

fn request(words: &[&str]) -> Event {
    Event::Request(words.iter().map(|word| word.as_bytes().to_vec()).collect())
}

#[test]
fn reads_arrays_and_inline_requests() {
    let data = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*0\r\n*-1\r\n\r\nset \"a b\" c\r\nPING\n*1\r\n$0\r\n\r\n";
    let expected = [request(&["GET", "k"]), request(&["set", "a b", "c"]), request(&["PING"]), request(&[""])];
    assert_eq!(parse(data, &[]).0, expected);
    assert_eq!(parse(data, &[1]).0, expected);
}

#[test]
fn names_each_protocol_error() {
    let long = vec![b'1'; MAX_LINE + 1];
    for (data, error) in [
        (&b"*a\r\n"[..], ProtocolError::InvalidCount),
        (b"*2147483648\r\n", ProtocolError::InvalidCount),
        (b"*1\r\n$a\r\n", ProtocolError::InvalidLength),
        (b"*1\r\n$-1\r\n", ProtocolError::InvalidLength),
        (b"*1\r\n$536870913\r\n", ProtocolError::InvalidLength),
        (b"*1\r\nX1\r\n", ProtocolError::ExpectedBulk(b'X')),
        (b"*1\r\n\r\n", ProtocolError::ExpectedBulk(b'\r')),
        (b"get \"k\r\n", ProtocolError::UnbalancedQuotes),
        (&long, ProtocolError::InlineTooLong),
        (&[b"*", &long[..]].concat(), ProtocolError::CountTooLong),
        (&[b"*1\r\n$", &long[..]].concat(), ProtocolError::LengthTooLong),
    ] {
        assert_eq!(parse(data, &[]).0, [Event::Error(error)]);
        assert_eq!(parse(data, &[7]).0, [Event::Error(error)]);
    }
}

#[test]
fn what_is_beyond_the_limits_is_dropped_as_it_arrives() {
    let long = "x".repeat(3_000_000);
    let data = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{long}\r\nPING\r\n", long.len());
    let (events, memory) = parse(data.as_bytes(), &[10_000]);
    assert_eq!(events, [Event::Refused(Step::ArgumentTooLong), request(&["PING"])]);
    assert!(memory < 64 * 1024, "{memory}");

    let mut many = format!("*{}\r\n", 50);
    many.extend(std::iter::repeat_n(format!("$500\r\n{}\r\n", "y".repeat(500)), 50));
    let (events, memory) = parse(many.as_bytes(), &[100]);
    assert_eq!(events, [Event::Refused(Step::RequestTooLong)]);
    assert!(memory < 64 * 1024, "{memory}");

    let mut count = String::from("*100000\r\n");
    count.extend(std::iter::repeat_n("$0\r\n\r\n", 100_000));
    let (events, memory) = parse(count.as_bytes(), &[1000]);
    assert_eq!(events, [Event::Refused(Step::RequestTooLong)]);
    assert!(memory < 64 * 1024, "{memory}");
}

/// A request of so many arguments of so many bytes.
fn arguments(count: usize, length: usize) -> Vec<u8> {
    let argument = format!("${length}\r\n{}\r\n", "z".repeat(length));
    format!("*{count}\r\n{}", argument.repeat(count)).into_bytes()
}

/// What arrives whole goes the short way, byte by byte the long one.
#[test]
fn the_short_way_takes_nothing_that_the_long_one_refuses() {
    for (data, expected) in [
        (b"*1\r\n$04\r\nPING\r\n".to_vec(), Event::Error(ProtocolError::InvalidLength)),
        (b"*01\r\n$4\r\nPING\r\n".to_vec(), Event::Error(ProtocolError::InvalidCount)),
        (arguments(LIMITS.arguments + 1, 1), Event::Refused(Step::RequestTooLong)),
        (arguments(5, 900), Event::Refused(Step::RequestTooLong)),
        (arguments(1, LIMITS.argument + 1), Event::Refused(Step::ArgumentTooLong)),
    ] {
        for (sizes, how) in [(&[][..], "whole"), (&[1], "byte by byte")] {
            assert_eq!(parse(&data, sizes).0, std::slice::from_ref(&expected), "{how}");
        }
    }
    for data in [arguments(LIMITS.arguments, 1), arguments(FEW, 1), arguments(3, 1000), arguments(1, 0)] {
        assert!(matches!(&parse(&data, &[]).0[..], [Event::Request(_)]));
        assert_eq!(parse(&data, &[]).0, parse(&data, &[1]).0);
    }
}

/// Pieces of the protocol, glued at random: deeper into the parser than random bytes get.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        8 => "[a-z]{0,20}".prop_map(|word| format!("${}\r\n{word}\r\n", word.len())),
        4 => (0..4i64).prop_map(|count| format!("*{count}\r\n")),
        1 => any::<i64>().prop_map(|length| format!("${length}\r\n")),
        1 => (900..1100usize).prop_map(|length| format!("${length}\r\n{}\r\n", "z".repeat(length))),
        1 => any::<i64>().prop_map(|count| format!("*{count}\r\n")),
        2 => "[a-z'\"\\\\ ]{0,20}\r\n",
        1 => "[*$:\r\n0-9]{0,5}",
    ];
    prop::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat().into_bytes())
}

proptest! {
    #[test]
    fn a_split_changes_nothing(data in fragments(), sizes in prop::collection::vec(1..50usize, 1..20)) {
        prop_assert_eq!(parse(&data, &[]).0, parse(&data, &sizes).0);
        // What arrives byte by byte never goes the short way.
        prop_assert_eq!(parse(&data, &[]).0, parse(&data, &[1]).0);
    }

    #[test]
    fn any_bytes_do_no_harm(data: Vec<u8>, sizes in prop::collection::vec(1..50usize, 1..20)) {
        prop_assert_eq!(parse(&data, &[]).0, parse(&data, &sizes).0);
    }

    #[test]
    fn a_request_comes_back_as_it_was(
        words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 1..20),
        sizes in prop::collection::vec(1..50usize, 1..20),
    ) {
        let mut data = format!("*{}\r\n", words.len()).into_bytes();
        for word in &words {
            data.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            data.extend_from_slice(word);
            data.extend_from_slice(b"\r\n");
        }
        prop_assert_eq!(parse(&data, &sizes).0, [Event::Request(words)]);
    }
}

#[test]
fn an_inline_request_of_empty_words_has_room_for_them_that_is_paid_for() {
    let memory = Memory::new(64 << 20);
    let (mut parser, mut input) = (Parser::new(LIMITS, &memory), Input::new(&memory));
    let line = [&[0; MAX_LINE][..], b"\n"].concat();
    input.push(&line);
    assert_eq!(parser.step(&mut input), Ok(Step::Request));
    assert_eq!(parser.request(&input).len(), MAX_LINE);
    let listed = parser.arguments.capacity() * size_of::<Range<usize>>();
    assert_eq!(parser.charges[0].bytes(), listed);
}
