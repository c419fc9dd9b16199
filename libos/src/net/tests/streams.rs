//! Connections that go well.

use std::vec;
use std::vec::Vec;

use smoltcp::time::Duration;

use super::*;
use crate::net::stack::{Linger, Shutdown};

#[test]
fn a_connection_carries_bytes_both_ways() {
    let mut net = Net::new();
    let ((server, ready), (client, client_ready)) = net.connected();
    assert_eq!(ready.ready(), Ready::OUT);
    assert_eq!(client_ready.ready(), Ready::OUT);
    assert_eq!(net.server_reads(server), Err(Error::WouldBlock));
    assert_eq!(net.client_sends(client, b"PING\r\n"), Ok(6));
    net.run();
    assert_eq!(ready.ready(), Ready::IN | Ready::OUT);
    assert_eq!(net.server_reads(server).unwrap(), b"PING\r\n");
    assert_eq!(ready.ready(), Ready::OUT);
    assert_eq!(net.server_sends(server, b"+PONG\r\n"), Ok(7));
    net.run();
    assert_eq!(net.client_reads(client).unwrap(), b"+PONG\r\n");
}

#[test]
fn a_request_and_its_reply_need_one_frame_each() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    net.pass(Duration::from_secs(1));
    for _ in 0..5 {
        net.client_sends(client, b"GET k\r\n").unwrap();
        assert_eq!(net.to_server.borrow().len(), 1, "the request, with the acknowledgement of the last reply");
        net.server.poll(net.now);
        assert_eq!(net.to_client.borrow().len(), 0, "the acknowledgement waits for the reply");
        net.server_reads(server).unwrap();
        net.server_sends(server, b"$1\r\nv\r\n").unwrap();
        assert_eq!(net.to_client.borrow().len(), 1);
        net.client.poll(net.now);
        net.client_reads(client).unwrap();
    }
}

#[test]
fn a_peek_takes_nothing_away() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    net.client_sends(client, b"abc").unwrap();
    net.run();
    let mut two = [0; 2];
    for _ in 0..2 {
        assert_eq!(net.server.receive(server, [&mut two[..]].into_iter(), true, net.now), Ok(2));
        assert_eq!(&two, b"ab");
    }
    assert_eq!(net.server_reads(server).unwrap(), b"abc");
}

#[test]
fn vectored_calls_fill_and_send_every_part() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    assert_eq!(net.client.send(client, [&b"ab"[..], b"", b"cde"].into_iter(), net.now), Ok(5));
    net.run();
    let (mut one, mut rest) = ([0; 1], [0; 9]);
    assert_eq!(net.server.receive(server, [&mut one[..], &mut rest[..]].into_iter(), false, net.now), Ok(5));
    assert_eq!((&one, &rest[..4]), (b"a", &b"bcde"[..]));
}

#[test]
fn two_hundred_clients_at_once_are_accepted_without_a_retransmission() {
    let mut net = Net::new();
    let (listener, ready) = net.listen();
    // The server knows its neighbour, as any machine that has just answered its question.
    let clients: Vec<_> = (0..200).map(|_| net.connect()).collect();
    net.run();
    assert_eq!(ready.ready(), Ready::IN);
    let mut servers = Vec::new();
    while let Ok((id, _, _)) = net.server.accept(listener) {
        servers.push(id);
    }
    assert_eq!(servers.len(), 200, "all of them, with no time passed");
    assert_eq!(ready.ready(), Ready::empty());
    for (at, (client, ready)) in clients.iter().enumerate() {
        assert_eq!(ready.ready(), Ready::OUT);
        net.client_sends(*client, &[at as u8]).unwrap();
    }
    net.run();
    let mut heard: Vec<u8> = servers.iter().map(|&id| net.server_reads(id).unwrap()[0]).collect();
    heard.sort_unstable();
    assert_eq!(heard, (0..200).collect::<Vec<u8>>());
}

#[test]
fn a_thousand_connections_fit() {
    let mut net = Net::new();
    let (listener, _) = net.listen();
    let mut servers = Vec::new();
    for _ in 0..1024 {
        net.connect();
        net.run();
        servers.push(net.server.accept(listener).unwrap().0);
    }
    assert_eq!(net.server.connections(), 1024);
    for id in servers {
        net.server_sends(id, b"x").unwrap();
    }
    net.run();
}

#[test]
fn half_close_sends_what_was_queued_and_reading_goes_on() {
    let mut net = Net::new();
    let ((server, ready), (client, client_ready)) = net.connected();
    net.client_sends(client, b"last words").unwrap();
    net.client.shutdown(client, Shutdown { read: false, write: true }, net.now).unwrap();
    assert_eq!(net.client_sends(client, b"more"), Err(Error::BrokenPipe));
    net.run();
    assert!(ready.ready().contains(Ready::IN | Ready::RDHUP | Ready::OUT) && !ready.ready().contains(Ready::HUP));
    assert_eq!(net.server_reads(server).unwrap(), b"last words");
    assert_eq!(net.server_reads(server).unwrap(), b"", "the end of the data");
    net.server_sends(server, b"an answer").unwrap();
    net.run();
    assert_eq!(net.client_reads(client).unwrap(), b"an answer");
    net.server.close(server, Linger::Background, net.now);
    net.run();
    assert_eq!(net.client_reads(client).unwrap(), b"");
    assert!(client_ready.ready().contains(Ready::HUP));
    net.client.close(client, Linger::Background, net.now);
    net.pass(Duration::from_secs(30));
    assert_eq!((net.server.connections(), net.client.connections()), (0, 0));
}

