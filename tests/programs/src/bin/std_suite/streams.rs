//! TCP inside the machine, by std's blocking and non-blocking calls.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::Check;

pub(super) const CHECKS: &[Check] = &[
    ("echo", echo),
    ("addresses", addresses),
    ("a-connection-waits-to-be-accepted", waits_to_be_accepted),
    ("accept-waits-for-a-connection", accept_waits),
    ("large-transfer-both-ways", large_transfer),
    ("vectored-writes", vectored),
    ("non-blocking-accept", non_blocking_accept),
    ("non-blocking-read", non_blocking_read),
    ("non-blocking-write", non_blocking_write),
    ("read-timeout", read_timeout),
    ("write-timeout", write_timeout),
    ("peek", peek),
    ("half-close", half_close),
    ("shutdown-wakes-a-blocked-reader", shutdown_wakes),
    ("shutdown-of-reading", shutdown_reading),
    ("connection-refused", refused),
    ("connect-timeout", connect_timeout),
    ("clones-share-a-connection", clones),
    ("no-delay", no_delay),
    ("take-error", take_error),
    ("writing-to-a-closed-peer-fails", closed_peer),
    ("closing-with-unread-data-resets", reset),
    ("address-in-use", address_in_use),
    ("a-listener-that-closes-refuses", listener_closes),
    ("many-connections", many_connections),
    ("connections-come-and-go", come_and_go),
];

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Both ends of a new connection: the one that connected, the one that was accepted.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Bytes that differ from place to place.
fn data(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(0x9e37_79b9).wrapping_add(seed) >> 24) as u8).collect()
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn echo() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        assert_eq!(peer, stream.peer_addr().unwrap());
        let mut buffer = [0; 100];
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return,
                length => stream.write_all(&buffer[..length]).unwrap(),
            }
        }
    });
    let mut client = TcpStream::connect(address).unwrap();
    for length in [1, 10, 99, 100, 101, 1000] {
        let sent = data(length, 1);
        client.write_all(&sent).unwrap();
        let mut back = vec![0; length];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, sent);
    }
    drop(client);
    server.join().unwrap();
}

fn addresses() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let other = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.ip().is_loopback() && address.port() != 0);
    assert_ne!(address, other.local_addr().unwrap());
    let client = TcpStream::connect(address).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(client.peer_addr().unwrap(), address);
    assert_eq!(server.local_addr().unwrap(), address);
    assert_eq!((peer, server.peer_addr().unwrap()), (client.local_addr().unwrap(), peer));
    let everywhere = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = everywhere.local_addr().unwrap().port();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
}

fn waits_to_be_accepted() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    // What is sent before the other side accepts waits there.
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&[number as u8]).unwrap();
    }
    for client in &clients {
        let (mut server, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        server.write_all(&byte).unwrap();
    }
    for (number, mut client) in clients.into_iter().enumerate() {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert_eq!(all, [number as u8]);
    }
}

fn accept_waits() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let client = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        TcpStream::connect(address).unwrap().local_addr().unwrap()
    });
    let (_, peer) = listener.accept().unwrap();
    assert_eq!(client.join().unwrap(), peer);
}

fn large_transfer() {
    const LENGTH: usize = 4 << 20;
    let (client, server) = pair();
    thread::scope(|scope| {
        for (end, own, others) in [(&client, 1, 2), (&server, 2, 1)] {
            scope.spawn(move || {
                let mut end = end;
                end.write_all(&data(LENGTH, own)).unwrap();
                end.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || {
                let mut end = end;
                let mut all = Vec::new();
                end.read_to_end(&mut all).unwrap();
                assert!(all == data(LENGTH, others), "{} bytes arrived, others than were sent", all.len());
            });
        }
    });
}

fn vectored() {
    let (mut client, mut server) = pair();
    let parts = [IoSlice::new(b"three "), IoSlice::new(b""), IoSlice::new(b"parts")];
    assert_eq!(client.write_vectored(&parts).unwrap(), 11);
    let mut all = [0; 11];
    server.read_exact(&mut all).unwrap();
    assert_eq!(&all, b"three parts");
}

fn non_blocking_accept() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    // What is accepted blocks, whatever the listener does.
    server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let before = Instant::now();
    assert!((&server).read(&mut [0]).is_err());
    assert!(before.elapsed() >= Duration::from_millis(20));
}

fn non_blocking_read() {
    let (client, mut server) = pair();
    client.set_nonblocking(true).unwrap();
    assert_eq!(kind((&client).read(&mut [0; 8])), ErrorKind::WouldBlock);
    server.write_all(b"now").unwrap();
    let mut buffer = [0; 8];
    let length = loop {
        match (&client).read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    assert_eq!(&buffer[..length], b"now");
    client.set_nonblocking(false).unwrap();
    drop(server);
    assert_eq!((&client).read(&mut buffer).unwrap(), 0);
}

fn non_blocking_write() {
    let (client, mut server) = pair();
    client.set_nonblocking(true).unwrap();
    let chunk = data(10_000, 3);
    let mut sent = 0;
    let error = loop {
        match (&client).write(&chunk[sent % chunk.len()..]) {
            Ok(length) => sent += length,
            Err(error) => break error,
        }
        assert!(sent < 64 << 20, "a peer that does not read takes without end");
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    client.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), sent);
    assert!(all.iter().zip(chunk.iter().cycle()).all(|(is, was)| is == was));
}

