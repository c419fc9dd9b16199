//! The fast path does what smoltcp would do, and gives back what is odd.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use smoltcp::time::Duration;

use super::*;
use crate::net::stack::{Linger, Shutdown};
use crate::net::tcp::settings::KeepAlive;

/// A connection that is up and has carried enough requests and replies to be on the fast path, if it may be.
fn calm(net: &mut Net, fast: bool) -> ((Id, Arc<Seen>), (Id, Arc<Seen>)) {
    let ((server, server_seen), (client, client_seen)) = net.connected();
    if !fast {
        net.server.tcp().keep_from_fast_path(server);
    }
    net.client.tcp().keep_from_fast_path(client);
    for _ in 0..20 {
        exchange(net, server, client);
    }
    assert_eq!(net.server.tcp().is_fast(server), fast);
    ((server, server_seen), (client, client_seen))
}

/// A request and its reply.
fn exchange(net: &mut Net, server: Id, client: Id) {
    net.client_sends(client, b"GET k\r\n").unwrap();
    net.run();
    assert_eq!(net.server_reads(server).unwrap(), b"GET k\r\n");
    net.server_sends(server, b"$1\r\nv\r\n").unwrap();
    net.run();
    assert_eq!(net.client_reads(client).unwrap(), b"$1\r\nv\r\n");
}

/// What happens on a connection.
#[derive(Clone, Debug)]
enum Step {
    ClientSends(usize),
    ServerSends(usize),
    ServerReads(usize),
    ClientReads,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..1400usize).prop_map(Step::ClientSends),
        4 => (1..600usize).prop_map(Step::ServerSends),
        4 => (1..3000usize).prop_map(Step::ServerReads),
        2 => Just(Step::ClientReads),
        2 => (1..60u64).prop_map(Step::Pass),
    ]
}

/// Lets both sides talk, and keeps what the server says.
fn listen_in(net: &mut Net, said: &mut Vec<Vec<u8>>) {
    loop {
        let more = net.server.poll(net.now);
        said.extend(net.to_client.borrow().iter().cloned());
        let more = more | net.client.poll(net.now);
        if !more && net.to_server.borrow().is_empty() && net.to_client.borrow().is_empty() {
            return;
        }
    }
}

/// What the server sends, and what both programs receive, in these steps.
fn history(fast: bool, nodelay: bool, steps: &[Step]) -> (Vec<Vec<u8>>, Vec<u8>, Vec<u8>) {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, fast);
    net.server.set_nodelay(server, nodelay, net.now).unwrap();
    for _ in 0..80 {
        exchange(&mut net, server, client);
    }
    assert_eq!(net.server.tcp().is_fast(server), fast);
    let (mut said, mut to_server, mut to_client) = (Vec::new(), Vec::new(), Vec::new());
    let mut number = 0u8;
    let mut bytes = |len: usize| -> Vec<u8> {
        number = number.wrapping_add(1);
        vec![number; len]
    };
    for step in steps {
        match step {
            Step::ClientSends(len) => _ = net.client_sends(client, &bytes(*len)),
            Step::ServerSends(len) => _ = net.server_sends(server, &bytes(*len)),
            Step::ServerReads(len) => {
                let mut into = vec![0; *len];
                let read = net.server.receive(server, [&mut into[..]].into_iter(), false, net.now).unwrap_or(0);
                to_server.extend_from_slice(&into[..read]);
            }
            Step::ClientReads => to_client.extend(net.client_reads(client).unwrap_or_default()),
            Step::Pass(time) => {
                let end = net.now + Duration::from_millis(*time);
                while let Some(at) = net.server.next_deadline().into_iter().chain(net.client.next_deadline()).min()
                    && at < end
                {
                    net.now = at.max(net.now + Duration::from_micros(100));
                    listen_in(&mut net, &mut said);
                }
                net.now = end;
            }
        }
        listen_in(&mut net, &mut said);
    }
    (said, to_server, to_client)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_sends_the_frames_that_smoltcp_would_send(
        nodelay in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        prop_assert_eq!(history(true, nodelay, &steps), history(false, nodelay, &steps));
    }
}

