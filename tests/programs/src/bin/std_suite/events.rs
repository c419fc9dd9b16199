//! `mio`: one thread that watches many connections.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::Check;

pub(super) const CHECKS: &[Check] = &[
    ("poll-gives-up-at-its-timeout", timeout),
    ("a-waker-wakes", waker),
    ("a-wake-before-the-poll-is-not-lost", wake_first),
    ("connecting", connecting),
    ("connection-refused", refused),
    ("echo-to-many", echo_to_many),
    ("a-deregistered-source-is-silent", deregistered),
    ("datagrams", datagrams),
];

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);

fn any_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn timeout() {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    for wait in [0, 1, 20].map(Duration::from_millis) {
        let before = Instant::now();
        poll.poll(&mut events, Some(wait)).unwrap();
        assert!(events.is_empty() && before.elapsed() >= wait, "{:?} of {wait:?}", before.elapsed());
    }
}

fn waker() {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let waker = Arc::new(Waker::new(poll.registry(), WAKER).unwrap());
    for _ in 0..100 {
        let waker = waker.clone();
        let thread = thread::spawn(move || waker.wake().unwrap());
        poll.poll(&mut events, None).unwrap();
        assert!(events.iter().any(|event| event.token() == WAKER));
        thread.join().unwrap();
    }
}

fn wake_first() {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let waker = Waker::new(poll.registry(), WAKER).unwrap();
    for _ in 0..5 {
        waker.wake().unwrap();
    }
    poll.poll(&mut events, None).unwrap();
    assert_eq!(events.iter().filter(|event| event.token() == WAKER).count(), 1);
}

fn connecting() {
    let listener = std::net::TcpListener::bind(any_address()).unwrap();
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    poll.registry().register(&mut client, Token(5), Interest::READABLE | Interest::WRITABLE).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    wait_for(&mut poll, &mut events, |event| event.token() == Token(5) && event.is_writable());
    assert!(client.take_error().unwrap().is_none());
    assert_eq!(client.peer_addr().unwrap(), listener.local_addr().unwrap());
    server.write_all(b"data").unwrap();
    wait_for(&mut poll, &mut events, |event| event.token() == Token(5) && event.is_readable());
    let mut buffer = [0; 10];
    assert_eq!(client.read(&mut buffer).unwrap(), 4);
    assert_eq!(client.read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(server);
    wait_for(&mut poll, &mut events, |event| event.token() == Token(5) && event.is_readable());
    assert_eq!(client.read(&mut buffer).unwrap(), 0);
}

fn refused() {
    let address = std::net::TcpListener::bind(any_address()).unwrap().local_addr().unwrap();
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let mut client = match TcpStream::connect(address) {
        Ok(client) => client,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
    };
    poll.registry().register(&mut client, Token(5), Interest::READABLE | Interest::WRITABLE).unwrap();
    wait_for(&mut poll, &mut events, |event| event.token() == Token(5));
    let error = client.take_error().unwrap().or_else(|| client.peer_addr().err()).unwrap();
    assert!(matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotConnected), "{error:?}");
}

fn wait_for(poll: &mut Poll, events: &mut Events, wanted: impl Fn(&mio::event::Event) -> bool) {
    loop {
        poll.poll(events, None).unwrap();
        if events.iter().any(&wanted) {
            return;
        }
    }
}

/// An echo server as event loops have it: non-blocking, with what could not be written yet kept for each connection.
struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: HashMap<Token, (TcpStream, Vec<u8>)>,
    next: usize,
}

impl Server {
    fn new() -> Self {
        let poll = Poll::new().unwrap();
        let mut listener = TcpListener::bind(any_address()).unwrap();
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
        Self { poll, listener, connections: HashMap::new(), next: 10 }
    }

    /// Serves until woken. Returns how many connections there were.
    fn run(mut self) -> usize {
        let mut events = Events::with_capacity(64);
        loop {
            self.poll.poll(&mut events, None).unwrap();
            for event in &events {
                match event.token() {
                    WAKER => return self.next - 10,
                    LISTENER => self.accept(),
                    token => self.serve(token),
                }
            }
        }
    }

    fn accept(&mut self) {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock),
            };
            let token = Token(self.next);
            self.next += 1;
            self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).unwrap();
            self.connections.insert(token, (stream, Vec::new()));
        }
    }

    fn serve(&mut self, token: Token) {
        let Some((stream, pending)) = self.connections.get_mut(&token) else { return };
        let mut buffer = [0; 4096];
        let ended = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break true,
                Ok(length) => pending.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break false,
                Err(error) => panic!("{error}"),
            }
        };
        while !pending.is_empty() {
            match stream.write(pending) {
                Ok(length) => drop(pending.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
        if ended {
            self.connections.remove(&token);
        }
    }
}

fn echo_to_many() {
    let server = Server::new();
    let address = server.listener.local_addr().unwrap();
    let waker = Waker::new(server.poll.registry(), WAKER).unwrap();
    let serving = thread::spawn(|| server.run());
    let clients: Vec<_> = (0..24u8).map(|number| thread::spawn(move || echo_client(address, number))).collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    waker.wake().unwrap();
    assert_eq!(serving.join().unwrap(), 24);
}

/// Sends more than fits into any buffer on the way, while it reads what comes back.
fn echo_client(address: SocketAddr, number: u8) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let data: Vec<u8> = (0..200_000u32).map(|at| (at >> 6) as u8 ^ number).collect();
    let (mut writer, sent) = (stream.try_clone().unwrap(), data.clone());
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    assert!(back == data, "{} bytes came back, others than were sent", back.len());
    writing.join().unwrap();
}

fn deregistered() {
    let listener = std::net::TcpListener::bind(any_address()).unwrap();
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut client = TcpStream::from_std(client);
    let (mut server, _) = listener.accept().unwrap();
    poll.registry().register(&mut client, Token(5), Interest::READABLE).unwrap();
    server.write_all(b"x").unwrap();
    wait_for(&mut poll, &mut events, |event| event.token() == Token(5));
    poll.registry().deregister(&mut client).unwrap();
    server.write_all(b"y").unwrap();
    poll.poll(&mut events, Some(Duration::from_millis(20))).unwrap();
    assert!(events.is_empty());
    poll.registry().register(&mut client, Token(6), Interest::READABLE).unwrap();
    wait_for(&mut poll, &mut events, |event| event.token() == Token(6));
}

fn datagrams() {
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(8);
    let mut socket = UdpSocket::bind(any_address()).unwrap();
    poll.registry().register(&mut socket, Token(5), Interest::READABLE).unwrap();
    let sender = std::net::UdpSocket::bind(any_address()).unwrap();
    sender.send_to(b"datagram", socket.local_addr().unwrap()).unwrap();
    wait_for(&mut poll, &mut events, |event| event.token() == Token(5) && event.is_readable());
    assert_eq!(socket.recv(&mut [0; 100]).unwrap(), 8);
}
