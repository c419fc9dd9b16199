//! Thousands of connections: what one packet costs must not depend on how many there are.

use smoltcp::time::Duration;

use super::*;

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
