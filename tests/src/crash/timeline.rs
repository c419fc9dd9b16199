//! At which event of a trace each operation was acknowledged.
//!
//! A reply counts as given at the moment at which the program hands it to the system's `write` or `sendto`: that is in
//! the trace, with its bytes. Nothing earlier could be an acknowledgement, for the bytes were only in the program's
//! memory; nothing later is needed, for from then on nothing holds them back. So a reply that overtakes a fence is
//! found however briefly, whenever the network carries it. (The doorbell of the network card would be no such moment: a
//! device that is still busy takes new buffers without one. When the client sees the reply, the fence is long past.)
//!
//! What binds this to the clients' own record is that both are the same bytes: each client has received exactly the
//! answers that it expects, and for each connection the trace must have exactly these, in order.

use std::collections::BTreeMap;
use std::fmt;

use holdfast_trace::format::Event;

use crate::crash::load::Life;
use crate::crash::record::greeting;

/// An acknowledgement: behind the event of this position, for this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The event by which the reply was handed over. A power cut at any later position finds it given.
    pub event: usize,
    /// Whose next operation it is for.
    pub client: usize,
}

/// The trace has not what the clients received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch(String);

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

/// What a descriptor is.
enum Stream {
    /// The connection of a client, with the lengths of the answers that are to come, the next one first, and how much
    /// of it came.
    Client { number: usize, answers: std::vec::IntoIter<Vec<u8>>, rest: Vec<u8> },
    /// None of the load's.
    Other,
}

/// Finds every acknowledgement of a life in its trace.
///
/// # Errors
/// When the trace has other replies than the clients received.
pub fn acknowledgements(number: usize, life: &Life, trace: &[Event]) -> Result<Vec<Acknowledgement>, Mismatch> {
    let clients = life.phases.first().map_or(0, |phase| phase.clients.len());
    let mut streams: BTreeMap<u64, Stream> = BTreeMap::new();
    let mut found = Vec::new();
    for (event, sent) in trace.iter().enumerate() {
        let Event::Send { descriptor, bytes } = sent else { continue };
        // A greeting begins a connection, whatever the descriptor was before.
        if let Some(client) = (0..clients).find(|&client| *bytes == greeting(number, client)) {
            let of_client = life.phases.iter().flat_map(|phase| &phase.clients[client]).flatten();
            let answers: Vec<_> = of_client.map(|operation| operation.reply()).collect();
            let stream = Stream::Client { number: client, answers: answers.into_iter(), rest: Vec::new() };
            streams.insert(*descriptor, stream);
            continue;
        }
        let Stream::Client { number: client, answers, rest } = streams.entry(*descriptor).or_insert(Stream::Other)
        else {
            continue;
        };
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            if rest.is_empty() {
                *rest = answers.next().unwrap_or_default();
            }
            let length = rest.len().min(bytes.len());
            let (now, later) = bytes.split_at(length);
            if length == 0 || *now != rest[..length] {
                let bytes = String::from_utf8_lossy(bytes);
                return Err(Mismatch(format!(
                    "at event {event} of boot {number} the guest sends {bytes:?} to client {client}, which did not receive that"
                )));
            }
            rest.drain(..length);
            bytes = later;
            if rest.is_empty() {
                found.push(Acknowledgement { event, client: *client });
            }
        }
    }
    let expected: usize = life.phases.iter().flat_map(|phase| &phase.clients).flatten().map(Vec::len).sum();
    if found.len() != expected {
        return Err(Mismatch(format!(
            "in boot {number} the clients received {expected} replies, and the trace has {}",
            found.len()
        )));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::load::{Operation, Phase};

    fn send(descriptor: u64, bytes: &[u8]) -> Event {
        Event::Send { descriptor, bytes: bytes.to_vec() }
    }

    fn life() -> Life {
        let set = |key: &str| Operation::Set(key.into(), Vec::new(), None);
        let first = vec![vec![set("0:a"), Operation::Delete(vec!["0:a".into()], 1)], vec![set("0:b")]];
        Life { phases: vec![Phase { clients: vec![first, vec![vec![set("1:a")]]] }] }
    }

    #[test]
    fn replies_are_told_by_their_connections_however_they_are_divided() {
        let fence = Event::Fence { rip: 0 };
        let trace = [
            send(3, b"unrelated"),
            send(5, &greeting(0, 1)),
            send(3, &greeting(0, 0)),
            fence.clone(),
            send(3, b"+OK\r\n:"),
            send(5, b"+OK\r\n"),
            fence,
            send(3, b"1\r\n+OK\r\n"),
        ];
        let found: Vec<_> =
            acknowledgements(0, &life(), &trace).unwrap().iter().map(|found| (found.event, found.client)).collect();
        assert_eq!(found, [(4, 0), (5, 1), (7, 0), (7, 0)]);
    }

    #[test]
    fn replies_that_no_client_received_and_missing_ones_are_refused() {
        let begin = [send(3, &greeting(0, 0)), send(4, &greeting(0, 1))];
        for rest in [
            &[send(3, b"-ERR\r\n")][..],
            &[send(3, b"+OK\r\n:1\r\n+OK\r\n")],
            &[send(3, b"+OK\r\n:1\r\n+OK\r\n+OK\r\n"), send(4, b"+OK\r\n")],
        ] {
            let trace: Vec<_> = begin.iter().chain(rest).cloned().collect();
            assert!(acknowledgements(0, &life(), &trace).is_err(), "{rest:?}");
        }
    }
}
