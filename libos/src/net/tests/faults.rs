//! Streams over a wire that loses, repeats and delays.

use alloc::vec::Vec;

use smoltcp::time::Duration;

use super::Net;
use crate::net::fault_injector::{FaultCounts, LinkFaults};
use crate::net::stack::Shutdown;

/// Bytes that differ from place to place and from seed to seed.
fn data(length: u32, seed: u32) -> Vec<u8> {
    (0..length).map(|at| ((at ^ seed << 20).wrapping_mul(0x9e37_79b9) >> 24) as u8).collect()
}

/// Both ends send all of `lengths`, close their halves, and read to the end. Returns what the wire did meanwhile.
fn exchange(faults: LinkFaults, lengths: [u32; 2]) -> FaultCounts {
    let mut net = Net::over(faults);
    let (listener, _) = net.listen();
    let (client, _) = net.connect();
    let server = loop {
        net.pass(Duration::from_millis(100));
        if let Ok((id, ..)) = net.server.accept(listener) {
            break id;
        }
        assert!(net.now.secs() < 60, "no handshake");
    };
    let sent = [data(lengths[0], 1), data(lengths[1], 2)];
    let (mut at, mut closed, mut ended) = ([0, 0], [false, false], [false, false]);
    let mut got = [Vec::new(), Vec::new()];
    while ended != [true, true] {
        for (end, id) in [server, client].into_iter().enumerate() {
            let stack = if end == 0 { &mut net.server } else { &mut net.client };
            if at[end] < sent[end].len() {
                at[end] += stack.send(id, [&sent[end][at[end]..]].into_iter(), net.now).unwrap_or(0);
            } else if !closed[end] {
                closed[end] = stack.shutdown(id, Shutdown { read: false, write: true }, net.now).is_ok();
            }
            if !ended[end] {
                match super::read(stack, id, net.now) {
                    Ok(bytes) if bytes.is_empty() => ended[end] = true,
                    Ok(bytes) => got[end].extend(bytes),
                    Err(_) => {}
                }
            }
        }
        net.pass(Duration::from_millis(20));
        assert!(net.now.secs() < 3600, "stuck at {at:?} of {lengths:?}, {ended:?}");
    }
    for (got, sent) in got.iter().zip(sent.iter().rev()) {
        let differ = got.iter().zip(sent).position(|(got, sent)| got != sent);
        assert_eq!((got.len(), differ), (sent.len(), None), "other bytes arrived than were sent");
    }
    // What is left winds up by itself.
    let now = net.now;
    net.server.close(server, crate::net::stack::Linger::Background, now);
    net.client.close(client, crate::net::stack::Linger::Background, now);
    net.pass(Duration::from_secs(120));
    assert_eq!((net.server.connections(), net.client.connections()), (0, 0));
    net.server.device().unwrap().counts()
}

#[test]
fn both_ends_retransmit_and_still_learn_what_the_other_has_got() {
    exchange(LinkFaults { drop: 7, duplicate: 9, reorder: 152, seed: 1299804988759098718 }, [12269, 4381]);
}

#[test]
fn an_end_that_was_lost_alone_is_sent_again() {
    exchange(LinkFaults { drop: 0, duplicate: 84, reorder: 216, seed: 15084081842150721234 }, [19050, 55481]);
}

#[test]
fn a_stream_arrives_whole_whatever_the_wire_does() {
    let counts = exchange(LinkFaults { drop: 50, duplicate: 20, reorder: 50, seed: 1 }, [400_000, 300_000]);
    assert!(counts.dropped > 10 && counts.duplicated > 5 && counts.delayed > 5, "{counts:?}");
}

/// The seeds are fixed: among ever new ones there would be one day one that loses each try to send a segment until the
/// peer is given up, as it then has to be.
#[test]
fn no_fault_loses_or_invents_a_byte() {
    for seed in 0u64..if cfg!(miri) { 1 } else { 100 } {
        let below =
            |end: u64, salt: u64| ((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ salt) >> 32 & 0xffff_ffff) % end;
        let faults = LinkFaults {
            drop: below(40, 2) as u16,
            duplicate: below(100, 4) as u16,
            reorder: below(300, 6) as u16,
            seed,
        };
        exchange(faults, [below(60_000, 8) as u32, below(60_000, 10) as u32]);
    }
}