#[test]
fn unread_data_outlives_time_wait() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    net.client.shutdown(client, Shutdown { read: false, write: true }, net.now).unwrap();
    net.run();
    net.server_sends(server, b"late").unwrap();
    net.server.shutdown(server, Shutdown { read: false, write: true }, net.now).unwrap();
    net.run();
    net.pass(Duration::from_secs(60));
    assert_eq!(net.client_reads(client).unwrap(), b"late");
    assert_eq!(net.client_reads(client).unwrap(), b"");
}

fn bulk(loses: fn(u64) -> bool) {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    net.server.device().unwrap().device().loses = loses;
    net.client.device().unwrap().device().loses = loses;
    let data: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (mut sent, mut got) = (0, Vec::new());
    let mut waited = 0;
    while got.len() < data.len() {
        let before = (sent, got.len());
        if sent < data.len() {
            sent += net.server_sends(server, &data[sent..]).unwrap_or(0);
        }
        net.run();
        while let Ok(bytes) = net.client_reads(client) {
            got.extend(bytes);
        }
        net.run();
        if before == (sent, got.len()) {
            waited += 1;
            assert!(waited < 1000, "no progress at {} of {}", got.len(), data.len());
            net.pass(Duration::from_millis(100));
        }
    }
    assert_eq!(sent, data.len());
    assert!(got == data);
}

#[test]
fn a_large_transfer_arrives_whole() {
    bulk(|_| false);
}

#[test]
fn a_large_transfer_over_a_lossy_wire_arrives_whole() {
    bulk(|n| n % 97 == 3);
}

#[test]
fn a_full_device_delays_but_loses_nothing() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = net.connected();
    let data = vec![42; 40_000];
    // The congestion window opens first.
    assert_eq!(net.server_sends(server, &data), Ok(data.len()));
    net.pass(Duration::from_millis(50));
    net.client_reads(client).unwrap();
    net.server.device().unwrap().device().capacity = 2;
    assert_eq!(net.server_sends(server, &data), Ok(data.len()));
    assert_eq!(net.to_client.borrow().len(), 2);
    assert!(!net.server.poll(net.now), "it waits for the device");
    let mut got = 0;
    while got < data.len() {
        net.client.poll(net.now);
        got += net.client_reads(client).map_or(0, |bytes| bytes.len());
        net.client.poll(net.now);
        net.server.poll(net.now);
        net.now += Duration::from_millis(5);
    }
}

#[test]
fn nagle_waits_for_the_acknowledgement_unless_told_not_to() {
    let mut net = Net::new();
    let ((server, _), _) = net.connected();
    for nodelay in [false, true] {
        net.pass(Duration::from_secs(1));
        net.server.set_nodelay(server, nodelay, net.now).unwrap();
        net.server_sends(server, b"one").unwrap();
        net.server_sends(server, b"two").unwrap();
        assert_eq!(net.to_client.borrow().len(), if nodelay { 2 } else { 1 });
        net.run();
    }
}

#[test]
fn a_machine_talks_to_itself() {
    let mut net = Net::new();
    let (listener, ready) = net.listen();
    for address in [IpAddress::v4(127, 0, 0, 1), IpAddress::Ipv4(SERVER)] {
        let signal = Arc::new(Seen::default());
        let client =
            net.server.connect(IpEndpoint::new(address, PORT), None, BufferSizes::default(), signal, net.now).unwrap();
        net.run();
        assert_eq!(ready.ready(), Ready::IN);
        let (server, _, tuple) = net.server.accept(listener).unwrap();
        assert_eq!(tuple.local.addr, address);
        net.server_sends(client, b"hello").unwrap();
        net.run();
        assert_eq!(net.server_reads(server).unwrap(), b"hello");
        assert!(net.to_client.borrow().is_empty(), "nothing of it is on the wire");
    }
}

#[test]
fn a_port_belongs_to_one_listener() {
    let mut net = Net::new();
    let (listener, _) = net.listen();
    let again = || Arc::new(Seen::default());
    assert_eq!(net.server.listen(place(PORT), 1, BufferSizes::default(), again()), Err(Error::AddressInUse));
    let foreign = at(IpAddress::Ipv4(CLIENT), 80);
    assert_eq!(net.server.listen(foreign, 1, BufferSizes::default(), again()), Err(Error::AddressNotAvailable));
    net.server.unlisten(listener, net.now);
    let any = net.server.listen(place(0), 1, BufferSizes::default(), again()).unwrap();
    assert!(net.server.listening_at(any).unwrap().port >= 49152);
    net.server.listen(place(PORT), 1, BufferSizes::default(), again()).unwrap();
}
