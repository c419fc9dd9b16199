//! Segments that are longer than the link's frames, as a card gives them that puts several together.

use std::vec;

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, TcpPacket,
    UdpPacket,
};

use super::*;
use crate::net::slaac::link_local;
use crate::net::tcp::ACK_DELAY;

/// The longest TCP payloads of an IP packet, over IPv4 and over IPv6.
const LONGEST: [usize; 2] = [65_535 - 20 - 20, 65_535 - 20];

/// Where the TCP segment begins.
fn segment_at(frame: &[u8]) -> usize {
    if frame[12..14] == [8, 0] { 34 } else { 54 }
}

/// The same segment with another payload, and right checksums.
fn with_payload(frame: &[u8], payload: &[u8]) -> Vec<u8> {
    let at = segment_at(frame);
    let header = usize::from(TcpPacket::new_checked(&frame[at..]).unwrap().header_len());
    let mut frame = frame[..at + header].to_vec();
    frame.extend_from_slice(payload);
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
    let is_ipv4 = ethernet.ethertype() == EthernetProtocol::Ipv4;
    let (from, to): (IpAddress, IpAddress) = if is_ipv4 {
        let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
        packet.set_total_len((20 + header + payload.len()) as u16);
        packet.fill_checksum();
        (packet.src_addr().into(), packet.dst_addr().into())
    } else {
        let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        packet.set_payload_len((header + payload.len()) as u16);
        (packet.src_addr().into(), packet.dst_addr().into())
    };
    TcpPacket::new_unchecked(&mut frame[at..]).fill_checksum(&from, &to);
    frame
}

/// A connection over either family, and the one segment with data that its client has sent.
fn one_segment(ipv6: bool) -> (Net, Id, Vec<u8>) {
    let mut net = if ipv6 { Net::with_ipv6() } else { Net::new() };
    let family = if ipv6 { Family::V6 } else { Family::V4 };
    let listener = net.server.listen(Local::any(family, PORT), 1, BufferSizes::default(), Arc::default()).unwrap();
    let address = if ipv6 { link_local(SERVER_MAC).address().into() } else { SERVER.into() };
    let to = IpEndpoint::new(address, PORT);
    let client = net.client.connect(to, None, BufferSizes::default(), Arc::default(), net.now).unwrap();
    net.run();
    let (id, _, _) = net.server.accept(listener).unwrap();
    assert_eq!(net.client_sends(client, b"x"), Ok(1));
    net.client.poll(net.now);
    let frame = net.to_server.borrow_mut().pop_front().unwrap();
    assert!(net.to_server.borrow().is_empty());
    (net, id, frame)
}

#[test]
fn a_segment_of_64_kib_is_accepted_whole_and_acknowledged_at_once() {
    for (ipv6, len) in [(false, LONGEST[0]), (true, LONGEST[1]), (false, 1461), (true, 3000), (false, 14_600)] {
        let (mut net, id, frame) = one_segment(ipv6);
        let data: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let number = TcpPacket::new_unchecked(&frame[segment_at(&frame)..]).seq_number();
        net.to_server.borrow_mut().push_back(with_payload(&frame, &data));
        // The clock does not move: the sender may have nothing more in flight that would hasten an acknowledgement.
        while net.server.poll(net.now) {}
        let sent = net.to_client.borrow_mut().pop_back().expect("an acknowledgement");
        let acknowledged = TcpPacket::new_unchecked(&sent[segment_at(&sent)..]).ack_number();
        assert_eq!(acknowledged, number + len, "IPv6: {ipv6}, {len} bytes");
        assert!(net.server_reads(id).unwrap() == data);
    }
}

#[test]
fn one_segment_alone_is_still_acknowledged_later() {
    let (mut net, _, frame) = one_segment(false);
    net.to_server.borrow_mut().push_back(frame);
    while net.server.poll(net.now) {}
    assert!(net.to_client.borrow().is_empty());
    net.now += ACK_DELAY;
    while net.server.poll(net.now) {}
    assert_eq!(net.to_client.borrow().len(), 1);
}

#[test]
fn a_damaged_one_is_not_accepted() {
    for ipv6 in [false, true] {
        let (mut net, id, frame) = one_segment(ipv6);
        let mut frame = with_payload(&frame, &vec![7; 50_000]);
        frame[40_000] ^= 1;
        net.to_server.borrow_mut().push_back(frame);
        while net.server.poll(net.now) {}
        assert_eq!(net.server_reads(id), Err(Error::WouldBlock));
    }
}

#[test]
fn what_would_be_answered_at_the_same_length_gets_no_answer() {
    let mut net = Net::new();
    net.connected();
    net.run();
    for (len, answers) in [(1000, 1), (1472, 1), (1473, 0), (60_000, 0)] {
        let data = vec![7; len];
        let echo = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 1, data: &data };
        let ip = Ipv4Repr {
            src_addr: CLIENT,
            dst_addr: SERVER,
            next_header: IpProtocol::Icmp,
            payload_len: echo.buffer_len(),
            hop_limit: 64,
        };
        let mut frame = vec![0; 14 + ip.buffer_len() + echo.buffer_len()];
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
        ethernet.set_dst_addr(SERVER_MAC);
        ethernet.set_src_addr(CLIENT_MAC);
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
        ip.emit(&mut packet, &phy::ChecksumCapabilities::default());
        let mut message = Icmpv4Packet::new_unchecked(packet.payload_mut());
        echo.emit(&mut message, &phy::ChecksumCapabilities::default());
        net.to_server.borrow_mut().push_back(frame.clone());
        net.server.poll(net.now);
        assert_eq!(net.to_client.borrow_mut().drain(..).count(), answers, "{len}");
        // A datagram to a port that nobody has: the answer quotes its beginning only.
        let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
        let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
        packet.set_next_header(IpProtocol::Udp);
        packet.fill_checksum();
        let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
        datagram.set_src_port(9);
        datagram.set_dst_port(9);
        datagram.set_len(8 + len as u16);
        datagram.fill_checksum(&CLIENT.into(), &SERVER.into());
        net.to_server.borrow_mut().push_back(frame);
        net.server.poll(net.now);
        assert!(net.to_client.borrow_mut().drain(..).all(|answer| answer.len() <= 1514));
    }
}
