//! What the machine holds at a moment, and what has passed its network card: for tests that look for leaks, and for
//! whoever wonders where memory went.
//!
//! Each number is taken from the room that owns the thing, one after the other, so they fit each other only while
//! little happens. Never here: what the things are.

use core::fmt;

use crate::arch::trap;
use crate::{abi, mm, net, task};

/// What the machine holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// Pieces of the heap in use, the program's and the library's.
    pub heap_pieces: u64,
    /// Their bytes.
    pub heap_bytes: u64,
    /// Bytes of frames that the heap has taken; it keeps them.
    pub heap_grown: u64,
    /// Bytes of frames in no use at all.
    pub free_bytes: u64,
    /// Bytes of frames that hold page tables, or did and are kept for them.
    pub page_table_bytes: u64,
    /// Bytes of ended threads' stacks that are kept for the next threads.
    pub unused_stack_bytes: u64,
    /// The most stacks that there were at once since the boot. Their page tables are kept.
    pub most_stacks: u64,
    /// Threads, the library's own ones with them.
    pub threads: u64,
    /// Threads' timers that are armed.
    pub timers: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Connections of any kind and age, also those that nobody has any more and that wind up.
    pub connections: u64,
    /// The most connections that there may be.
    pub connection_limit: u64,
    /// Ports that are listened on.
    pub listeners: u64,
    /// UDP sockets.
    pub datagram_sockets: u64,
    /// Connections with a timer.
    pub connection_timers: u64,
    /// Bytes of connections' and UDP sockets' buffers.
    pub buffered_bytes: u64,
    /// Buffers that the network card has.
    pub card_buffers: u64,
    /// Non-maskable interrupts since the boot that nobody had a handler for.
    pub unexpected_nmis: u64,
}

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
    /// Clients that were refused because there were as many connections as there may be.
    pub refused: u64,
    /// Frames that the option `link-faults` has lost.
    pub lost: u64,
    /// Frames that it has repeated.
    pub repeated: u64,
    /// Frames that it has delayed.
    pub delayed: u64,
}

impl Accounts {
    /// What the machine holds now.
    pub fn now() -> Self {
        // Ended threads hold their stacks until somebody has time for them.
        task::reap_exited();
        let (sockets, card, _) = net::accounts();
        let heap = mm::heap_account();
        Self {
            heap_pieces: heap.pieces as u64,
            heap_bytes: heap.bytes as u64,
            heap_grown: heap.grown,
            free_bytes: mm::free_bytes(),
            page_table_bytes: mm::table_bytes(),
            unused_stack_bytes: mm::unused_stack_bytes(),
            most_stacks: mm::most_stacks(),
            threads: task::thread_count() as u64,
            timers: task::armed_timers() as u64,
            descriptors: abi::open_descriptors() as u64,
            connections: sockets.connections as u64,
            connection_limit: sockets.limit as u64,
            listeners: sockets.listeners as u64,
            datagram_sockets: sockets.datagrams as u64,
            connection_timers: sockets.timers as u64,
            buffered_bytes: sockets.buffered as u64,
            card_buffers: card.lent as u64,
            unexpected_nmis: trap::unexpected_nmis(),
        }
    }

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
        let (sockets, card, faults) = net::accounts();
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