#[test]
fn an_end_of_data_comes_after_the_data_and_smoltcp_goes_on() {
    let mut net = Net::new();
    let ((server, ready), (client, _)) = calm(&mut net, true);
    net.client_sends(client, b"last").unwrap();
    net.client.shutdown(client, Shutdown { read: false, write: true }, net.now).unwrap();
    net.run();
    assert!(!net.server.tcp().is_fast(server) && ready.ready().contains(Ready::RDHUP));
    assert_eq!(net.server_reads(server).unwrap(), b"last");
    assert_eq!(net.server_reads(server).unwrap(), b"");
    net.server_sends(server, b"bye").unwrap();
    net.server.close(server, Linger::Background, net.now);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.client_reads(client).unwrap(), b"bye");
    assert_eq!(net.client_reads(client).unwrap(), b"");
    assert_eq!(net.server.connections(), 0);
}

#[test]
fn what_is_under_way_when_it_is_closed_arrives() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    net.server_sends(server, &[7; 5000]).unwrap();
    net.server.close(server, Linger::Background, net.now);
    net.pass(Duration::from_secs(3));
    assert_eq!(net.client_reads(client).unwrap(), vec![7; 5000]);
    assert_eq!(net.client_reads(client).unwrap(), b"");
}

#[test]
fn what_has_come_is_acknowledged_though_smoltcp_takes_over() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    net.pass(Duration::from_secs(1));
    net.server_sends(server, b"under way").unwrap();
    net.client_sends(client, b"request").unwrap();
    net.server.poll(net.now);
    net.server.set_hop_limit(server, 65, net.now).unwrap();
    assert!(!net.server.tcp().is_fast(server));
    net.pass(Duration::from_millis(100));
    assert_eq!(net.client.undelivered().0, 0, "its request is acknowledged before it is sent again");
}

#[test]
fn what_has_come_is_acknowledged_before_what_is_odd() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    net.pass(Duration::from_secs(1));
    net.client_sends(client, b"old").unwrap();
    let old = net.to_server.borrow()[0].clone();
    net.run();
    net.server_reads(server).unwrap();
    net.pass(Duration::from_secs(1));
    net.server_sends(server, b"under way").unwrap();
    net.client_sends(client, b"request").unwrap();
    net.server.poll(net.now);
    assert_eq!(net.server_reads(server).unwrap(), b"request");
    net.to_server.borrow_mut().push_back(old);
    net.server.poll(net.now);
    assert!(!net.server.tcp().is_fast(server));
    assert_eq!(net.to_client.borrow().len(), 2, "a reply, and one acknowledgement");
    net.pass(Duration::from_millis(100));
    assert_eq!(net.client.undelivered().0, 0, "its request is acknowledged before it is sent again");
    assert_eq!(net.client_reads(client).unwrap(), b"under way");
}

#[test]
fn a_lost_segment_is_sent_again() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    net.pass(Duration::from_secs(1));
    net.server_sends(server, b"lost").unwrap();
    assert_eq!(net.to_client.borrow_mut().drain(..).count(), 1);
    net.pass(Duration::from_millis(900));
    assert!(net.server.tcp().is_fast(server));
    net.pass(Duration::from_millis(200));
    assert!(!net.server.tcp().is_fast(server));
    assert_eq!(net.client_reads(client).unwrap(), b"lost");
    for _ in 0..70 {
        exchange(&mut net, server, client);
    }
    assert!(net.server.tcp().is_fast(server), "it has been calm again");
}

#[test]
fn the_first_of_many_lost_is_sent_again_at_the_third_duplicate() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    net.server_sends(server, &[1; 9000]).unwrap();
    net.to_client.borrow_mut().pop_front().unwrap();
    net.run();
    assert_eq!(net.client_reads(client).unwrap(), vec![1; 9000], "no time has passed");
}

/// As a network pads frames that are shorter than Ethernet's least.
#[test]
fn what_pads_a_frame_is_no_data() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    for fast in [true, false] {
        if !fast {
            net.server.set_keep_alive(server, KeepAlive::default(), net.now).unwrap();
            net.server.tcp().keep_from_fast_path(server);
        }
        for _ in 0..3 {
            net.pass(Duration::from_secs(1));
            net.client_sends(client, b"x").unwrap();
            net.to_server.borrow_mut()[0].resize(60, 0x55);
            net.server.poll(net.now);
            assert_eq!(net.server_reads(server).unwrap(), b"x");
            net.server_sends(server, b"y").unwrap();
            net.client.poll(net.now);
            net.client_reads(client).unwrap();
            net.pass(Duration::from_millis(30));
            net.now += Duration::from_millis(15);
            net.client.poll(net.now);
            net.to_server.borrow_mut()[0].resize(60, 0x55);
            net.server.poll(net.now);
            assert_eq!(net.server_reads(server), Err(Error::WouldBlock));
        }
        assert_eq!(net.server.tcp().is_fast(server), fast);
    }
}

