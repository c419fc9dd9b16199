//! Requests in parts, at their limits and beyond.

use fastrand::Rng;

use super::*;

const POST: &[u8] = b"POST /entries HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1 abcGET";

#[test]
fn a_request_is_whole_when_its_last_byte_is_there() {
    let end = POST.len() - 3;
    for length in 0..end {
        assert_eq!(parse(&POST[..length]), Ok(Parsed::Part { expects_continue: false }), "{length} bytes");
    }
    let Ok(Parsed::Whole(request, length)) = parse(POST) else { panic!("the request is not read") };
    assert_eq!(length, end);
    assert_eq!(
        (request.method.as_str(), request.path.as_str(), &request.body[..]),
        ("POST", "/entries", &b"1 abc"[..])
    );
    assert!(request.keep_alive);
}

fn request(head: &str) -> Result<Parsed, Reply> {
    parse(format!("{head}\r\n\r\n").as_bytes())
}

fn status(head: &str) -> u16 {
    let reply = request(head).unwrap_err();
    assert!(reply.text.ends_with('\n') && reply.text.len() > 10, "{head}: {reply:?}");
    assert!(!reply.reason().is_empty(), "{reply:?}");
    reply.status
}

#[test]
fn what_is_wrong_gets_its_own_status() {
    assert_eq!(status("nonsense"), 400);
    assert_eq!(status("GET / HTTP/1.1"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nHost: b"), 400);
    assert_eq!(status("GET / HTTP/2.0\r\nHost: a"), 505);
    assert_eq!(status("POST / HTTP/1.1\r\nHost: a"), 411);
    assert_eq!(status("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked"), 501);
    assert_eq!(status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1"), 400);
    for (length, expected) in [("", 400), ("+1", 400), ("1, 1", 400), ("-1", 400), ("4097", 413)] {
        assert_eq!(status(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}")), expected, "`{length}`");
    }
    assert_eq!(status(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}", "9".repeat(40))), 413);
    assert_eq!(status(&format!("GET / HTTP/1.1\r\nHost: a{}", "\r\nX: y".repeat(MOST_HEADERS))), 431);
    assert_eq!(status(&format!("GET /{} HTTP/1.1", "x".repeat(LONGEST_HEAD))), 431);
}

#[test]
fn connections_stay_only_when_both_sides_know_how() {
    for (head, stays) in [
        ("GET / HTTP/1.1\r\nHost: a", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close", false),
        ("GET / HTTP/1.0", false),
    ] {
        let Ok(Parsed::Whole(request, _)) = request(head) else { panic!("{head}") };
        assert_eq!(request.keep_alive, stays, "{head}");
    }
}

#[test]
fn a_client_that_waits_for_leave_to_send_gets_it() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5";
    assert_eq!(request(head), Ok(Parsed::Part { expects_continue: true }));
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = Rng::with_seed(1);
    for _ in 0..20_000 {
        let mut bytes = POST.to_vec();
        for _ in 0..random.u64(..6) {
            let at = random.usize(..bytes.len());
            match random.u64(..3) {
                0 => bytes[at] = random.u8(..),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\r\n :?%\x00\xff"[random.usize(..8)]),
            }
        }
        // Whatever it is, it is a request, a part of one, or refused.
        if let Ok(Parsed::Whole(_, length)) = parse(&bytes) {
            assert!(length <= bytes.len());
        }
    }
}
