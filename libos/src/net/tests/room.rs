//! How many connections fit, what they are told beyond that, and buffers that follow their use.

use std::vec;

use smoltcp::time::Duration;

use super::*;
use crate::net::stack::Linger;
use crate::net::tcp::connection::LEAST_BUFFER;

const MIB: usize = 1 << 20;

/// A server of small memory, and this many connections to it: the server's ends and the client's.
fn crowd(net: &mut Net, count: usize) -> (Id, Vec<(Id, Id)>) {
    let (listener, _) = net.listen();
    let ends = (0..count).map(|_| {
        let (client, _) = net.connect();
        net.run();
        (net.server.accept(listener).unwrap().0, client)
    });
    (listener, ends.collect())
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + seed) as u8).collect()
}

/// Sends `up` to the server and `down` to the client at the same time, and fails unless they arrive.
fn exchange(net: &mut Net, (server, client): (Id, Id), up: &[u8], down: &[u8]) {
    let (mut sent, mut got) = ([0, 0], [Vec::new(), Vec::new()]);
    for _ in 0..10_000 {
        let now = net.now;
        if let Ok(count) = net.client.send(client, [&up[sent[0]..]].into_iter(), now) {
            sent[0] += count;
        }
        if let Ok(count) = net.server.send(server, [&down[sent[1]..]].into_iter(), now) {
            sent[1] += count;
        }
        net.pass(Duration::from_millis(20));
        while let Ok(bytes) = net.server_reads(server)
            && !bytes.is_empty()
        {
            got[0].extend(bytes);
        }
        while let Ok(bytes) = net.client_reads(client)
            && !bytes.is_empty()
        {
            got[1].extend(bytes);
        }
        if got[0].len() >= up.len() && got[1].len() >= down.len() {
            break;
        }
    }
    assert!(got[0] == up, "{} of {} bytes up", got[0].len(), up.len());
    assert!(got[1] == down, "{} of {} bytes down", got[1].len(), down.len());
}

/// Another one would have been ignored in silence, for as long as its patience lasts.
#[test]
fn a_connection_beyond_the_limit_is_refused_by_a_reset_and_counted() {
    let mut net = Net::with_budget(MIB);
    let limit = net.server.counts().limit;
    let (listener, ends) = crowd(&mut net, limit);
    assert_eq!((net.server.counts().connections, net.server.counts().refused), (limit, 0));
    for refused in 1..=3 {
        let (client, _) = net.connect();
        net.run();
        assert_eq!(net.client.take_error(client), Some(Error::Refused));
        assert_eq!(net.server.counts().refused, refused);
    }
    // All the others work, and who leaves makes room.
    for &(server, client) in &ends {
        exchange(&mut net, (server, client), b"question", b"answer");
    }
    net.server.close(ends[0].0, Linger::Reset, net.now);
    let (_, ready) = net.connect();
    net.run();
    assert_eq!(ready.ready(), Ready::OUT);
    assert!(net.server.accept(listener).is_ok());
    assert!(net.server.counts().buffered <= MIB);
}

/// 687 connections used to fit where 16 MB were for them, and 2,895 where 66 MB were.
#[test]
fn many_more_idle_connections_fit_than_with_buffers_that_never_shrink() {
    for (budget, before) in [(15_700_000, 687), (66_000_000, 2895)] {
        let limit = Net::with_budget(budget).server.counts().limit;
        assert!(limit >= 3 * before, "{limit} instead of {before}");
    }
}

