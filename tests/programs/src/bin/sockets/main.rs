//! Sockets as `std` offers them, this machine talking to itself: blocking and non-blocking, streams and datagrams, what
//! is timed out, refused, reset and half-closed. Panics at the first surprise; the last line is `sockets: ok`.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(target_os = "hermit")]
use libos as _;

mod families;
mod groups;
#[cfg(target_os = "hermit")]
mod raw_options;
#[cfg(target_os = "hermit")]
mod ready_sets;

fn main() {
    addresses();
    echo();
    half_close();
    vectored_and_peek();
    nonblocking();
    timeouts();
    refused_and_reset();
    options();
    clones();
    datagrams();
    names();
    large();
    many();
    families::check();
    groups::check();
    #[cfg(target_os = "hermit")]
    raw_options::check();
    #[cfg(target_os = "hermit")]
    ready_sets::check();
    println!("sockets: ok");
}

fn here() -> (Ipv4Addr, u16) {
    (Ipv4Addr::LOCALHOST, 0)
}

/// A connection with both ends here: the accepted one and the connecting one.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(here()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    (server, client)
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

fn addresses() {
    let listener = TcpListener::bind(here()).unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.ip().is_loopback() && address.port() != 0);
    assert_eq!(kind(TcpListener::bind(address)), ErrorKind::AddrInUse);
    assert_eq!(kind(TcpListener::bind((Ipv4Addr::new(192, 0, 2, 1), 0))), ErrorKind::AddrNotAvailable);
    let any = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 7000)).unwrap();
    assert_eq!(any.local_addr().unwrap(), SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7000)));
    let client = TcpStream::connect((Ipv4Addr::UNSPECIFIED, 7000)).unwrap();
    assert_eq!(client.peer_addr().unwrap(), SocketAddr::from((Ipv4Addr::LOCALHOST, 7000)));
    drop(any);
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, 7000)).unwrap();
}

fn echo() {
    let listener = TcpListener::bind(here()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        for stream in listener.incoming().take(4) {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut bytes = [0; 1000];
                loop {
                    match stream.read(&mut bytes).unwrap() {
                        0 => return,
                        len => stream.write_all(&bytes[..len]).unwrap(),
                    }
                }
            });
        }
    });
    let clients: Vec<_> = (0..4u8)
        .map(|n| {
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                for round in 0..50usize {
                    let sent = vec![n; 1 + round * 37];
                    stream.write_all(&sent).unwrap();
                    let mut got = vec![0; sent.len()];
                    stream.read_exact(&mut got).unwrap();
                    assert_eq!(got, sent);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    server.join().unwrap();
}

fn half_close() {
    let (mut server, mut client) = pair();
    client.write_all(b"all of it").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(kind(client.write(b"more")), ErrorKind::BrokenPipe);
    let mut text = String::new();
    assert_eq!(server.read_to_string(&mut text).unwrap(), 9);
    server.write_all(b"answered after the end").unwrap();
    drop(server);
    text.clear();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "answered after the end");
}

fn vectored_and_peek() {
    let (mut server, mut client) = pair();
    let sent = client.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")]).unwrap();
    assert_eq!(sent, 6);
    let mut peeked = [0; 3];
    assert_eq!(server.peek(&mut peeked).unwrap(), 3);
    assert_eq!(&peeked, b"abc");
    let (mut one, mut rest) = ([0; 1], [0; 9]);
    let got = server.read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut rest)]).unwrap();
    assert_eq!((got, &one, &rest[..5]), (6, b"a", &b"bcdef"[..]));
}

fn nonblocking() {
    let listener = TcpListener::bind(here()).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(kind(listener.accept()), ErrorKind::WouldBlock);
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nonblocking(true).unwrap();
    assert_eq!(kind(client.read(&mut [0; 4])), ErrorKind::WouldBlock);
    let (mut server, _) = listener.accept().unwrap();
    let chunk = [7; 10_000];
    let mut written = 0;
    loop {
        match client.write(&chunk) {
            Ok(len) => written += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(written >= 64 * 1024, "{written}");
    drop(client);
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), written);
}

fn timeouts() {
    let (mut server, client) = pair();
    assert_eq!(server.read_timeout().unwrap(), None);
    server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(server.read_timeout().unwrap(), Some(Duration::from_millis(100)));
    let start = Instant::now();
    assert_eq!(kind(server.read(&mut [0; 4])), ErrorKind::WouldBlock);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(100) && waited < Duration::from_secs(5), "{waited:?}");
    server.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = loop {
        if let Err(error) = server.write(&[1; 10_000]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(client);
    // Nobody answers in this network (RFC 5737), so the connect runs into its limit, or there is no way there.
    let nowhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    let error = TcpStream::connect_timeout(&nowhere, Duration::from_millis(100)).expect_err("nobody there");
    // 101 is ENETUNREACH, which `std` has no kind for on this target.
    let unreachable = error.raw_os_error() == Some(101) || error.kind() == ErrorKind::HostUnreachable;
    assert!(unreachable || matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::ConnectionRefused), "{error:?}");
}