fn read_timeout() {
    let (client, mut server) = pair();
    assert_eq!(client.read_timeout().unwrap(), None);
    assert!(client.set_read_timeout(Some(Duration::ZERO)).is_err());
    let wait = Duration::from_millis(40);
    client.set_read_timeout(Some(wait)).unwrap();
    assert_eq!(client.read_timeout().unwrap(), Some(wait));
    let before = Instant::now();
    let kind = kind((&client).read(&mut [0]));
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
    assert!(before.elapsed() >= wait);
    // What comes in time is read, and without a timeout reading waits.
    server.write_all(b"a").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!((&client).read(&mut [0]).unwrap(), 1);
    client.set_read_timeout(None).unwrap();
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        server.write_all(b"b").unwrap();
    });
    assert_eq!((&client).read(&mut [0]).unwrap(), 1);
    late.join().unwrap();
}

fn write_timeout() {
    let (mut client, _server) = pair();
    let wait = Duration::from_millis(40);
    client.set_write_timeout(Some(wait)).unwrap();
    assert_eq!(client.write_timeout().unwrap(), Some(wait));
    let chunk = vec![0; 1 << 20];
    let kind =
        (0..64).find_map(|_| client.write_all(&chunk).err()).expect("a peer that does not read takes all").kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
}

fn peek() {
    let (mut client, mut server) = pair();
    client.write_all(b"peeked").unwrap();
    let mut buffer = [0; 16];
    for _ in 0..2 {
        let length = server.peek(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"peeked");
    }
    assert_eq!(server.peek(&mut buffer[..2]).unwrap(), 2);
    assert_eq!(server.read(&mut buffer).unwrap(), 6);
    drop(client);
    assert_eq!(server.peek(&mut buffer).unwrap(), 0);
}

fn half_close() {
    let (mut client, mut server) = pair();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(client.write_all(b"more").is_err());
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"question");
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    let answer = data(200_000, 4);
    let sent = answer.clone();
    let writer = thread::spawn(move || server.write_all(&sent).unwrap());
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert!(all == answer);
    writer.join().unwrap();
}

fn shutdown_wakes() {
    let (client, _server) = pair();
    let mut reader = client.try_clone().unwrap();
    let blocked = thread::spawn(move || reader.read(&mut [0]).unwrap());
    thread::sleep(Duration::from_millis(20));
    client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(blocked.join().unwrap(), 0);
}

fn shutdown_reading() {
    let (client, mut server) = pair();
    client.shutdown(Shutdown::Read).unwrap();
    assert_eq!((&client).read(&mut [0]).unwrap(), 0);
    (&client).write_all(b"still").unwrap();
    let mut buffer = [0; 5];
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"still");
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap()
}

fn refused() {
    assert_eq!(kind(TcpStream::connect(nobody())), ErrorKind::ConnectionRefused);
}

fn connect_timeout() {
    let long = Duration::from_secs(60);
    assert_eq!(kind(TcpStream::connect_timeout(&nobody(), long)), ErrorKind::ConnectionRefused);
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let client = TcpStream::connect_timeout(&listener.local_addr().unwrap(), long).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"x").unwrap();
    // The connection blocks again, although it was made without blocking.
    assert_eq!((&client).read(&mut [0]).unwrap(), 1);
}

fn clones() {
    let (client, mut server) = pair();
    let mut clone = client.try_clone().unwrap();
    assert_eq!(clone.local_addr().unwrap(), client.local_addr().unwrap());
    drop(client);
    // The connection stays as long as one of the two does.
    clone.write_all(b"by the clone").unwrap();
    drop(clone);
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"by the clone");

    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let other = listener.try_clone().unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let _client = TcpStream::connect(address).unwrap();
    other.accept().unwrap();
}

fn no_delay() {
    let (client, _server) = pair();
    for on in [true, false, true] {
        client.set_nodelay(on).unwrap();
        assert_eq!(client.nodelay().unwrap(), on);
    }
}

fn take_error() {
    let (client, _server) = pair();
    assert!(client.take_error().unwrap().is_none());
    assert!(TcpListener::bind(LOOPBACK).unwrap().take_error().unwrap().is_none());
}

fn closed_peer() {
    let (mut client, server) = pair();
    drop(server);
    let chunk = vec![0; 1 << 16];
    let error = (0..1000).find_map(|_| client.write_all(&chunk).err()).expect("writing to nobody goes on for ever");
    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error:?}");
}

fn reset() {
    let (mut client, server) = pair();
    client.write_all(b"nobody reads this").unwrap();
    while server.peek(&mut [0; 17]).unwrap() < 17 {
        thread::yield_now();
    }
    drop(server);
    assert_eq!(kind(client.read(&mut [0])), ErrorKind::ConnectionReset);
}

fn address_in_use() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(kind(TcpListener::bind(address)), ErrorKind::AddrInUse);
    drop(listener);
    TcpListener::bind(address).unwrap();
}

fn listener_closes() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = TcpStream::connect(address).unwrap();
    drop(listener);
    assert_eq!(kind(TcpStream::connect(address)), ErrorKind::ConnectionRefused);
    // Nobody will ever accept the one that waited.
    assert!(matches!(waiting.read(&mut [0]), Ok(0) | Err(_)));
}

fn many_connections() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = |_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0);
    let (mut clients, mut servers): (Vec<_>, Vec<_>) = (0..300).map(connect).unzip();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.write_all(&data(100, number as u32 + round)).unwrap();
        }
        for (number, server) in servers.iter_mut().enumerate() {
            let mut buffer = [0; 100];
            server.read_exact(&mut buffer).unwrap();
            assert_eq!(buffer[..], data(100, number as u32 + round));
        }
    }
}

fn come_and_go() {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        for stream in listener.incoming().take(1000) {
            let mut stream = stream.unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
        }
    });
    for number in 0..1000 {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(&[number as u8]).unwrap();
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [number as u8]);
    }
    server.join().unwrap();
}