#[test]
fn buffers_of_connections_that_rest_shrink_for_those_that_work() {
    let mut net = Net::with_budget(2 * MIB);
    let (_, ends) = crowd(&mut net, 300);
    let (first, last) = (ends[0].0, ends[299].0);
    assert!(net.server.capacities(first).unwrap().0 >= 64 * 1024, "there was room for it");
    assert_eq!(net.server.capacities(last).unwrap(), (LEAST_BUFFER, LEAST_BUFFER));
    net.pass(Duration::from_secs(1));
    for round in 0..3 {
        for &end in &ends {
            exchange(&mut net, end, &pattern(30_000, round), &pattern(20_000, round + 1));
            assert!(net.server.capacities(end.0).unwrap().0 > LEAST_BUFFER);
            assert!(net.server.counts().buffered <= 2 * MIB);
        }
    }
    // Most of them rest again, and have given back what they had.
    let least = ends.iter().filter(|end| net.server.capacities(end.0).unwrap().0 == LEAST_BUFFER).count();
    assert!((50..300).contains(&least), "{least}");
    // One that works alone gets what there is.
    for &(server, _) in &ends[1..] {
        net.server.close(server, Linger::Reset, net.now);
    }
    exchange(&mut net, ends[0], &pattern(100_000, 5), &pattern(100_000, 6));
    assert_eq!(net.server.capacities(first).unwrap(), (64 * 1024, 64 * 1024));
}

/// What the peer still believes that there is room for, comes at once.
#[test]
fn a_burst_to_a_connection_that_has_rested_is_not_lost() {
    let mut net = Net::with_budget(2 * MIB);
    let (_, ends) = crowd(&mut net, 150);
    net.pass(Duration::from_secs(1));
    for &end in &ends {
        exchange(&mut net, end, b"wake", b"up");
        let before = net.client.device().unwrap().device().sent;
        exchange(&mut net, end, &pattern(20_000, 3), b"");
        let frames = net.client.device().unwrap().device().sent - before;
        assert!(frames < 40, "{frames} frames for 14 segments");
    }
}

#[test]
fn streams_of_a_megabyte_survive_every_change_of_buffers_on_a_lossy_link() {
    for seed in 0..4 {
        let faults = std::format!("drop:30,duplicate:20,reorder:50,seed:{seed}").parse().unwrap();
        let mut net = Net::made(MIB, Some(faults));
        let (listener, _) = net.listen();
        let mut ends = Vec::new();
        for _ in 0..60 {
            let (client, _) = net.connect();
            net.pass(Duration::from_secs(10));
            ends.push((net.server.accept(listener).unwrap().0, client));
        }
        for (round, len) in [500, 3_000, 40_000, 200_000].into_iter().enumerate() {
            for (number, &end) in ends.iter().enumerate().skip(round).step_by(7) {
                exchange(&mut net, end, &pattern(len, number), &pattern(len / 2 + number, number + 1));
            }
        }
        let ((server, client), whole) = (ends[1], pattern(MIB, seed));
        exchange(&mut net, (server, client), &whole, &whole);
        // And they end as others do.
        net.client.close(client, Linger::Background, net.now);
        net.pass(Duration::from_secs(30));
        assert_eq!(net.server_reads(server).unwrap(), b"");
    }
}

/// Its numbers are translated by then, in every kind of segment.
#[test]
fn a_changed_connection_keeps_alive_and_ends_in_every_way() {
    for way in 0..4 {
        let mut net = Net::with_budget(MIB / 2);
        let (_, ends) = crowd(&mut net, 50);
        for &end in &ends {
            exchange(&mut net, end, &pattern(5_000, 1), &pattern(5_000, 2));
        }
        net.pass(Duration::from_secs(600));
        let (server, client) = ends[7];
        exchange(&mut net, (server, client), b"still", b"here");
        match way {
            0 => net.server.close(server, Linger::Reset, net.now),
            1 => net.server.close(server, Linger::Background, net.now),
            2 => net.client.close(client, Linger::Reset, net.now),
            _ => net.client.close(client, Linger::Background, net.now),
        }
        net.run();
        let seen = if way < 2 { net.client_reads(client) } else { net.server_reads(server) };
        assert_eq!(seen, if way % 2 == 0 { Err(Error::Reset) } else { Ok(vec![]) }, "{way}");
        net.cut();
        net.pass(Duration::from_secs(600));
        assert_eq!(net.server_reads(ends[9].0), Err(Error::TimedOut), "a peer that is gone is noticed");
    }
}