fn refused_and_reset() {
    let closed = TcpListener::bind(here()).unwrap().local_addr().unwrap();
    assert_eq!(kind(TcpStream::connect(closed)), ErrorKind::ConnectionRefused);
    assert_eq!(kind(TcpStream::connect_timeout(&closed, Duration::from_secs(1))), ErrorKind::ConnectionRefused);
    let (server, mut client) = pair();
    client.write_all(b"never read").unwrap();
    while server.peek(&mut [0; 16]).unwrap() < 10 {}
    drop(server);
    assert_eq!(kind(client.read(&mut [0; 4])), ErrorKind::ConnectionReset);
    assert!(client.take_error().unwrap().is_none());
    assert_eq!(kind(client.peer_addr()), ErrorKind::NotConnected);
    let listener = TcpListener::bind(here()).unwrap();
    let connected = TcpStream::connect_timeout(&listener.local_addr().unwrap(), Duration::from_secs(1)).unwrap();
    assert!(connected.take_error().unwrap().is_none());
}

fn options() {
    let (server, client) = pair();
    assert!(!client.nodelay().unwrap());
    client.set_nodelay(true).unwrap();
    assert!(client.nodelay().unwrap());
    client.set_ttl(17).unwrap();
    assert_eq!((client.ttl().unwrap(), server.ttl().unwrap()), (17, 64));
    let udp = UdpSocket::bind(here()).unwrap();
    let error = udp.send_to(b"x", (Ipv4Addr::BROADCAST, 9)).expect_err("not allowed yet");
    // Without a network card there is no way for it either (ENETUNREACH).
    assert!(error.kind() == ErrorKind::PermissionDenied || error.raw_os_error() == Some(101), "{error:?}");
    udp.set_broadcast(true).unwrap();
    assert!(udp.broadcast().unwrap());
    udp.set_ttl(9).unwrap();
    assert_eq!(udp.ttl().unwrap(), 9);
}

fn clones() {
    let (server, mut client) = pair();
    let mut again = server.try_clone().unwrap();
    drop(server);
    let reader = thread::spawn(move || {
        let mut bytes = [0; 5];
        again.read_exact(&mut bytes).unwrap();
        bytes
    });
    thread::sleep(Duration::from_millis(5));
    client.write_all(b"hello").unwrap();
    assert_eq!(&reader.join().unwrap(), b"hello");
    assert_eq!(client.read(&mut [0; 4]).unwrap(), 0, "the last clone is gone");
}

fn datagrams() {
    let (one, two) = (UdpSocket::bind(here()).unwrap(), UdpSocket::bind(here()).unwrap());
    let (at_one, at_two) = (one.local_addr().unwrap(), two.local_addr().unwrap());
    assert_eq!(one.send_to(b"ping", at_two).unwrap(), 4);
    let mut bytes = [0; 100];
    assert_eq!(two.peek_from(&mut bytes).unwrap(), (4, at_one));
    assert_eq!(two.recv_from(&mut bytes).unwrap(), (4, at_one));
    two.connect(at_one).unwrap();
    assert_eq!(two.peer_addr().unwrap(), at_one);
    two.send(b"pong!").unwrap();
    assert_eq!(one.recv(&mut bytes).unwrap(), 5);
    one.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    assert_eq!(kind(one.recv(&mut bytes)), ErrorKind::WouldBlock);
    assert!(one.send_to(&[0; 70_000], at_two).is_err());
}

fn names() {
    use std::net::ToSocketAddrs;
    let addresses: Vec<_> = "localhost:80".to_socket_addrs().unwrap().collect();
    assert!(addresses.contains(&SocketAddr::from((Ipv4Addr::LOCALHOST, 80))));
    assert!("no..such.name:80".to_socket_addrs().is_err());
}

fn large() {
    let (mut server, mut client) = pair();
    let data: Vec<u8> = (0..8_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let copy = data.clone();
    let writer = thread::spawn(move || server.write_all(&copy).unwrap());
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    writer.join().unwrap();
    assert!(got == data);
}

fn many() {
    let listener = TcpListener::bind(here()).unwrap();
    let address = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..120).map(|_| TcpStream::connect(address).unwrap()).collect();
    let servers: Vec<_> = (0..120).map(|_| listener.accept().unwrap().0).collect();
    for (mut server, mut client) in servers.into_iter().zip(clients) {
        server.write_all(b"x").unwrap();
        assert_eq!(client.read(&mut [0; 4]).unwrap(), 1);
    }
}
