//! IPv6: neighbours, routers, both families at one port, and what does not arrive.

use std::vec;

use smoltcp::time::Duration;
use smoltcp::wire::{Icmpv6Packet, Ipv6Address, Ipv6Packet};

use super::*;
use crate::net::frame::{Payload, classify};
use crate::net::slaac::link_local;
use crate::net::stack::AddressChange;
use crate::net::udp::Settings;

const ROUTER: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

fn server() -> IpAddress {
    IpAddress::Ipv6(link_local(SERVER_MAC).address())
}

fn datagrams(stack: &mut TestStack, family: Family, port: u16) -> (Id, Arc<Seen>) {
    let signal = Arc::new(Seen::default());
    (stack.bind_datagram(Local::any(family, port), Settings::default(), signal.clone()).unwrap(), signal)
}

/// A router advertisement for everybody on the link: a prefix for an hour, and the router for half of one.
fn advertisement(network: &str) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0]);
    message.extend(network.parse::<Ipv6Address>().unwrap().octets());
    message.extend([25, 3, 0, 0, 0, 0, 14, 16]);
    message.extend("fec0::3".parse::<Ipv6Address>().unwrap().octets());
    let all = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x86, 0xdd, 0x60, 0, 0, 0];
    frame.extend((message.len() as u16).to_be_bytes());
    frame.extend([58, 255]);
    frame.extend(ROUTER.octets().into_iter().chain(all.octets()));
    Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&ROUTER, &all);
    frame.extend(message);
    assert!(Ipv6Packet::new_checked(&frame[14..]).is_ok());
    frame
}

#[test]
fn neighbours_find_each_other_and_talk() {
    let mut net = Net::with_ipv6();
    let signal = Arc::new(Seen::default());
    let listener = net.server.listen(Local::any(Family::V6, PORT), 1, BufferSizes::default(), signal.clone()).unwrap();
    let to = IpEndpoint::new(server(), PORT);
    let client = net.client.connect(to, None, BufferSizes::default(), Arc::new(Seen::default()), net.now).unwrap();
    net.run();
    assert_eq!(signal.ready(), Ready::IN);
    let (id, _, ends) = net.server.accept(listener).unwrap();
    assert_eq!(ends.remote.addr, IpAddress::Ipv6(link_local(CLIENT_MAC).address()));
    let data = vec![7; 30_000];
    assert_eq!(net.client_sends(client, &data), Ok(data.len()));
    net.pass(Duration::from_millis(100));
    assert_eq!(net.server_reads(id).unwrap(), data);
    for _ in 0..20 {
        net.client_sends(client, b"request").unwrap();
        net.run();
        assert_eq!(net.server_reads(id).unwrap(), b"request");
        net.server_sends(id, b"reply").unwrap();
        net.run();
        assert_eq!(net.client_reads(client).unwrap(), b"reply");
    }
    assert!(net.server.tcp().is_fast(id) && net.client.tcp().is_fast(client));
}

#[test]
fn a_router_gives_an_address_a_way_and_a_name_server() {
    let mut net = Net::with_ipv6();
    let far = IpAddress::Ipv6("2001:db8::1".parse().unwrap());
    assert!(!net.server.is_reachable(far) && net.server.is_configuring(far));
    net.server.take_changes();
    net.to_server.borrow_mut().push_back(advertisement("fec0::"));
    net.run();
    let address = "fec0::ff:fe00:1".parse::<Ipv6Address>().unwrap();
    let changes = net.server.take_changes();
    assert!(
        matches!(changes[..], [AddressChange::Configured { address: cidr, learnt: true }]
        if cidr.address() == IpAddress::Ipv6(address)),
        "{changes:?}"
    );
    assert!(net.server.is_reachable(far) && !net.server.is_configuring(far));
    assert_eq!(net.server.name_servers().collect::<Vec<_>>(), [IpAddress::Ipv6("fec0::3".parse().unwrap())]);
    // What goes to the link comes from the link-local address, the rest from the other one.
    let (id, _) = datagrams(&mut net.server, Family::Dual, 0);
    for (to, from) in [(far, IpAddress::Ipv6(address)), (IpAddress::Ipv6(ROUTER), server())] {
        net.server.datagrams().set_peer(id, Some(IpEndpoint::new(to, 9))).unwrap();
        assert_eq!(net.server.datagram_local(id).unwrap().address, Some(from));
    }
    // Nobody renews it.
    net.pass(Duration::from_secs(3601));
    assert!(!net.server.is_reachable(far));
    assert!(matches!(net.server.take_changes()[..], [AddressChange::Lost { .. }]));
}

