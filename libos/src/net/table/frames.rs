//! Received frames: each goes to the connection, listener or UDP sockets that it is for.

use alloc::vec::Vec;

use smoltcp::iface::{Interface, SocketSet};
use smoltcp::phy::{Medium, TxToken};
use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, IpProtocol, Ipv6Address};

use super::Table;
use crate::io::Signal;
use crate::net::challenge::Verdict;
use crate::net::connection::{Cause, Connection, Owner};
use crate::net::error::Error;
use crate::net::frame::{self, Kind, Tuple};
use crate::net::link::{Via, inject};
use crate::net::sequence::{Noting, payload_len};
use crate::net::slab::Id;

/// A received frame and where it came in.
pub struct Arrival<'a> {
    pub frame: &'a [u8],
    pub via: Via,
    pub medium: Medium,
    pub mac: EthernetAddress,
    /// The device has not checked the checksums.
    pub verify: bool,
    /// It is longer than the link's frames: several segments, which the device has put together.
    pub combined: bool,
    pub now: Instant,
}

/// Whether a datagram to `address` is for more than one receiver: a group, or everyone on the link.
fn is_for_many(interface: &Interface, address: IpAddress) -> bool {
    let is_for_all =
        |cidr: &IpCidr| matches!(cidr, IpCidr::Ipv4(own) if own.broadcast().map(IpAddress::Ipv4) == Some(address));
    address.is_multicast() || address.is_broadcast() || interface.ip_addrs().iter().any(is_for_all)
}

/// Gives a connection a segment, unless it is not to be believed.
fn deliver<S: Signal, T: TxToken>(
    connection: &mut Connection<S>,
    interface: &mut Interface,
    arrival: &Arrival<'_>,
    answer: T,
) {
    let (frame, now) = (arrival.frame, arrival.now);
    if arrival.medium != Medium::Ethernet {
        return inject(interface, now, frame, Some(answer), &mut connection.set);
    }
    if connection.awaits_only_its_end() && connection.sent.only_repeats(frame) {
        return;
    }
    match connection.judge(frame) {
        Verdict::Take => {}
        Verdict::Ignore => return,
        Verdict::Challenge(question) => {
            if !arrival.verify || frame::checksums_are_right(arrival.medium, frame) {
                let Some(translated) = connection.sent.wire.translate_in(&question) else { return };
                let question = if translated.is_empty() { question } else { translated };
                let answer = Noting::new(answer, Some(&mut connection.sent));
                inject(interface, now, &question, Some(answer), &mut connection.set);
            }
            return;
        }
    }
    if arrival.combined {
        connection.delay_acknowledgements(false);
    }
    // Without memory for it, the frame is lost.
    let Some(translated) = connection.sent.wire.translate_in(frame) else { return };
    connection.receiving(frame, |connection| {
        let frame = if translated.is_empty() { frame } else { &translated };
        let answer = Noting::new(answer, Some(&mut connection.sent));
        inject(interface, now, frame, Some(answer), &mut connection.set);
    });
    if arrival.combined {
        connection.delay_acknowledgements(true);
    }
}

impl<S: Signal> Table<S> {
    /// Takes one received frame. `answer` is room for one frame in reply. What is a router's advertisement is not for
    /// this room, and is returned with the router's address.
    pub fn ingress<'f, T: TxToken>(
        &mut self,
        interface: &mut Interface,
        shared: &mut SocketSet<'static>,
        arrival: &Arrival<'f>,
        answer: T,
    ) -> Option<(Ipv6Address, &'f [u8])> {
        let (frame, now) = (arrival.frame, arrival.now);
        match frame::classify(arrival.medium, arrival.mac, frame) {
            Kind::Junk => {}
            Kind::Segment { tuple, opens } => {
                let known = self.by_tuple.get(&tuple).copied().filter(|&id| self.still_there(id, opens));
                let listener = if known.is_none() && opens && interface.has_ip_addr(tuple.local.addr) {
                    self.listener_for(&tuple)
                } else {
                    None
                };
                let id = match listener {
                    None => known,
                    Some(_) if arrival.verify && !frame::checksums_are_right(arrival.medium, frame) => return None,
                    Some(listener) => match self.open_passively(listener, tuple, arrival.via, now) {
                        Some(id) => Some(id),
                        // There may be no more: the peer is told, by the reset of who finds nobody to answer.
                        None if self.is_full() => {
                            self.room.refused += 1;
                            None
                        }
                        // Too many at once: say nothing, the peer will ask again.
                        None => return None,
                    },
                };
                if let Some(id) = id
                    && arrival.medium == Medium::Ethernet
                {
                    self.grow(id, payload_len(frame), 0, now);
                }
                match id.and_then(|id| Some((id, self.connections.get_mut(id)?))) {
                    Some((id, connection)) => {
                        deliver(connection, interface, arrival, answer);
                        self.enqueue(id);
                    }
                    None => inject(interface, now, frame, Some(answer), shared),
                }
            }
            Kind::Datagram(to) => {
                let (one, many) = match is_for_many(interface, to.addr) {
                    true => (None, self.datagrams.receivers(to)),
                    false => (self.datagrams.receiver(to), Vec::new()),
                };
                if one.is_none() && many.is_empty() {
                    inject(interface, now, frame, Some(answer), shared);
                    return None;
                }
                let mut answer = Some(answer);
                for id in one.into_iter().chain(many) {
                    if let Some(set) = self.datagrams.set(id, arrival.via) {
                        inject(interface, now, frame, answer.take(), set);
                    }
                }
            }
            Kind::Undelivered { protocol: IpProtocol::Udp, tuple, reason } => {
                self.datagrams.undelivered(&tuple, reason)
            }
            Kind::Undelivered { tuple, reason, .. } => self.undelivered(&tuple, reason),
            Kind::Resolution => {
                inject(interface, now, frame, Some(answer), shared);
                self.resolved = true;
            }
            Kind::Advertisement { router, message } => return Some((router, message)),
            Kind::Other => inject(interface, now, frame, Some(answer), shared),
        }
        None
    }

    /// A segment of this machine's did not arrive. Only a handshake ends over it (RFC 5461): later the message may be
    /// forged, or the trouble pass.
    fn undelivered(&mut self, tuple: &Tuple, reason: Error) {
        let Some(&id) = self.by_tuple.get(tuple) else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.owner == Owner::Program && connection.socket().state() == State::SynSent {
            connection.error = Some(reason);
            connection.socket_mut().abort();
            self.enqueue(id);
        }
    }

    /// Whether the connection `id` still takes segments. One that is over gives way to a new one between the same ends.
    fn still_there(&mut self, id: Id, opens: bool) -> bool {
        let Some(connection) = self.connections.get(id) else { return false };
        match connection.socket().state() {
            State::Closed | State::Listen => {
                self.settle(id, Cause::Segment);
                false
            }
            State::TimeWait if opens => {
                match connection.owner {
                    Owner::Nobody { .. } => self.discard(id),
                    _ => self.forget_tuple(id),
                }
                false
            }
            _ => true,
        }
    }
}