#[test]
fn segments_out_of_order_are_smoltcps() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    net.client.set_nodelay(client, true, net.now).unwrap();
    for bytes in [b"one", b"two"] {
        net.client_sends(client, bytes).unwrap();
    }
    net.to_server.borrow_mut().make_contiguous().reverse();
    net.run();
    assert_eq!(net.server_reads(server).unwrap(), b"onetwo");
}

#[test]
fn a_reader_that_pauses_loses_nothing() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    let sent: Vec<u8> = (0..600_000u32).map(|n| (n / 7) as u8).collect();
    let (mut from, mut read) = (0, Vec::new());
    while read.len() < sent.len() {
        from += net.client_sends(client, &sent[from..]).unwrap_or(0);
        net.pass(Duration::from_millis(300));
        for _ in 0..3 {
            let mut some = vec![0; 20_000];
            let len = net.server.receive(server, [&mut some[..]].into_iter(), false, net.now).unwrap_or(0);
            read.extend_from_slice(&some[..len]);
        }
        net.run();
    }
    assert_eq!(read, sent);
}

#[test]
fn more_than_the_buffers_hold_is_sent_as_fast_as_it_is_read() {
    let mut net = Net::new();
    let ((server, ready), (client, _)) = calm(&mut net, true);
    let sent: Vec<u8> = (0..600_000u32).map(|n| (n / 5) as u8).collect();
    let (mut from, mut read) = (0, Vec::new());
    while read.len() < sent.len() {
        if ready.ready().contains(Ready::OUT) && from < sent.len() {
            from += net.server_sends(server, &sent[from..]).unwrap();
        }
        net.run();
        read.extend(net.client_reads(client).unwrap_or_default());
        net.run();
    }
    assert_eq!(read, sent);
    assert!(net.server.tcp().is_fast(server), "nothing odd has happened");
}

#[test]
fn an_idle_peer_is_asked_and_a_silent_one_is_given_up() {
    let mut net = Net::new();
    let ((server, _), _) = calm(&mut net, true);
    net.pass(Duration::from_secs(3600));
    assert!(net.server.tcp().is_fast(server), "it has answered each time");
    net.cut();
    net.pass(Duration::from_secs(230));
    assert!(net.server.has_peer(server));
    net.pass(Duration::from_secs(80));
    assert_eq!(net.server_reads(server), Err(Error::TimedOut));
}

#[test]
fn a_reset_ends_it_and_a_guessed_one_does_not() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    net.client.close(client, Linger::Reset, net.now);
    let reset = net.to_server.borrow().back().unwrap().clone();
    let mut guessed = reset.clone();
    // The sequence number, a little further on, and what it takes from the checksum.
    let number = u32::from_be_bytes(guessed[38..42].try_into().unwrap()).wrapping_add(1);
    guessed[38..42].copy_from_slice(&number.to_be_bytes());
    let mut segment = smoltcp::wire::TcpPacket::new_unchecked(&mut guessed[34..]);
    segment.fill_checksum(&IpAddress::Ipv4(CLIENT), &IpAddress::Ipv4(SERVER));
    *net.to_server.borrow_mut() = [guessed].into();
    net.server.poll(net.now);
    assert!(net.server.has_peer(server));
    net.to_server.borrow_mut().push_back(reset);
    net.run();
    assert_eq!(net.server_reads(server), Err(Error::Reset));
}

#[test]
fn a_reset_is_believed_whatever_was_under_way() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    net.pass(Duration::from_secs(1));
    net.server_sends(server, b"under way").unwrap();
    net.client.poll(net.now);
    net.server.close(server, Linger::Reset, net.now);
    net.run();
    assert_eq!(net.client_reads(client).unwrap(), b"under way");
    assert_eq!(net.client_reads(client), Err(Error::Reset));
}

#[test]
fn a_frame_with_a_wrong_checksum_is_lost() {
    let mut net = Net::new();
    let ((server, _), (client, _)) = calm(&mut net, true);
    for at in [25, 56] {
        net.client_sends(client, b"abc").unwrap();
        net.to_server.borrow_mut()[0][at] ^= 1;
        net.server.poll(net.now);
        assert_eq!(net.server_reads(server), Err(Error::WouldBlock));
        net.pass(Duration::from_secs(2));
        assert_eq!(net.server_reads(server).unwrap(), b"abc");
    }
}
