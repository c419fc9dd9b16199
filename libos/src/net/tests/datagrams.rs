//! UDP.

use super::*;
use crate::net::udp::Settings;

fn bound(stack: &mut TestStack, port: u16) -> (Id, Arc<Seen>) {
    let signal = Arc::new(Seen::default());
    (stack.bind_datagram(place(port), Settings::default(), signal.clone()).unwrap(), signal)
}

#[test]
fn a_datagram_arrives_with_its_sender() {
    let mut net = Net::new();
    let (server, ready) = bound(&mut net.server, 53);
    let (client, _) = bound(&mut net.client, 0);
    assert_eq!(ready.ready(), Ready::OUT);
    let to = IpEndpoint::new(IpAddress::Ipv4(SERVER), 53);
    assert_eq!(net.client.send_datagram(client, b"question", Some(to), net.now), Ok(8));
    net.run();
    assert_eq!(ready.ready(), Ready::IN | Ready::OUT);
    let mut bytes = [0; 100];
    let (len, from) = net.server.datagrams().receive(server, &mut bytes, true).unwrap();
    assert_eq!((&bytes[..len], from.addr), (&b"question"[..], IpAddress::Ipv4(CLIENT)));
    assert_eq!(net.server.datagrams().receive(server, &mut bytes[..3], false).unwrap().0, 3, "the rest is lost");
    assert_eq!(net.server.datagrams().receive(server, &mut bytes, false), Err(Error::WouldBlock));
    assert_eq!(net.server.send_datagram(server, b"answer", Some(from), net.now), Ok(6));
    net.run();
    assert_eq!(net.client.datagrams().receive(client, &mut bytes, false).unwrap(), (6, to));
}

#[test]
fn a_connected_socket_hears_only_its_peer() {
    let mut net = Net::new();
    let (one, _) = bound(&mut net.server, 1000);
    let (other, _) = bound(&mut net.server, 1001);
    let (peer, _) = bound(&mut net.server, 1002);
    let local = |port| IpEndpoint::new(IpAddress::v4(127, 0, 0, 1), port);
    net.server.datagrams().set_peer(one, Some(local(1002))).unwrap();
    net.server.send_datagram(other, b"stranger", Some(local(1000)), net.now).unwrap();
    net.server.send_datagram(peer, b"friend", Some(local(1000)), net.now).unwrap();
    net.run();
    let mut bytes = [0; 100];
    assert_eq!(net.server.datagrams().receive(one, &mut bytes, false).unwrap(), (6, local(1002)));
    assert_eq!(net.server.datagrams().receive(one, &mut bytes, false), Err(Error::WouldBlock));
    assert_eq!(net.server.send_datagram(one, b"hi", None, net.now), Ok(2));
    assert_eq!(net.server.send_datagram(other, b"hi", None, net.now), Err(Error::DestinationRequired));
}

#[test]
fn what_cannot_be_sent_is_an_error() {
    let mut net = Net::new();
    let (client, _) = bound(&mut net.client, 9);
    let to = IpEndpoint::new(IpAddress::Ipv4(SERVER), 53);
    assert_eq!(net.client.send_datagram(client, &[0; 1473], Some(to), net.now), Err(Error::TooLong));
    let again = net.client.bind_datagram(place(9), Settings::default(), Arc::new(Seen::default()));
    assert_eq!(again, Err(Error::AddressInUse));
    let mut alone: TestStack = Stack::new(1, BUDGET, net.now);
    let (lonely, _) = bound(&mut alone, 9);
    assert_eq!(alone.send_datagram(lonely, b"x", Some(to), net.now), Err(Error::Unreachable));
}

/// Nothing else wakes anybody who would deliver it.
#[test]
fn a_datagram_to_this_machine_itself_is_due_at_once() {
    let mut alone: TestStack = Stack::new(1, BUDGET, Instant::ZERO);
    let (here, ready) = bound(&mut alone, 9);
    let to = IpEndpoint::new(IpAddress::v4(127, 0, 0, 1), 9);
    assert_eq!(alone.next_deadline(), None);
    assert_eq!(alone.send_datagram(here, b"x", Some(to), Instant::ZERO), Ok(1));
    assert_eq!(alone.next_deadline(), Some(Instant::ZERO));
    alone.poll(Instant::ZERO);
    assert_eq!((ready.ready(), alone.next_deadline()), (Ready::IN | Ready::OUT, None));
}
