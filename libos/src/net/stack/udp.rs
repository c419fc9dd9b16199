//! The calls on datagrams that concern links or time; the others are the UDP sockets' own.

use alloc::sync::Arc;

use smoltcp::phy::Device;
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpEndpoint};

use super::Stack;
use crate::io::Signal;
use crate::net::address::Local;
use crate::net::error::Error;
use crate::net::link::Via;
use crate::net::slab::Id;
use crate::net::udp::{Course, Datagrams, Settings};

impl<D: Device, S: Signal> Stack<D, S> {
    /// Opens a UDP socket at `local`.
    pub fn bind_datagram(&mut self, local: Local, settings: Settings, signal: Arc<S>) -> Result<Id, Error> {
        let foreign =
            |address: IpAddress| !self.is_local(address) && !address.is_multicast() && !self.is_broadcast(address);
        if local.address.is_some_and(foreign) {
            return Err(Error::AddressNotAvailable);
        }
        let port = match local.port {
            0 => self.ephemeral(|stack, port| !stack.sockets.udp.is_taken(&Local { port, ..local }))?,
            _ if self.sockets.udp.is_taken(&local) => return Err(Error::AddressInUse),
            port => port,
        };
        self.sockets.udp.bind(Local { port, ..local }, settings, signal)
    }

    /// Closes a UDP socket.
    pub fn close_datagram(&mut self, id: Id, now: Instant) {
        for group in self.sockets.udp.close(id, now) {
            self.leave_link(group, now);
        }
    }

    /// Whether every machine on the link is meant.
    fn is_broadcast(&self, address: IpAddress) -> bool {
        let IpAddress::Ipv4(to) = address else { return false };
        to.is_broadcast() || self.ipv4_network().is_some_and(|network| network.broadcast() == Some(to))
    }

    /// Sends a datagram to `to`, or to the socket's peer.
    pub fn send_datagram(
        &mut self,
        id: Id,
        bytes: &[u8],
        to: Option<IpEndpoint>,
        now: Instant,
    ) -> Result<usize, Error> {
        let to = to.or(self.sockets.udp.peer(id).ok()).ok_or(Error::DestinationRequired)?;
        if to.port == 0 {
            return Err(Error::Invalid);
        }
        let settings = self.sockets.udp.settings(id)?;
        let (to_group, to_all) = (to.addr.is_multicast(), self.is_broadcast(to.addr));
        if to_all && !settings.broadcast {
            return Err(Error::NotAllowed);
        }
        let own = self.sockets.udp.local(id)?.address.filter(|own| self.is_local(*own));
        let from = match own {
            Some(own) => self.source_for(to.addr).map(|_| own)?,
            None => self.source_for(to.addr)?,
        };
        let via = self.via(to.addr);
        let headers = if matches!(to.addr, IpAddress::Ipv4(_)) { 20 + 8 } else { 40 + 8 };
        if bytes.len() > self.mtu(via).saturating_sub(headers) {
            return Err(Error::TooLong);
        }
        let hop_limit = if to_group { settings.multicast_hop_limit } else { settings.hop_limit };
        let course = Course { via, from, to, hop_limit };
        let mut result = Ok(bytes.len());
        if via == Via::Nic && !(to_group && hop_limit == 0) {
            result = self.sockets.udp.send(id, bytes, &course);
        }
        // This machine takes part in groups and hears broadcasts as well.
        if via == Via::Loopback || (to_group && settings.multicast_loop) || to_all {
            let here = self.sockets.udp.send(id, bytes, &Course { via: Via::Loopback, ..course });
            result = if via == Via::Loopback { here } else { result };
        }
        self.sockets.udp.egress(&mut self.nic, &mut self.loopback, now);
        result
    }

    /// This end's address, which a connected socket has even if it was bound to none.
    pub fn datagram_local(&self, id: Id) -> Result<Local, Error> {
        let mut local = self.sockets.udp.local(id)?;
        if local.address.is_none()
            && let Ok(peer) = self.sockets.udp.peer(id)
        {
            local.address = self.source_for(peer.addr).ok();
        }
        Ok(local)
    }

    /// Makes a socket a member of a multicast group.
    pub fn join(&mut self, id: Id, group: IpAddress, now: Instant) -> Result<(), Error> {
        if !group.is_multicast() {
            return Err(Error::Invalid);
        }
        self.sockets.udp.join(id, group)?;
        let Some(nic) = &mut self.nic else { return Ok(()) };
        if nic.interface.join_multicast_group(group).is_err() {
            self.sockets.udp.leave(id, group)?;
            return Err(Error::NoBuffers);
        }
        nic.transmit_shared(now);
        Ok(())
    }

    /// Ends a socket's membership.
    pub fn leave(&mut self, id: Id, group: IpAddress, now: Instant) -> Result<(), Error> {
        self.sockets.udp.leave(id, group)?;
        self.leave_link(group, now);
        Ok(())
    }

    /// Tells the link that nobody here is in a group any more, if so.
    fn leave_link(&mut self, group: IpAddress, now: Instant) {
        if let Some(nic) = &mut self.nic
            && !self.sockets.udp.has_member(group)
        {
            let _ = nic.interface.leave_multicast_group(group);
            nic.transmit_shared(now);
        }
    }

    /// The UDP sockets, for what concerns neither links nor time.
    pub fn datagrams(&mut self) -> &mut Datagrams<S> {
        &mut self.sockets.udp
    }
}
