//! Peers that mean no good.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Address,
    TcpControl, TcpPacket, TcpSeqNumber,
};

use super::*;
use crate::net::frame::bare_segment;
use crate::net::slaac::link_local;

/// A frame from the client's machine with one TCP segment.
pub(super) fn segment(port: u16, control: TcpControl, seq: i32, ack: Option<i32>) -> Vec<u8> {
    let tcp = bare_segment((port, PORT), control, (TcpSeqNumber(seq), ack.map(TcpSeqNumber)), 1000);
    let ip = Ipv4Repr {
        src_addr: CLIENT,
        dst_addr: SERVER,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let mut frame = vec![0; 14 + ip.buffer_len() + tcp.buffer_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
    ethernet.set_dst_addr(SERVER_MAC);
    ethernet.set_src_addr(CLIENT_MAC);
    ethernet.set_ethertype(EthernetProtocol::Ipv4);
    let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    ip.emit(&mut packet, &ChecksumCapabilities::default());
    let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
    tcp.emit(&mut segment, &CLIENT.into(), &SERVER.into(), &ChecksumCapabilities::default());
    frame
}

fn deliver(net: &mut Net, frame: Vec<u8>) {
    net.to_server.borrow_mut().push_back(frame);
    net.server.poll(net.now);
}

#[test]
fn a_flood_of_syns_is_bounded_and_ends() {
    let mut net = Net::new();
    net.listen();
    for port in 1..5000 {
        deliver(&mut net, segment(port, TcpControl::Syn, 1, None));
    }
    assert!(net.server.connections() <= 512, "{}", net.server.connections());
    // A second later an honest client comes, and is served at once.
    net.to_client.borrow_mut().clear();
    net.now += Duration::from_secs(1);
    let (_, ready) = net.connect();
    net.run();
    assert_eq!(ready.ready(), Ready::OUT);
    net.cut();
    net.pass(Duration::from_secs(30));
    assert_eq!(net.server.connections(), 1, "the honest one, not accepted yet");
}

#[test]
fn connections_end_where_memory_for_them_ends() {
    let mut net = Net::new();
    let (listener, _) = net.listen();
    let mut servers = Vec::new();
    while servers.len() < 20_000 {
        net.connect();
        net.run();
        match net.server.accept(listener) {
            Ok((id, _, _)) => servers.push(id),
            Err(_) => break,
        }
    }
    assert_eq!(servers.len(), net.server.counts().limit);
    // What works goes on, and room that is given back is used.
    assert_eq!(net.server_sends(servers[0], b"x"), Ok(1));
    for id in servers.drain(..300) {
        net.server.close(id, crate::net::stack::Linger::Reset, net.now);
    }
    let (_, ready) = net.connect();
    net.run();
    assert_eq!(ready.ready(), Ready::OUT);
}

#[test]
fn a_damaged_syn_makes_no_connection() {
    let mut net = Net::new();
    net.listen();
    let mut frame = segment(4000, TcpControl::Syn, 1, None);
    *frame.last_mut().unwrap() ^= 1;
    deliver(&mut net, frame);
    assert_eq!(net.server.connections(), 0);
}

#[test]
fn a_reset_during_the_handshake_leaves_nothing() {
    let mut net = Net::new();
    net.listen();
    deliver(&mut net, segment(4000, TcpControl::Syn, 1, None));
    assert_eq!(net.server.connections(), 1);
    deliver(&mut net, segment(4000, TcpControl::Rst, 2, None));
    assert_eq!(net.server.connections(), 0);
    // And both in one batch, with the next attempt right behind.
    for (control, seq) in [(TcpControl::Syn, 1), (TcpControl::Rst, 2), (TcpControl::Syn, 9)] {
        net.to_server.borrow_mut().push_back(segment(4000, control, seq, None));
    }
    net.server.poll(net.now);
    assert_eq!(net.server.connections(), 1);
}

/// An Ethernet header, to this machine or to a group.
fn ethernet(to: [u8; 6], kind: [u8; 2]) -> Vec<u8> {
    [&to[..], &CLIENT_MAC.0, &kind].concat()
}

/// A frame with a right IPv6 header, and a right checksum of what looks like ICMPv6.
fn ipv6_frame(protocol: u8, from: u8, to: u8, hops: u8, mut payload: Vec<u8>) -> Vec<u8> {
    let from = match from {
        0 => link_local(CLIENT_MAC).address(),
        1 => Ipv6Address::UNSPECIFIED,
        2 => Ipv6Address::LOCALHOST,
        _ => Ipv6Address::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
    };
    let (mac, to) = match to {
        0 => (SERVER_MAC.0, link_local(SERVER_MAC).address()),
        1 => ([0x33, 0x33, 0, 0, 0, 1], Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1)),
        _ => (SERVER_MAC.0, Ipv6Address::LOCALHOST),
    };
    if protocol == 58 && payload.len() >= 4 {
        Icmpv6Packet::new_unchecked(&mut payload[..]).fill_checksum(&from, &to);
    }
    let mut frame = ethernet(mac, [0x86, 0xdd]);
    frame.extend([0x60, 0, 0, 0, 0, payload.len() as u8, protocol, hops]);
    frame.extend(from.octets().into_iter().chain(to.octets()).chain(payload));
    frame
}

/// A frame with a right IPv4 header, and a right checksum of what looks like ICMP.
fn ipv4_frame(protocol: u8, from: u8, to: u8, hops: u8, mut payload: Vec<u8>) -> Vec<u8> {
    let from = [CLIENT, Ipv4Address::UNSPECIFIED, Ipv4Address::LOCALHOST, Ipv4Address::BROADCAST][usize::from(from)];
    let (mac, to) = match to {
        0 => (SERVER_MAC.0, SERVER),
        1 => ([1, 0, 0x5e, 0, 0, 1], Ipv4Address::new(224, 0, 0, 1)),
        _ => ([0xff; 6], Ipv4Address::BROADCAST),
    };
    if protocol == 1 && payload.len() >= 4 {
        Icmpv4Packet::new_unchecked(&mut payload[..]).fill_checksum();
    }
    let mut frame = ethernet(mac, [8, 0]);
    frame.extend([0x45, 0, 0, 20 + payload.len() as u8, 0, 0, 0, 0, hops, protocol, 0, 0]);
    frame.extend(from.octets().into_iter().chain(to.octets()));
    Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    frame.extend(payload);
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sequence_of_segments_confuses_the_tables(
        steps in proptest::collection::vec(
            (4000u16..4004, 0u8..5, -3i32..4, proptest::option::of(-3i32..4), 0u64..3000), 1..60)
    ) {
        let mut net = Net::new();
        let (listener, _) = net.listen();
        let mut accepted = Vec::new();
        for (port, control, seq, ack, wait) in steps {
            let control = match control {
                0 | 1 => TcpControl::Syn,
                2 => TcpControl::Fin,
                3 => TcpControl::Rst,
                _ => TcpControl::None,
            };
            deliver(&mut net, segment(port, control, seq, ack));
            while let Ok((id, _, _)) = net.server.accept(listener) {
                accepted.push(id);
            }
            net.to_client.borrow_mut().clear();
            net.now += Duration::from_millis(wait);
            net.server.poll(net.now);
        }
        net.cut();
        for id in accepted {
            net.server.close(id, crate::net::stack::Linger::Background, net.now);
        }
        net.pass(Duration::from_secs(120));
        prop_assert_eq!(net.server.connections(), 0);
    }

    #[test]
    fn no_packet_with_right_headers_stops_the_stack(
        packets in proptest::collection::vec(
            (any::<bool>(), prop_oneof![Just(0u8), Just(1), Just(2), Just(6), Just(17), Just(43), Just(44), Just(58), Just(60)],
             0u8..4, 0u8..3, prop_oneof![Just(1u8), Just(64), Just(255)],
             proptest::collection::vec(any::<u8>(), 0..90), prop_oneof![Just(None), (130u8..144).prop_map(Some), (1u8..5).prop_map(Some)]),
            1..40)
    ) {
        let mut net = Net::with_ipv6();
        net.listen();
        for (is_v6, protocol, from, to, hops, mut payload, kind) in packets {
            if let (Some(kind), Some(first)) = (kind, payload.first_mut()) {
                *first = kind;
            }
            deliver(&mut net, if is_v6 {
                ipv6_frame(protocol, from, to, hops, payload)
            } else {
                ipv4_frame(protocol, from, to, hops, payload)
            });
            net.to_client.borrow_mut().clear();
            net.now += Duration::from_millis(300);
            while net.server.poll(net.now) {}
        }
    }

    #[test]
    fn no_bytes_stop_the_stack(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..20)) {
        let mut net = Net::new();
        net.listen();
        for mut frame in frames {
            if frame.len() > 14 {
                frame[..6].copy_from_slice(&SERVER_MAC.0);
                frame[12..14].copy_from_slice(&[8, 0]);
            }
            deliver(&mut net, frame);
        }
    }
}
