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

/// By the card and by loopback, to a named receiver and to the peer.
#[test]
fn an_empty_datagram_is_sent_at_once() {
    let mut net = Net::new();
    let (server, _) = bound(&mut net.server, 53);
    let (client, _) = bound(&mut net.client, 9);
    let mut bytes = [0; 10];
    for peer in [false, true] {
        for (stack, id, to) in [
            (&mut net.client, client, IpEndpoint::new(IpAddress::Ipv4(SERVER), 53)),
            (&mut net.server, server, IpEndpoint::new(IpAddress::v4(127, 0, 0, 1), 53)),
        ] {
            stack.datagrams().set_peer(id, peer.then_some(to)).unwrap();
            let to = (!peer).then_some(to);
            assert_eq!(stack.send_datagram(id, b"", to, net.now), Ok(0));
            assert_eq!(stack.send_datagram(id, b"", to, net.now), Ok(0));
            stack.datagrams().set_peer(id, None).unwrap();
        }
        net.run();
        let mut senders: Vec<_> = (0..4).map(|_| net.server.datagrams().receive(server, &mut bytes, false)).collect();
        senders.sort_by_key(|one| one.as_ref().map_or(0, |(_, from)| from.port));
        assert!(senders.iter().all(|one| matches!(one, Ok((0, _)))), "{senders:?}");
        assert_eq!(net.server.datagrams().receive(server, &mut bytes, false), Err(Error::WouldBlock));
    }
}

/// The neighbour's address is not known when the program closes the socket.
#[test]
fn a_closed_socket_sends_what_it_had_accepted() {
    for payload in [&b""[..], b"last words"] {
        let mut net = Net::new();
        let (server, _) = bound(&mut net.server, 53);
        let (client, _) = bound(&mut net.client, 9);
        let to = IpEndpoint::new(IpAddress::Ipv4(SERVER), 53);
        net.client.send_datagram(client, payload, Some(to), net.now).unwrap();
        net.client.close_datagram(client, net.now);
        assert!(!net.client.is_drained());
        // The port is free at once.
        let (again, _) = bound(&mut net.client, 9);
        net.run();
        let received = net.server.datagrams().receive(server, &mut [0; 100], false);
        assert_eq!(received.map(|(len, _)| len), Ok(payload.len()));
        net.client.close_datagram(again, net.now);
        assert!(net.client.is_drained());
        assert_eq!((net.client.counts().datagrams, net.client.counts().buffered), (0, 0));
    }
}

#[test]
fn a_closed_socket_gives_up_on_a_neighbour_that_is_not_there() {
    let mut net = Net::new();
    let (client, _) = bound(&mut net.client, 9);
    let to = IpEndpoint::new(IpAddress::v4(10, 0, 2, 99), 53);
    net.client.send_datagram(client, b"nobody", Some(to), net.now).unwrap();
    net.client.close_datagram(client, net.now);
    net.pass(Duration::from_secs(10));
    assert_eq!((net.client.counts().datagrams, net.client.counts().buffered), (0, 0));
}

#[test]
fn sockets_take_memory_when_they_are_used_and_an_error_where_it_ends() {
    let mut net = Net::with_budget(4 << 20);
    let ids: Vec<Id> = (0..1000).map(|_| bound(&mut net.server, 0).0).collect();
    assert_eq!(net.server.counts().buffered, 0);
    // What is idle again gives its buffers to others.
    let away = IpEndpoint::new(IpAddress::Ipv4(CLIENT), 9);
    net.server.send_datagram(ids[0], b"x", Some(away), net.now).unwrap();
    net.run();
    for &id in &ids {
        assert_eq!(net.server.send_datagram(id, b"x", Some(away), net.now), Ok(1));
    }
    // What nobody reads keeps them.
    let mut refused = 0;
    for &id in &ids {
        let here = IpEndpoint::new(IpAddress::v4(127, 0, 0, 1), net.server.datagrams().local(id).unwrap().port);
        refused += usize::from(net.server.send_datagram(id, b"unread", Some(here), net.now) == Err(Error::NoBuffers));
        net.run();
    }
    assert!((900..1000).contains(&refused), "{refused}");
    assert!(net.server.counts().buffered <= 2 << 20);
    for id in ids {
        net.server.close_datagram(id, net.now);
    }
    assert_eq!(net.server.counts().buffered, 0);
}
