//! Connections that go wrong, and peers that vanish.

use std::vec::Vec;

use smoltcp::time::Duration;

use super::*;
use crate::net::stack::{Linger, Shutdown};
use crate::net::tcp::connection::HANDSHAKE_TIMEOUT;
use crate::net::tcp::settings::KeepAlive;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_closed_port_refuses() {
    let mut net = Net::new();
    let (client, ready) = net.connect();
    assert_eq!(net.client.connected(client), Err(Error::Already));
    assert_eq!(ready.ready(), Ready::empty());
    net.run();
    assert!(ready.ready().contains(Ready::OUT | Ready::ERR | Ready::HUP));
    assert_eq!(net.client.take_error(client), Some(Error::Refused));
    assert_eq!(net.client.take_error(client), None);
    assert_eq!(net.client_sends(client, b"x"), Err(Error::BrokenPipe));
}

#[test]
fn a_silent_machine_times_out() {
    let mut net = Net::new();
    net.cut();
    let (client, ready) = net.connect();
    net.pass(MINUTE * 2);
    assert!(ready.ready().contains(Ready::OUT | Ready::ERR | Ready::HUP));
    assert_eq!(net.client.connected(client), Err(Error::TimedOut));
}

#[test]
fn closing_with_unread_data_resets() {
    let mut net = Net::new();
    let ((server, _), (client, ready)) = net.connected();
    net.client_sends(client, b"never read").unwrap();
    net.run();
    net.server.close(server, Linger::Background, net.now);
    net.run();
    assert!(ready.ready().contains(Ready::ERR | Ready::HUP | Ready::IN));
    assert_eq!(net.client_reads(client), Err(Error::Reset));
    assert_eq!(net.client_reads(client).unwrap(), b"", "the error is told once");
    assert_eq!(net.server.connections(), 0);
}

#[test]
fn data_that_came_before_a_reset_is_read_before_it() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    net.client_sends(client, b"x").unwrap();
    net.server_sends(server, b"the answer").unwrap();
    net.run();
    net.server.close(server, Linger::Reset, net.now);
    net.run();
    assert_eq!(net.client_reads(client).unwrap(), b"the answer");
    assert_eq!(net.client_reads(client), Err(Error::Reset));
}

#[test]
fn lingering_for_no_time_resets() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    net.server.close(server, Linger::Reset, net.now);
    net.run();
    assert_eq!(net.client_reads(client), Err(Error::Reset));
}

#[test]
fn close_delivers_what_was_written() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    let data = std::vec![7; 60_000];
    assert_eq!(net.server_sends(server, &data), Ok(data.len()));
    net.server.close(server, Linger::Background, net.now);
    assert!(!net.server.is_drained());
    let mut got = Vec::new();
    loop {
        net.pass(Duration::from_millis(20));
        match net.client_reads(client) {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => got.extend(bytes),
            Err(error) => assert_eq!(error, Error::WouldBlock),
        }
    }
    assert_eq!(got, data);
    assert!(net.server.is_drained());
    net.client.close(client, Linger::Background, net.now);
    net.pass(MINUTE);
    assert_eq!((net.server.connections(), net.client.connections()), (0, 0));
}

/// What lingering waits for.
#[test]
fn a_close_is_delivered_when_the_peer_has_it_all() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    while net.server_sends(server, &[7; 10_000]).is_ok() {
        net.pass(Duration::from_millis(50));
    }
    net.server.close(server, Linger::Background, net.now);
    net.pass(Duration::from_secs(5));
    assert!(!net.server.is_delivered(server), "the peer does not read");
    while !net.client_reads(client).is_ok_and(|bytes| bytes.is_empty()) {
        net.pass(Duration::from_millis(500));
    }
    assert!(net.server.is_delivered(server));
}

#[test]
fn the_end_of_the_program_closes_everything() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    net.connect();
    net.run();
    net.server_sends(server, b"bye").unwrap();
    net.server.close_all(net.now);
    net.pass(Duration::from_millis(50));
    assert!(net.server.is_drained());
    assert_eq!(net.client_reads(client).unwrap(), b"bye");
    assert_eq!(net.client_reads(client).unwrap(), b"");
    assert!(net.server.connections() <= 1, "one waits for its peer's end, the unaccepted one was reset");
}

#[test]
fn a_peer_that_vanishes_is_noticed_and_forgotten() {
    let mut net = Net::new();
    let ((server, ready), _) = net.connected();
    net.pass(MINUTE * 20);
    assert_eq!(ready.ready(), Ready::OUT, "an idle peer that answers is kept");
    net.cut();
    net.pass(MINUTE * 8);
    assert!(ready.ready().contains(Ready::ERR | Ready::HUP));
    assert_eq!(net.server_reads(server), Err(Error::TimedOut));
    net.server.close(server, Linger::Background, net.now);
    assert_eq!(net.server.connections(), 0);
}

