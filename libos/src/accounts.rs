//! What the machine holds at a moment, for whoever wonders where memory went. Builds for tests (feature `testing`) also
//! tell what has passed the network card, and have all of it as text.
//!
//! Each number is taken from the room that owns the thing, one after the other, so they fit each other only while
//! little happens. Never here: what the things are.

#[cfg(feature = "testing")]
mod testing;

#[cfg(feature = "testing")]
pub use testing::Traffic;

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

impl Accounts {
    /// What the machine holds now.
    pub fn now() -> Self {
        // Ended threads hold their stacks until somebody has time for them.
        task::reap_exited();
        let (sockets, card) = net::accounts();
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
}
