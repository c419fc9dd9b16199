//! Resets and SYNs from strangers in the middle of a connection (RFC 5961).

use smoltcp::time::Duration;
use smoltcp::wire::{TcpControl, TcpPacket};

use super::hostile::segment;
use super::*;
use crate::net::stack::Linger;

/// A connection on which the client has sent a byte, the client's port, and the number that the server expects next.
fn with_numbers(net: &mut Net) -> (Id, Id, u16, i32) {
    let ((server, _), (client, _)) = net.connected();
    net.client_sends(client, b"x").unwrap();
    let next = {
        let lane = net.to_server.borrow();
        let packet = TcpPacket::new_checked(&lane.back().unwrap()[34..]).unwrap();
        (packet.seq_number() + packet.segment_len()).0
    };
    net.run();
    assert_eq!(net.server_reads(server).unwrap(), b"x");
    let port = net.client.ends(client).unwrap().local.port;
    // The acknowledgement of the byte is not to be taken for an answer.
    net.pass(Duration::from_millis(50));
    (server, client, port, next)
}

/// How many frames the server answers to `frame`.
fn answers(net: &mut Net, frame: Vec<u8>) -> usize {
    net.to_server.borrow_mut().push_back(frame);
    while net.server.poll(net.now) {}
    let count = net.to_client.borrow().len();
    net.to_client.borrow_mut().clear();
    count
}

#[test]
fn a_blind_reset_in_the_window_is_challenged_and_ends_nothing() {
    let mut net = Net::new();
    let (server, client, port, next) = with_numbers(&mut net);
    let reset = |ahead: i32| segment(port, TcpControl::Rst, next.wrapping_add(ahead), None);
    assert_eq!(answers(&mut net, reset(500)), 1, "an acknowledgement");
    for ahead in [1, 1000, 60_000] {
        assert_eq!(answers(&mut net, reset(ahead)), 0, "one a second is enough");
    }
    for ahead in [-1, -500, 10_000_000, i32::MIN] {
        assert_eq!(answers(&mut net, reset(ahead)), 0, "out of the window");
    }
    net.now += Duration::from_secs(2);
    assert_eq!(answers(&mut net, reset(60_000)), 1);
    net.client_sends(client, b"alive").unwrap();
    net.run();
    assert_eq!(net.server_reads(server).unwrap(), b"alive");
    assert_eq!(answers(&mut net, reset(5)), 0, "the right number");
    assert_eq!(net.server_reads(server), Err(Error::Reset));
}

#[test]
fn a_reset_counts_before_its_bytes_are_acknowledged() {
    let mut net = Net::new();
    let (server, client, _, _) = with_numbers(&mut net);
    net.client_sends(client, b"last words").unwrap();
    net.client.close(client, Linger::Reset, net.now);
    assert_eq!(net.to_server.borrow().len(), 2);
    while net.server.poll(net.now) {}
    assert_eq!(net.server_reads(server).unwrap(), b"last words");
    assert_eq!(net.server_reads(server), Err(Error::Reset));
}

#[test]
fn who_resets_behind_lost_bytes_is_asked_and_believed() {
    let mut net = Net::new();
    let (server, client, _, _) = with_numbers(&mut net);
    net.client_sends(client, b"lost").unwrap();
    net.to_server.borrow_mut().clear();
    net.client.close(client, Linger::Reset, net.now);
    net.run();
    assert_eq!(net.server_reads(server), Err(Error::Reset));
}

#[test]
fn a_syn_in_a_connection_is_challenged_and_ends_nothing() {
    let mut net = Net::new();
    let (server, client, port, next) = with_numbers(&mut net);
    for ahead in [0, 500, 10_000_000] {
        let syn = segment(port, TcpControl::Syn, next.wrapping_add(ahead), None);
        assert_eq!(answers(&mut net, syn), 1, "{ahead}");
        net.now += Duration::from_secs(2);
    }
    net.client_sends(client, b"alive").unwrap();
    net.run();
    assert_eq!(net.server_reads(server).unwrap(), b"alive");
}

#[test]
fn a_damaged_reset_is_not_answered() {
    let mut net = Net::new();
    let (server, _, port, next) = with_numbers(&mut net);
    let mut reset = segment(port, TcpControl::Rst, next + 500, None);
    *reset.last_mut().unwrap() ^= 1;
    assert_eq!(answers(&mut net, reset), 0);
    assert_eq!(net.server_reads(server), Err(Error::WouldBlock));
}
