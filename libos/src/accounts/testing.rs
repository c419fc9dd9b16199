//! What tests that look for leaks ask of the accounts beyond what a program does.

use core::fmt;

use super::Accounts;
use crate::net;

/// What has passed the network card since the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Frames that were received.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames that were sent.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// How often the card was told of new buffers.
    pub notifications: u64,
    /// The card's interrupts.
    pub interrupts: u64,
    /// Clients that were refused: there were as many connections as there may be, or no memory for another.
    pub refused: u64,
    /// Frames that the option `link-faults` has lost.
    pub lost: u64,
    /// Frames that it has repeated.
    pub repeated: u64,
    /// Frames that it has delayed.
    pub delayed: u64,
}

impl Accounts {
    /// All of them with their names.
    pub fn fields(&self) -> [(&'static str, u64); 18] {
        [
            ("heap_pieces", self.heap_pieces),
            ("heap_bytes", self.heap_bytes),
            ("heap_grown", self.heap_grown),
            ("free_bytes", self.free_bytes),
            ("page_table_bytes", self.page_table_bytes),
            ("unused_stack_bytes", self.unused_stack_bytes),
            ("most_stacks", self.most_stacks),
            ("threads", self.threads),
            ("timers", self.timers),
            ("descriptors", self.descriptors),
            ("connections", self.connections),
            ("connection_limit", self.connection_limit),
            ("listeners", self.listeners),
            ("datagram_sockets", self.datagram_sockets),
            ("connection_timers", self.connection_timers),
            ("buffered_bytes", self.buffered_bytes),
            ("card_buffers", self.card_buffers),
            ("unexpected_nmis", self.unexpected_nmis),
        ]
    }
}

impl Traffic {
    /// What has passed until now.
    pub fn now() -> Self {
        let (sockets, card) = net::accounts();
        let faults = net::fault_counts();
        Self {
            received: card.received,
            received_bytes: card.received_bytes,
            sent: card.sent,
            sent_bytes: card.sent_bytes,
            notifications: card.notifications,
            interrupts: net::interrupts(),
            refused: sockets.refused,
            lost: faults.dropped,
            repeated: faults.duplicated,
            delayed: faults.delayed,
        }
    }

    /// All of it with names.
    pub fn fields(&self) -> [(&'static str, u64); 10] {
        [
            ("received", self.received),
            ("received_bytes", self.received_bytes),
            ("sent", self.sent),
            ("sent_bytes", self.sent_bytes),
            ("notifications", self.notifications),
            ("interrupts", self.interrupts),
            ("refused", self.refused),
            ("lost", self.lost),
            ("repeated", self.repeated),
            ("delayed", self.delayed),
        ]
    }
}

/// Writes `name=number` for each, with spaces between.
fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[(&str, u64)]) -> fmt::Result {
    for (place, (name, number)) in fields.iter().enumerate() {
        write!(f, "{}{name}={number}", if place == 0 { "" } else { " " })?;
    }
    Ok(())
}

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_fields(f, &self.fields())
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_fields(f, &self.fields())
    }
}