#[test]
fn keep_alive_can_be_turned_off() {
    let mut net = Net::new();
    let ((server, ready), _) = net.connected();
    net.server.set_keep_alive(server, KeepAlive { on: false, ..KeepAlive::default() }, net.now).unwrap();
    net.cut();
    net.pass(MINUTE * 60);
    assert_eq!(ready.ready(), Ready::OUT);
}

#[test]
fn a_handshake_that_is_never_finished_costs_nothing_for_ever() {
    let mut net = Net::new();
    let (listener, _) = net.listen();
    net.connect();
    // The address question and its answer pass; the SYN does, too; nothing after it.
    while net.server.connections() == 0 {
        net.client.poll(net.now);
        net.server.poll(net.now);
    }
    net.cut();
    net.to_client.borrow_mut().clear();
    net.pass(HANDSHAKE_TIMEOUT);
    assert_eq!(net.server.connections(), 0);
    assert_eq!(net.server.accept(listener).err(), Some(Error::WouldBlock));
}

#[test]
fn a_closed_connection_whose_peer_vanished_is_cut_off() {
    let mut net = Net::new();
    let ((server, _), _) = net.connected();
    net.cut();
    net.server_sends(server, b"into the void").unwrap();
    net.server.close(server, Linger::Background, net.now);
    assert_eq!(net.server.connections(), 1);
    net.pass(MINUTE);
    assert_eq!(net.server.connections(), 0);
}

#[test]
fn a_peer_that_never_closes_its_half_is_cut_off() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    net.server.close(server, Linger::Background, net.now);
    net.run();
    assert_eq!(net.client_reads(client).unwrap(), b"");
    net.pass(Duration::from_secs(30));
    assert_eq!(net.server.connections(), 0);
    assert_eq!(net.client_sends(client, b"still here?"), Ok(11));
    net.run();
    assert_eq!(net.client_reads(client), Err(Error::Reset));
}

#[test]
fn a_peer_that_writes_to_a_closed_connection_is_reset() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    net.server_sends(server, b"the last word").unwrap();
    net.server.close(server, Linger::Background, net.now);
    net.run();
    assert_eq!(net.client_sends(client, b"is it?"), Ok(6));
    net.run();
    assert_eq!(net.server.connections(), 0);
    assert_eq!(net.client_reads(client).unwrap(), b"the last word");
    assert_eq!(net.client_reads(client), Err(Error::Reset));
    assert_eq!(net.client_sends(client, b"no"), Err(Error::BrokenPipe));
}

#[test]
fn a_peer_that_never_reads_cannot_hold_a_closed_connection() {
    let mut net = Net::new();
    let ((server, _), _) = net.connected();
    let data = std::vec![1; 65_536];
    while net.server_sends(server, &data).is_ok() {
        net.run();
    }
    net.server.close(server, Linger::Background, net.now);
    net.pass(MINUTE * 3);
    assert_eq!(net.server.connections(), 0);
}

#[test]
fn time_wait_is_bounded_and_gives_way_to_a_new_connection() {
    let mut net = Net::new();
    let (listener, _) = net.listen();
    for _ in 0..200 {
        let (client, _) = net.connect();
        net.run();
        let (server, _, _) = net.server.accept(listener).unwrap();
        net.server.close(server, Linger::Background, net.now);
        net.run();
        net.client.close(client, Linger::Background, net.now);
        net.run();
    }
    assert!(net.server.connections() <= 32, "{}", net.server.connections());
    // The same two ends again while the server still remembers them.
    let remote = IpEndpoint::new(IpAddress::Ipv4(SERVER), PORT);
    let local = place(5000);
    for _ in 0..2 {
        let client = net
            .client
            .connect(remote, Some(local), BufferSizes::default(), Arc::new(Seen::default()), net.now)
            .unwrap();
        net.run();
        let (server, _, _) = net.server.accept(listener).unwrap();
        net.server.close(server, Linger::Background, net.now);
        net.run();
        net.client.close(client, Linger::Background, net.now);
        net.run();
    }
    net.pass(MINUTE);
    assert_eq!((net.server.connections(), net.client.connections()), (0, 0));
}

#[test]
fn a_listener_that_closes_resets_those_it_never_accepted() {
    let mut net = Net::new();
    let (listener, _) = net.listen();
    let (client, _) = net.connect();
    net.run();
    net.server.unlisten(listener, net.now);
    net.run();
    assert_eq!(net.client_reads(client), Err(Error::Reset));
    assert_eq!(net.server.connections(), 0);
}

#[test]
fn shutting_down_twice_or_too_early_is_an_error() {
    let mut net = Net::new();
    let both = Shutdown { read: true, write: true };
    net.cut();
    let (client, _) = net.connect();
    assert_eq!(net.client.shutdown(client, both, net.now), Err(Error::NotConnected));
}

#[test]
fn a_lost_address_ends_its_connections() {
    let mut net = Net::new();
    let ((server, ready), _) = net.connected();
    net.server.use_address(Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 99), 24), None);
    net.run();
    assert!(ready.ready().contains(Ready::HUP));
    assert!(net.server_reads(server).is_err());
}
