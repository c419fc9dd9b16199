//! IPv6 beside IPv4: this machine's own address, one socket for both families, mapped addresses.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::kind;

pub fn check() {
    streams();
    both_families();
    datagrams();
    refused();
}

fn streams() {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.is_ipv6() && address.ip().is_loopback() && address.port() != 0);
    assert_eq!(kind(TcpListener::bind(address)), ErrorKind::AddrInUse);
    let mut client = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    assert_eq!((peer, client.peer_addr().unwrap()), (client.local_addr().unwrap(), address));
    client.write_all(b"over IPv6").unwrap();
    drop(client);
    let mut text = String::new();
    server.read_to_string(&mut text).unwrap();
    assert_eq!(text, "over IPv6");
    // An address of documentation (RFC 3849) is nobody's.
    let foreign: Ipv6Addr = "2001:db8::1".parse().unwrap();
    assert_eq!(kind(TcpListener::bind((foreign, 0))), ErrorKind::AddrNotAvailable);
}

fn both_families() {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(kind(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))), ErrorKind::AddrInUse);
    let by_v4 = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let (accepted, peer) = listener.accept().unwrap();
    let mapped = |ip: Ipv4Addr, port| SocketAddr::from((ip.to_ipv6_mapped(), port));
    assert_eq!(peer, mapped(Ipv4Addr::LOCALHOST, by_v4.local_addr().unwrap().port()));
    assert_eq!(accepted.local_addr().unwrap(), mapped(Ipv4Addr::LOCALHOST, port));
    let by_v6 = TcpStream::connect((Ipv6Addr::UNSPECIFIED, port)).unwrap();
    assert_eq!(listener.accept().unwrap().1, by_v6.local_addr().unwrap());
    // And the other way: an IPv6 socket reaches an IPv4 listener by its mapped address.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(mapped(Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(client.peer_addr().unwrap(), mapped(Ipv4Addr::LOCALHOST, port));
    assert!(listener.accept().unwrap().1.is_ipv4());
}

fn datagrams() {
    let both = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let port = both.local_addr().unwrap().port();
    let (v4, v6) =
        (UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap());
    v4.send_to(b"four", (Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut bytes = [0; 20];
    let (len, from) = both.recv_from(&mut bytes).unwrap();
    assert_eq!((len, from.ip()), (4, Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()));
    both.send_to(b"to four", from).unwrap();
    assert_eq!(v4.recv(&mut bytes).unwrap(), 7);
    v6.connect((Ipv6Addr::LOCALHOST, port)).unwrap();
    v6.send(b"six").unwrap();
    let (len, from) = both.recv_from(&mut bytes).unwrap();
    assert_eq!((len, from), (3, v6.local_addr().unwrap()));
    assert!(v4.send_to(b"x", (Ipv6Addr::LOCALHOST, port)).is_err(), "an IPv4 socket has no way to IPv6");
}

/// What nobody listens to is refused: a connected socket learns it from ICMP.
fn refused() {
    for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        let free = |ip| UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        let nobody = free(ip).local_addr().unwrap();
        let socket = free(ip);
        socket.connect(nobody).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.send(b"anybody?").unwrap();
        assert_eq!(kind(socket.recv(&mut [0; 9])), ErrorKind::ConnectionRefused);
        socket.send(b"anybody?").unwrap();
        while socket.take_error().unwrap().is_none_or(|error| error.kind() != ErrorKind::ConnectionRefused) {}
        let closed = TcpListener::bind(SocketAddr::new(ip, 0)).unwrap().local_addr().unwrap();
        assert_eq!(kind(TcpStream::connect(closed)), ErrorKind::ConnectionRefused);
    }
}
