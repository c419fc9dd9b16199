//! All sockets: which of them a received frame is for, and who has something to send.

use alloc::vec::Vec;

use smoltcp::iface::{Interface, SocketSet};
use smoltcp::phy::{Device, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpCidr, IpProtocol, Ipv6Address};

use super::frame::{self, Payload};
use super::link::{Link, RxFrame, inject};
use super::tcp::Connections;
use super::udp::Datagrams;
use crate::io::Signal;

/// UDP sockets' buffers may take another one of so many parts of what those of connections may.
const DATAGRAM_SHARE: usize = 2;

/// How many sockets there are, of which kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCounts {
    /// Connections of any kind and age.
    pub connections: usize,
    /// Ports that are listened on.
    pub listeners: usize,
    /// UDP sockets.
    pub datagrams: usize,
    /// Connections that time alone may give something to do.
    pub timers: usize,
    /// Bytes of connections' and UDP sockets' buffers.
    pub buffered: usize,
    /// The most connections that there may be.
    pub limit: usize,
    /// SYNs that were refused: there were as many, or there was no memory.
    pub refused: u64,
}

/// All sockets.
pub struct Sockets<S: Signal> {
    pub tcp: Connections<S>,
    pub udp: Datagrams<S>,
    /// An address was resolved: whoever waits for one may go on.
    resolved: bool,
}

impl<S: Signal> Sockets<S> {
    /// No sockets, and room for connections whose buffers take up to `budget` bytes in all.
    pub fn new(budget: usize) -> Self {
        Self { tcp: Connections::new(budget), udp: Datagrams::new(budget / DATAGRAM_SHARE), resolved: false }
    }

    /// What there is of everything.
    pub fn counts(&self) -> SocketCounts {
        SocketCounts {
            connections: self.tcp.connections.len(),
            listeners: self.tcp.listeners.len(),
            datagrams: self.udp.len(),
            timers: self.tcp.timers(),
            buffered: self.tcp.buffered() + self.udp.buffered(),
            limit: self.tcp.limit(),
            refused: self.tcp.refused(),
        }
    }

    /// When the next timer fires.
    pub fn next_timer(&self) -> Option<Instant> {
        self.tcp.next_timer().into_iter().chain(self.udp.retry_at()).min()
    }

    /// Asks for every socket to be looked at: the addresses of this machine have changed.
    pub fn addresses_changed(&mut self) {
        self.tcp.enqueue_all();
        self.udp.retry();
    }

    /// Takes one received frame. `answer` is room for one frame in reply. What is a router's advertisement is not for
    /// a socket, and is returned with the router's address.
    pub fn ingress<'f, T: TxToken>(
        &mut self,
        interface: &mut Interface,
        shared: &mut SocketSet<'static>,
        rx: &RxFrame<'f>,
        answer: T,
    ) -> Option<(Ipv6Address, &'f [u8])> {
        match frame::classify(rx.medium, rx.mac, rx.frame) {
            Payload::Malformed => {}
            Payload::Segment(segment) => self.tcp.segment(interface, shared, rx, &segment, answer),
            Payload::Datagram(to) => {
                let (one, many) = match is_for_many(interface, to.addr) {
                    true => (None, self.udp.receivers(to)),
                    false => (self.udp.receiver(to), Vec::new()),
                };
                if one.is_none() && many.is_empty() {
                    inject(interface, rx.now, rx.frame, Some(answer), shared);
                    return None;
                }
                let mut answer = Some(answer);
                for id in one.into_iter().chain(many) {
                    if let Some(set) = self.udp.set(id, rx.via) {
                        inject(interface, rx.now, rx.frame, answer.take(), set);
                    }
                }
            }
            Payload::Undelivered { protocol: IpProtocol::Udp, tuple, reason } => self.udp.undelivered(&tuple, reason),
            Payload::Undelivered { tuple, reason, .. } => self.tcp.undelivered(&tuple, reason),
            Payload::Resolution => {
                inject(interface, rx.now, rx.frame, Some(answer), shared);
                self.resolved = true;
            }
            Payload::Advertisement { router, message } => return Some((router, message)),
            Payload::Other => inject(interface, rx.now, rx.frame, Some(answer), shared),
        }
        None
    }

    /// Sends what the sockets have to send, of those that are queued and those whose time has come.
    pub fn egress<D: Device, L: Device>(&mut self, nic: &mut Option<Link<D>>, loopback: &mut Link<L>, now: Instant) {
        if core::mem::take(&mut self.resolved) {
            self.tcp.neighbour_resolved();
            self.udp.retry();
        }
        self.tcp.egress(nic, loopback, now);
        self.udp.egress(nic, loopback, now);
    }
}

/// Whether a datagram to `address` is for more than one receiver: a group, or everyone on the link.
fn is_for_many(interface: &Interface, address: IpAddress) -> bool {
    let is_for_all =
        |cidr: &IpCidr| matches!(cidr, IpCidr::Ipv4(own) if own.broadcast().map(IpAddress::Ipv4) == Some(address));
    address.is_multicast() || address.is_broadcast() || interface.ip_addrs().iter().any(is_for_all)
}
