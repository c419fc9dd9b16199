//! The calls on datagrams that concern links or time; the others are the UDP sockets' own.

use alloc::sync::Arc;

use smoltcp::phy::Device;
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpEndpoint, IpListenEndpoint};

use super::Stack;
use crate::io::Signal;
use crate::net::error::Error;
use crate::net::frame::is_loopback;
use crate::net::link::Via;
use crate::net::slab::Id;
use crate::net::udp::Datagrams;

impl<D: Device, S: Signal> Stack<D, S> {
    /// Opens a UDP socket at `local`.
    pub fn bind_datagram(&mut self, local: IpListenEndpoint, signal: Arc<S>) -> Result<Id, Error> {
        let foreign =
            |address: IpAddress| !self.is_local(address) && !address.is_multicast() && !address.is_broadcast();
        if local.addr.is_some_and(foreign) {
            return Err(Error::AddressNotAvailable);
        }
        let port = match local.port {
            0 => self.ephemeral(|stack, port| !stack.table.datagrams.is_bound(local.addr, port))?,
            port if self.table.datagrams.is_bound(local.addr, port) => return Err(Error::AddressInUse),
            port => port,
        };
        self.table.datagrams.bind(IpListenEndpoint { addr: local.addr, port }, signal)
    }

    /// Sends a datagram to `to`, or to the socket's peer.
    pub fn send_datagram(
        &mut self,
        id: Id,
        bytes: &[u8],
        to: Option<IpEndpoint>,
        now: Instant,
    ) -> Result<usize, Error> {
        let nic_address = self.address();
        let via = |address: IpAddress| {
            let own = nic_address.is_some_and(|own| address == IpAddress::Ipv4(own));
            if own || is_loopback(address) { Via::Loopback } else { Via::Nic }
        };
        let to = to.or(self.table.datagrams.peer(id).ok()).ok_or(Error::DestinationRequired)?;
        if via(to.addr) == Via::Nic && nic_address.is_none() {
            return Err(Error::Unreachable);
        }
        let result = self.table.datagrams.send(id, via, bytes, Some(to));
        self.table.datagrams.serve(&mut self.nic, &mut self.loopback, now);
        result
    }

    /// The UDP sockets, for what concerns neither links nor time.
    pub fn datagrams(&mut self) -> &mut Datagrams<S> {
        &mut self.table.datagrams
    }
}
