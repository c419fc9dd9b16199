//! SYNs by the hundred thousand, and what they must not do to others.

use std::vec;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, IpRepr, Ipv6Address, Ipv6Cidr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber,
};

use super::*;
use crate::net::frame::bare_segment;
use crate::net::slaac::link_local;
use crate::net::tcp::connection::HANDSHAKE_TIMEOUT;

/// A SYN from anywhere, as the router at the client's place would pass it on.
fn syn(from: IpAddress, to: IpAddress, port: u16) -> Vec<u8> {
    let tcp = TcpRepr {
        window_scale: Some(7),
        max_seg_size: Some(1460),
        sack_permitted: true,
        ..bare_segment((port, PORT), TcpControl::Syn, (TcpSeqNumber(i32::from(port)), None), 1000)
    };
    let ip = IpRepr::new(from, to, IpProtocol::Tcp, tcp.buffer_len(), 64);
    let mut frame = vec![0; 14 + ip.buffer_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
    ethernet.set_dst_addr(SERVER_MAC);
    ethernet.set_src_addr(CLIENT_MAC);
    ethernet.set_ethertype(match from {
        IpAddress::Ipv4(_) => EthernetProtocol::Ipv4,
        IpAddress::Ipv6(_) => EthernetProtocol::Ipv6,
    });
    ip.emit(ethernet.payload_mut(), &ChecksumCapabilities::default());
    let payload = &mut ethernet.payload_mut()[ip.header_len()..];
    tcp.emit(&mut TcpPacket::new_unchecked(payload), &from, &to, &ChecksumCapabilities::default());
    frame
}

fn flood(net: &mut Net, count: u32, from: impl Fn(u32) -> IpAddress, to: IpAddress) -> usize {
    let mut most = 0;
    for n in 0..count {
        let random = n.wrapping_mul(2_654_435_761);
        net.to_server.borrow_mut().push_back(syn(from(random), to, (random >> 16) as u16 | 1));
        // A hundred microseconds each.
        net.now += Duration::from_micros(100);
        if n % 16 == 0 {
            while net.server.poll(net.now) {}
            net.to_client.borrow_mut().clear();
            most = most.max(net.server.connections());
        }
    }
    net.run();
    most
}

/// Those who are connected go on during the flood and after it, and others can connect again.
fn survives(mut net: Net, from: impl Fn(u32) -> IpAddress, to: IpAddress) {
    let ((server, _), (client, _)) = net.connected();
    let before = net.server.counts().buffered;
    let most = flood(&mut net, 100_000, from, to);
    assert!(most <= 1 + 512, "{most} connections");
    let memory = net.server.counts().buffered - before;
    assert!(memory <= 24 << 20, "{memory} bytes for half-open connections");
    net.client_sends(client, b"still here?").unwrap();
    net.pass(Duration::from_millis(100));
    assert_eq!(net.server_reads(server).unwrap(), b"still here?");
    // The first SYN may be ignored; the client sends it again.
    let (_, ready) = net.connect();
    net.pass(Duration::from_secs(4));
    assert_eq!(ready.ready(), Ready::OUT, "a new client");
    net.pass(HANDSHAKE_TIMEOUT);
    assert_eq!(net.server.connections(), 2, "the flood's are forgotten");
}

#[test]
fn a_flood_from_everywhere() {
    survives(Net::new(), |n| IpAddress::v4(11, (n >> 24) as u8, (n >> 16) as u8, 1 + (n & 127) as u8), SERVER.into());
}

/// Here every answer needs the address of a neighbour that does not exist.
#[test]
fn a_flood_from_the_same_link() {
    survives(Net::new(), |n| IpAddress::v4(10, 0, 2, 16 + (n >> 25) as u8), SERVER.into());
}

#[test]
fn a_flood_over_ipv6() {
    let mut net = Net::with_ipv6();
    let own = Ipv6Address::new(0xfec0, 0, 0, 0, 0, 0, 0, 15);
    net.server.use_ipv6_address(Ipv6Cidr::new(own, 64), Some(link_local(CLIENT_MAC).address()));
    survives(net, |n| Ipv6Address::new(0x2001, 0xdb8, 0, 0, 0, 1, (n >> 16) as u16, n as u16).into(), own.into());
}

/// A peer that was told that the connection is up does not ask again: the answer to its SYN has to be repeated for as
/// long as others do it.
#[test]
fn a_handshake_outlasts_twenty_seconds_of_losses() {
    let mut net = Net::new();
    let (listener, _) = net.listen();
    net.connect();
    net.run();
    net.server.accept(listener).unwrap();
    let (_, ready) = net.connect();
    net.client.device().unwrap().device().loses = |_| true;
    net.pass(Duration::from_secs(20));
    assert_eq!(ready.ready(), Ready::OUT);
    assert!(net.server.accept(listener).is_err());
    net.client.device().unwrap().device().loses = |_| false;
    net.pass(Duration::from_secs(20));
    assert!(net.server.accept(listener).is_ok());
}

#[test]
fn a_handshake_that_icmp_ends_is_over_at_once() {
    let mut net = Net::new();
    net.connect();
    net.run();
    for (code, expected) in [(3, Error::Refused), (1, Error::HostUnreachable)] {
        net.cut();
        let (client, _) = net.connect();
        net.run();
        let tuple = net.client.ends(client).unwrap();
        let mut message = vec![3, code, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
        message.extend(CLIENT.octets().into_iter().chain(SERVER.octets()));
        message.extend(tuple.local.port.to_be_bytes().into_iter().chain(PORT.to_be_bytes()).chain([0; 4]));
        smoltcp::wire::Icmpv4Packet::new_unchecked(&mut message[..]).fill_checksum();
        let ip = IpRepr::new(SERVER.into(), CLIENT.into(), IpProtocol::Icmp, message.len(), 64);
        let mut frame = [CLIENT_MAC.0, SERVER_MAC.0].concat();
        frame.extend([8, 0]);
        frame.resize(14 + ip.header_len(), 0);
        ip.emit(&mut frame[14..], &ChecksumCapabilities::default());
        frame.extend(&message);
        let mut damaged = frame.clone();
        *damaged.last_mut().unwrap() ^= 1;
        net.to_client.borrow_mut().push_back(damaged);
        net.run();
        assert_eq!(net.client.connected(client), Err(Error::Already), "damaged");
        net.to_client.borrow_mut().push_back(frame);
        net.run();
        assert_eq!(net.client.connected(client), Err(expected));
    }
}