#[test]
fn an_advertisement_that_comes_from_far_or_is_damaged_is_ignored() {
    let mut net = Net::with_ipv6();
    net.server.take_changes();
    for (at, value) in [(14 + 7, 64), (14 + 8, 0x20), (14 + 40 + 40, 3), (14 + 4, 0xff)] {
        let mut frame = advertisement("fec0::");
        frame[at] = value;
        net.to_server.borrow_mut().push_back(frame);
        net.run();
        assert_eq!(net.server.take_changes(), [], "byte {at}");
    }
}

#[test]
fn what_is_this_machines_own_does_not_come_from_the_wire() {
    for from in ["::1", "::ffff:10.0.2.2"] {
        let mut frame = advertisement("fec0::");
        frame[14 + 6] = 17;
        frame[14 + 24..14 + 40].copy_from_slice(&from.parse::<Ipv6Address>().unwrap().octets());
        frame.resize(14 + 40 + 8 + 64, 0);
        frame[14 + 40 + 4..14 + 40 + 6].copy_from_slice(&[0, 72]);
        assert_eq!(classify(Medium::Ethernet, SERVER_MAC, &frame), Payload::Malformed, "{from}");
    }
}

#[test]
fn one_listener_takes_both_families_unless_it_wants_only_one() {
    let mut net = Net::with_ipv6();
    let listen = |net: &mut Net, family| {
        net.server.listen(Local::any(family, PORT), 1, BufferSizes::default(), Arc::new(Seen::default()))
    };
    let reach = |net: &mut Net, to: IpAddress| {
        let to = IpEndpoint::new(to, PORT);
        let id = net.client.connect(to, None, BufferSizes::default(), Arc::new(Seen::default()), net.now).unwrap();
        net.run();
        net.client.connected(id)
    };
    let dual = listen(&mut net, Family::Dual).unwrap();
    assert_eq!(listen(&mut net, Family::V4), Err(Error::AddressInUse));
    for to in [IpAddress::Ipv4(SERVER), server()] {
        assert_eq!(reach(&mut net, to), Ok(()));
        net.server.accept(dual).unwrap();
    }
    net.server.unlisten(dual, net.now);
    let only = listen(&mut net, Family::V6).unwrap();
    assert_eq!(reach(&mut net, IpAddress::Ipv4(SERVER)), Err(Error::Refused));
    assert_eq!(reach(&mut net, server()), Ok(()));
    let other = listen(&mut net, Family::V4).unwrap();
    assert_eq!(reach(&mut net, IpAddress::Ipv4(SERVER)), Ok(()));
    assert!(net.server.accept(only).is_ok() && net.server.accept(other).is_ok());
    assert_eq!(net.server.accept(only).err(), Some(Error::WouldBlock));
}

#[test]
fn a_datagram_to_nobody_is_refused_if_its_sender_is_connected() {
    for to in [IpAddress::Ipv4(SERVER), server(), IpAddress::v4(127, 0, 0, 1), IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1)] {
        let mut net = Net::with_ipv6();
        let (client, ready) = datagrams(&mut net.client, Family::Dual, 0);
        let (stranger, _) = datagrams(&mut net.client, Family::Dual, 0);
        let peer = IpEndpoint::new(to, 9);
        net.client.datagrams().set_peer(client, Some(peer)).unwrap();
        net.client.send_datagram(stranger, b"x", Some(peer), net.now).unwrap();
        net.run();
        assert_eq!(ready.ready(), Ready::OUT, "another socket's");
        net.client.send_datagram(client, b"x", None, net.now).unwrap();
        net.run();
        assert!(ready.ready().contains(Ready::ERR | Ready::IN), "{to}");
        assert_eq!(net.client.datagrams().receive(client, &mut [0; 9], false), Err(Error::Refused));
        assert_eq!(net.client.datagrams().receive(client, &mut [0; 9], false), Err(Error::WouldBlock));
        assert_eq!(net.client.datagrams().receive(stranger, &mut [0; 9], false), Err(Error::WouldBlock));
        assert_eq!(ready.ready(), Ready::OUT);
    }
}

#[test]
fn a_datagram_is_as_long_as_the_link_allows() {
    let mut net = Net::with_ipv6();
    let (client, _) = datagrams(&mut net.client, Family::Dual, 0);
    for (to, most) in [(IpAddress::Ipv4(SERVER), 1472), (server(), 1452)] {
        let to = Some(IpEndpoint::new(to, 9));
        assert_eq!(net.client.send_datagram(client, &[0; 1473][..most], to, net.now), Ok(most));
        assert_eq!(net.client.send_datagram(client, &[0; 1473][..most + 1], to, net.now), Err(Error::TooLong));
    }
}
