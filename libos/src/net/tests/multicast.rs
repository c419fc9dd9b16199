//! Groups and broadcasts.

use smoltcp::wire::Ipv6Address;

use super::*;
use crate::net::udp::Settings;

fn open(stack: &mut TestStack, port: u16) -> Id {
    stack.bind_datagram(Local::any(Family::Dual, port), Settings::default(), Arc::new(Seen::default())).unwrap()
}

fn reads(stack: &mut TestStack, id: Id) -> Option<usize> {
    stack.datagrams().receive(id, &mut [0; 99], false).ok().map(|(len, _)| len)
}

#[test]
fn members_hear_their_group_on_the_wire_and_here() {
    for group in [IpAddress::v4(224, 0, 1, 77), IpAddress::Ipv6(Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 1, 0x77))] {
        let mut net = Net::with_ipv6();
        let (sender, here) = (open(&mut net.client, 0), open(&mut net.client, 9));
        let (member, other) = (open(&mut net.server, 9), open(&mut net.server, 10));
        let to = Some(IpEndpoint::new(group, 9));
        net.client.send_datagram(sender, b"1", to, net.now).unwrap();
        net.run();
        assert_eq!((reads(&mut net.server, member), reads(&mut net.client, here)), (None, None), "no members yet");
        net.server.join(member, group, net.now).unwrap();
        net.server.join(other, group, net.now).unwrap();
        net.client.join(here, group, net.now).unwrap();
        assert_eq!(net.server.join(member, group, net.now), Err(Error::AddressInUse));
        net.client.send_datagram(sender, b"12", to, net.now).unwrap();
        net.run();
        assert_eq!((reads(&mut net.server, member), reads(&mut net.client, here)), (Some(2), Some(2)), "{group}");
        assert_eq!(reads(&mut net.server, other), None, "another port");

        let settings = Settings { multicast_loop: false, ..Settings::default() };
        net.client.datagrams().configure(sender, settings).unwrap();
        net.client.send_datagram(sender, b"123", to, net.now).unwrap();
        net.run();
        assert_eq!((reads(&mut net.server, member), reads(&mut net.client, here)), (Some(3), None));

        net.server.leave(member, group, net.now).unwrap();
        assert_eq!(net.server.leave(member, group, net.now), Err(Error::AddressNotAvailable));
        net.client.send_datagram(sender, b"1234", to, net.now).unwrap();
        net.run();
        assert_eq!(reads(&mut net.server, member), None);
        // The last member takes the link's membership along.
        net.server.close_datagram(other, net.now);
        assert!(!net.server.datagrams().has_member(group));
    }
}

#[test]
fn joining_is_for_groups_only_and_bounded() {
    let mut net = Net::new();
    let id = open(&mut net.server, 9);
    assert_eq!(net.server.join(id, IpAddress::v4(10, 0, 2, 2), net.now), Err(Error::Invalid));
    let joined = (1..=100).take_while(|&n| net.server.join(id, IpAddress::v4(239, 0, 0, n), net.now).is_ok()).count();
    assert!((16..=32).contains(&joined), "{joined}");
    net.server.close_datagram(id, net.now);
    net.run();
    let id = open(&mut net.server, 9);
    assert_eq!(net.server.join(id, IpAddress::v4(239, 0, 0, 1), net.now), Ok(()), "room again");
}

#[test]
fn a_broadcast_needs_leave_and_reaches_everybody() {
    let mut net = Net::new();
    let (sender, here) = (open(&mut net.client, 0), open(&mut net.client, 9));
    let there = open(&mut net.server, 9);
    for to in [IpAddress::v4(255, 255, 255, 255), IpAddress::v4(10, 0, 2, 255)] {
        let to = Some(IpEndpoint::new(to, 9));
        net.client.datagrams().configure(sender, Settings::default()).unwrap();
        assert_eq!(net.client.send_datagram(sender, b"x", to, net.now), Err(Error::NotAllowed));
        net.client.datagrams().configure(sender, Settings { broadcast: true, ..Settings::default() }).unwrap();
        assert_eq!(net.client.send_datagram(sender, b"x", to, net.now), Ok(1));
        net.run();
        assert_eq!((reads(&mut net.server, there), reads(&mut net.client, here)), (Some(1), Some(1)), "{to:?}");
    }
}

#[test]
fn a_machine_without_a_card_has_groups_of_its_own() {
    let mut alone: TestStack = Stack::new(1, BUDGET, Instant::ZERO);
    let (sender, member) = (open(&mut alone, 0), open(&mut alone, 9));
    let group = IpAddress::v4(239, 1, 2, 3);
    alone.join(member, group, Instant::ZERO).unwrap();
    alone.send_datagram(sender, b"x", Some(IpEndpoint::new(group, 9)), Instant::ZERO).unwrap();
    while alone.poll(Instant::ZERO) {}
    assert_eq!(reads(&mut alone, member), Some(1));
}
