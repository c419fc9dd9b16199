//! UDP inside the machine.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::Check;

pub(super) const CHECKS: &[Check] = &[
    ("send-to-and-receive-from", send_to),
    ("connected", connected),
    ("datagrams-keep-their-borders", borders),
    ("peek-from", peek_from),
    ("non-blocking", non_blocking),
    ("read-timeout", read_timeout),
    ("receiving-waits", receiving_waits),
    ("address-in-use", address_in_use),
];

fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

fn send_to() {
    let (first, second) = (socket(), socket());
    let (to, from) = (second.local_addr().unwrap(), first.local_addr().unwrap());
    assert_ne!(to, from);
    assert_eq!(first.send_to(b"hello", to).unwrap(), 5);
    let mut buffer = [0; 100];
    assert_eq!(second.recv_from(&mut buffer).unwrap(), (5, from));
    assert_eq!(&buffer[..5], b"hello");
    second.send_to(b"and back", from).unwrap();
    assert_eq!(first.recv_from(&mut buffer).unwrap(), (8, to));
}

fn connected() {
    let (first, second, stranger) = (socket(), socket(), socket());
    first.connect(second.local_addr().unwrap()).unwrap();
    assert_eq!(first.peer_addr().unwrap(), second.local_addr().unwrap());
    second.connect(first.local_addr().unwrap()).unwrap();
    stranger.send_to(b"not for a connected one", second.local_addr().unwrap()).unwrap();
    first.send(b"hello").unwrap();
    let mut buffer = [0; 100];
    assert_eq!(second.recv(&mut buffer).unwrap(), 5);
    assert_eq!(&buffer[..5], b"hello");
}

fn borders() {
    let (first, second) = (socket(), socket());
    let to = second.local_addr().unwrap();
    for length in [1, 0, 1000, 3] {
        first.send_to(&vec![length as u8; length], to).unwrap();
    }
    let mut buffer = [0; 2000];
    for length in [1, 0, 1000, 3] {
        assert_eq!(second.recv(&mut buffer).unwrap(), length);
    }
    // What does not fit is cut off, and does not come with the next one.
    first.send_to(&[1; 50], to).unwrap();
    first.send_to(&[2; 5], to).unwrap();
    assert_eq!(second.recv(&mut buffer[..10]).unwrap(), 10);
    assert_eq!(second.recv(&mut buffer).unwrap(), 5);
}

fn peek_from() {
    let (first, second) = (socket(), socket());
    first.send_to(b"seen twice", second.local_addr().unwrap()).unwrap();
    let mut buffer = [0; 100];
    let peeked = second.peek_from(&mut buffer).unwrap();
    assert_eq!(peeked, (10, first.local_addr().unwrap()));
    assert_eq!(second.recv_from(&mut buffer).unwrap(), peeked);
}

fn non_blocking() {
    let (first, second) = (socket(), socket());
    second.set_nonblocking(true).unwrap();
    assert_eq!(second.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    first.send_to(b"x", second.local_addr().unwrap()).unwrap();
    while second.recv(&mut [0]).is_err() {
        thread::yield_now();
    }
}

fn read_timeout() {
    let socket = socket();
    let wait = Duration::from_millis(30);
    socket.set_read_timeout(Some(wait)).unwrap();
    let before = Instant::now();
    let kind = socket.recv(&mut [0]).unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
    assert!(before.elapsed() >= wait);
}

fn receiving_waits() {
    let (first, second) = (socket(), socket());
    let to = second.local_addr().unwrap();
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        first.send_to(b"late", to).unwrap();
    });
    assert_eq!(second.recv(&mut [0; 10]).unwrap(), 4);
    late.join().unwrap();
}

fn address_in_use() {
    let first = socket();
    let address = first.local_addr().unwrap();
    assert_eq!(UdpSocket::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(first);
    UdpSocket::bind(address).unwrap();
}
