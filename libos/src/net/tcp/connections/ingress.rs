//! Received segments: each goes to the connection or listener that it is for.

use smoltcp::iface::{Interface, SocketSet};
use smoltcp::phy::{Medium, TxToken};
use smoltcp::socket::tcp::State;

use super::Connections;
use super::listeners::Declined;
use crate::io::Signal;
use crate::net::error::Error;
use crate::net::frame::{self, Segment, Tuple};
use crate::net::link::{RxFrame, inject};
use crate::net::slab::Id;
use crate::net::tcp::challenge::Verdict;
use crate::net::tcp::connection::{Cause, Connection, Owner};
use crate::net::tcp::fixups::Observed;

/// Gives a connection a segment, unless it is not to be believed. `answer`: room for one frame in reply.
fn deliver<S: Signal, T: TxToken>(
    connection: &mut Connection<S>,
    interface: &mut Interface,
    rx: &RxFrame<'_>,
    answer: Option<T>,
) {
    let (frame, now) = (rx.frame, rx.now);
    if rx.medium != Medium::Ethernet {
        if let Some(set) = connection.engine.set_mut() {
            inject(interface, now, frame, answer, set);
        }
        return;
    }
    if connection.awaits_only_its_end() && connection.sent.only_repeats(frame) {
        return;
    }
    match connection.judge(frame) {
        Verdict::Take => {}
        Verdict::Ignore => return,
        Verdict::Challenge(question) => {
            if !rx.verify || frame::is_intact(rx.medium, frame, true) {
                let Some(translated) = connection.sent.wire.translate_in(&question) else { return };
                let question = if translated.is_empty() { question } else { translated };
                let answer = answer.map(|answer| Observed::new(answer, Some(&mut connection.sent)));
                if let Some(set) = connection.engine.set_mut() {
                    inject(interface, now, &question, answer, set);
                }
            }
            return;
        }
    }
    if rx.combined {
        connection.delay_acknowledgements(false);
    }
    // Without memory for it, the frame is lost.
    let Some(translated) = connection.sent.wire.translate_in(frame) else { return };
    connection.receiving(frame, |connection| {
        let frame = if translated.is_empty() { frame } else { &translated };
        let answer = answer.map(|answer| Observed::new(answer, Some(&mut connection.sent)));
        if let Some(set) = connection.engine.set_mut() {
            inject(interface, now, frame, answer, set);
        }
    });
    if rx.combined {
        connection.delay_acknowledgements(true);
    }
}

impl<S: Signal> Connections<S> {
    /// Takes one received segment. `answer` is room for one frame in reply.
    pub fn segment<T: TxToken>(
        &mut self,
        interface: &mut Interface,
        shared: &mut SocketSet<'static>,
        rx: &RxFrame<'_>,
        segment: &Segment<'_>,
        answer: T,
    ) {
        let (frame, now, tuple, opens) = (rx.frame, rx.now, segment.tuple, segment.opens);
        let known = self.by_tuple.get(&tuple).copied().filter(|&id| self.still_there(id, opens));
        let listener = if known.is_none() && opens && interface.has_ip_addr(tuple.local.addr) {
            self.listener_for(&tuple)
        } else {
            None
        };
        let id = match listener {
            None => known,
            Some(_) if rx.verify && !frame::is_intact(rx.medium, frame, true) => return,
            Some(listener) => match self.open_passively(listener, tuple, rx.via, now) {
                Ok(id) => Some(id),
                // The peer is told, by the reset of who finds nobody to answer.
                Err(Declined::NoRoom) => {
                    self.room.refused += 1;
                    None
                }
                // Say nothing, the peer will ask again.
                Err(Declined::Busy) => return,
            },
        };
        let mut answer = Some(answer);
        if let Some(id) = id
            && rx.medium == Medium::Ethernet
        {
            self.grow(id, segment.packet().payload().len(), 0, now);
            if self.receive_fast(id, rx, segment, &mut answer) {
                return;
            }
        }
        match id.and_then(|id| Some((id, self.connections.get_mut(id)?))) {
            Some((id, connection)) => {
                deliver(connection, interface, rx, answer);
                self.enqueue(id);
            }
            None => inject(interface, now, frame, answer, shared),
        }
    }

    /// A segment of this machine's did not arrive. Only a handshake ends over it (RFC 5461): later the message may be
    /// forged, or the trouble pass.
    pub fn undelivered(&mut self, tuple: &Tuple, reason: Error) {
        let Some(&id) = self.by_tuple.get(tuple) else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.owner == Owner::Program && connection.engine.state() == State::SynSent {
            connection.error = Some(reason);
            connection.engine.abort();
            self.enqueue(id);
        }
    }

    /// Whether the connection `id` still takes segments. One that is over gives way to a new one between the same ends.
    fn still_there(&mut self, id: Id, opens: bool) -> bool {
        let Some(connection) = self.connections.get(id) else { return false };
        match connection.engine.state() {
            State::Closed | State::Listen => {
                self.state_changed(id, Cause::Segment);
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
