//! Thousands of connections: what one packet costs must not depend on how many there are.

use smoltcp::time::Duration;

use super::*;
use crate::net::slaac::link_local;
use crate::net::udp::Settings;

/// Connections that are up: the server's ends and the client's.
fn crowd(net: &mut Net, count: usize) -> (Vec<Id>, Vec<Id>) {
    let (listener, _) = net.listen();
    let mut ends = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (client, _) = net.connect();
        net.run();
        ends.0.push(net.server.accept(listener).unwrap().0);
        ends.1.push(client);
    }
    ends
}

#[test]
fn a_packet_touches_its_own_connection_and_no_other() {
    let mut net = Net::with_budget(100 << 20);
    let (servers, clients) = crowd(&mut net, 4000);
    assert_eq!(net.server.connections(), 4000);
    net.server.reset_touched();
    for at in [0, 1999, 3999] {
        net.client_sends(clients[at], b"question").unwrap();
        net.run();
        assert_eq!(net.server_reads(servers[at]).unwrap(), b"question");
        net.server_sends(servers[at], b"answer").unwrap();
        net.run();
        assert_eq!(net.client_reads(clients[at]).unwrap(), b"answer");
    }
    let touched = net.server.reset_touched();
    assert!(touched <= 3 * 6, "{touched} looks at connections for three questions and answers");
    // Address resolution concerns those who wait for it: nobody.
    for _ in 0..100 {
        let arp = [[0xff; 6], CLIENT_MAC.0].concat().into_iter().chain([8, 6]).chain([0; 28]).collect();
        net.to_server.borrow_mut().push_back(arp);
    }
    net.run();
    assert_eq!(net.server.reset_touched(), 0);
}

#[test]
fn who_waits_for_a_neighbour_goes_on_when_it_answers() {
    let mut net = Net::new();
    net.listen();
    // The first question is lost; smoltcp asks again after a second at the earliest.
    net.client.device().unwrap().device().loses = |n| n == 1;
    let signals: Vec<_> = (0..20).map(|_| net.connect().1).collect();
    net.run();
    assert!(signals.iter().all(|signal| signal.ready() == Ready::empty()));
    net.pass(Duration::from_millis(1500));
    assert!(signals.iter().all(|signal| signal.ready() == Ready::OUT));
}

/// One neighbour that does not answer keeps nobody from another.
#[test]
fn every_neighbour_is_asked_for_at_once() {
    let mut net = Net::with_ipv6();
    net.client.use_address(Ipv4Cidr::new(CLIENT, 16), None);
    let signal = Arc::new(Seen::default());
    net.server.listen(Local::any(Family::Dual, PORT), 1, BufferSizes::default(), signal.clone()).unwrap();
    let connect = |net: &mut Net, to: IpAddress| {
        let signal = Arc::new(Seen::default());
        let to = IpEndpoint::new(to, PORT);
        net.client.connect(to, None, BufferSizes::default(), signal.clone(), net.now).unwrap();
        signal
    };
    for n in 1..=20 {
        assert_eq!(connect(&mut net, IpAddress::v4(10, 0, 7, n)).ready(), Ready::empty());
    }
    let start = net.now;
    let there = [IpAddress::Ipv4(SERVER), IpAddress::Ipv6(link_local(SERVER_MAC).address())];
    let signals = there.map(|to| connect(&mut net, to));
    net.pass(Duration::from_millis(50));
    assert!(signals.iter().all(|signal| signal.ready() == Ready::OUT), "after {}", net.now - start);
    // And by UDP.
    let id =
        net.client.bind_datagram(Local::any(Family::Dual, 0), Settings::default(), Arc::new(Seen::default())).unwrap();
    let arps = net.arps_to_server();
    for n in 1..=3 {
        net.client.send_datagram(id, b"x", Some(IpEndpoint::new(IpAddress::v4(10, 0, 8, n), 9)), net.now).unwrap();
    }
    let asked = net.arps_to_server() - arps;
    assert!((1..=3).contains(&asked), "{asked}");
}

/// Questions are not repeated for every connection that has one.
#[test]
fn a_neighbour_is_asked_for_once_a_second() {
    let mut net = Net::new();
    for _ in 0..200 {
        let to = IpEndpoint::new(IpAddress::v4(10, 0, 2, 99), PORT);
        net.client.connect(to, None, BufferSizes::default(), Arc::new(Seen::default()), net.now).unwrap();
        net.client.poll(net.now);
    }
    assert!(net.arps_to_server() <= 2, "{}", net.arps_to_server());
}
