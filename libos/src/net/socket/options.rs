//! What a program can set on its socket, and how it takes effect.

use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use smoltcp::time::Instant;
use smoltcp::wire::IpAddress;

use super::{Role, Socket, SocketType};
use crate::net::address::{CARD_INDEX, LOOPBACK_INDEX, canonical};
use crate::net::error::Error;
use crate::net::service::{self, GuestStack};
use crate::net::slab::Id;
use crate::net::tcp::settings::{BufferSizes, KeepAlive};
use crate::net::udp::Settings;
use crate::sync::IrqLock;

/// Bytes of buffer that a connection gets while there are few.
const USUAL_BUFFER: usize = 64 * 1024;

/// The options that a socket keeps itself.
#[derive(Debug)]
pub struct SocketOptions {
    /// Calls fail with [`Error::WouldBlock`] instead of blocking.
    pub nonblocking: AtomicBool,
    /// How long a read may block, in nanoseconds; 0 is for ever.
    pub receive_timeout: AtomicU64,
    /// How long a write or a connect may block, in nanoseconds; 0 is for ever.
    pub send_timeout: AtomicU64,
    /// For the program's comfort: an old connection never keeps a port from being listened on.
    pub reuse_address: AtomicBool,
    /// An IPv6 socket has nothing to do with IPv4.
    pub v6_only: AtomicBool,
    /// Small segments are sent at once.
    pub nodelay: AtomicBool,
    /// `SO_LINGER`: 0 is off, else the seconds plus one.
    pub linger: AtomicU64,
    /// Bytes of buffer that the program wants; 0 is no wish.
    pub receive_buffer: AtomicUsize,
    pub send_buffer: AtomicUsize,
    pub(super) keep_alive: IrqLock<KeepAlive>,
    /// Also a stream's time to live is kept here.
    pub(super) datagram: IrqLock<Settings>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nonblocking: AtomicBool::new(false),
            receive_timeout: AtomicU64::new(0),
            send_timeout: AtomicU64::new(0),
            reuse_address: AtomicBool::new(false),
            v6_only: AtomicBool::new(false),
            nodelay: AtomicBool::new(false),
            linger: AtomicU64::new(0),
            receive_buffer: AtomicUsize::new(0),
            send_buffer: AtomicUsize::new(0),
            keep_alive: IrqLock::new(KeepAlive::default()),
            datagram: IrqLock::new(Settings::default()),
        }
    }
}

impl SocketOptions {
    /// What an accepted socket has from its listener.
    pub(super) fn inherited(&self) -> Self {
        // One after the other: neither lock may be taken under the other.
        let (keep_alive, datagram) = (self.keep_alive(), self.datagram());
        Self {
            v6_only: AtomicBool::new(self.v6_only.load(Ordering::Relaxed)),
            nodelay: AtomicBool::new(self.nodelay.load(Ordering::Relaxed)),
            linger: AtomicU64::new(self.linger.load(Ordering::Relaxed)),
            keep_alive: IrqLock::new(keep_alive),
            datagram: IrqLock::new(datagram),
            ..Self::default()
        }
    }

    /// The buffers that the program wants.
    pub(super) fn sizes(&self) -> BufferSizes {
        BufferSizes {
            receive: self.receive_buffer.load(Ordering::Relaxed),
            send: self.send_buffer.load(Ordering::Relaxed),
        }
    }

    /// Whether and how an idle peer is asked for a sign of life.
    pub fn keep_alive(&self) -> KeepAlive {
        *self.keep_alive.lock()
    }

    /// What datagrams obey.
    pub fn datagram(&self) -> Settings {
        *self.datagram.lock()
    }
}

impl Socket {
    /// Gives a new connection the options that were set before it existed.
    pub(super) fn apply(&self, stack: &mut GuestStack, id: Id, now: Instant) -> Result<(), Error> {
        if self.options.nodelay.load(Ordering::Relaxed) {
            stack.set_nodelay(id, true, now)?;
        }
        stack.set_keep_alive(id, self.options.keep_alive(), now)?;
        stack.set_hop_limit(id, self.options.datagram().hop_limit, now)
    }

    /// Sends small segments at once, or not.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<(), Error> {
        self.options.nodelay.store(nodelay, Ordering::Relaxed);
        match self.stream() {
            Ok(id) => service::with(|stack, now| stack.set_nodelay(id, nodelay, now)),
            Err(_) => Ok(()),
        }
    }

    /// Asks an idle peer for signs of life, or not.
    pub fn set_keep_alive(&self, change: impl FnOnce(&mut KeepAlive)) -> Result<(), Error> {
        let keep_alive = {
            let mut keep_alive = self.options.keep_alive.lock();
            change(&mut keep_alive);
            *keep_alive
        };
        match self.stream() {
            Ok(id) => service::with(|stack, now| stack.set_keep_alive(id, keep_alive, now)),
            Err(_) => Ok(()),
        }
    }

    /// Changes what datagrams obey, and of it a stream's time to live.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        let settings = {
            let mut settings = self.options.datagram.lock();
            change(&mut settings);
            *settings
        };
        match self.role.get() {
            Some(Role::Stream(id)) => service::with(|stack, now| stack.set_hop_limit(*id, settings.hop_limit, now)),
            Some(Role::Datagram(id)) => service::with(|stack, _| stack.datagrams().configure(*id, settings)),
            _ => Ok(()),
        }
    }

    /// Confines an IPv6 socket to IPv6, or does not. Too late once it has an address.
    pub fn set_v6_only(&self, only: bool) -> Result<(), Error> {
        if self.role.get().is_some() || self.bound.lock().is_some() {
            return Err(Error::Invalid);
        }
        self.options.v6_only.store(only, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes of buffer for receiving and for sending: what a connection has, else what is wished for.
    pub fn buffers(&self) -> (usize, usize) {
        let has = self.stream().ok().and_then(|id| service::with(|stack, _| stack.capacities(id)).ok());
        has.unwrap_or_else(|| self.options.sizes().capacities(USUAL_BUFFER))
    }

    /// The group that a program names by its address and by the interface on which it is to be joined.
    fn group(&self, group: IpAddr, on: Interface) -> Result<IpAddress, Error> {
        if self.socket_type == SocketType::Stream {
            return Err(Error::NotSupported);
        }
        let here = match on {
            Interface::Any | Interface::Index(0 | LOOPBACK_INDEX | CARD_INDEX) => true,
            Interface::Index(_) => false,
            Interface::Address(address) => {
                let address = canonical(address);
                address.is_unspecified() || service::with(|stack, _| stack.is_local(address))
            }
        };
        if here { Ok(canonical(group)) } else { Err(Error::AddressNotAvailable) }
    }

    /// Makes the socket a member of a multicast group. There is one link, so the interface only has to exist.
    pub fn join(&self, group: IpAddr, on: Interface) -> Result<(), Error> {
        let group = self.group(group, on)?;
        let id = self.datagram()?;
        service::with(|stack, now| stack.join(id, group, now))
    }

    /// Ends a membership.
    pub fn leave(&self, group: IpAddr, on: Interface) -> Result<(), Error> {
        let group = self.group(group, on)?;
        let id = self.datagram()?;
        service::with(|stack, now| stack.leave(id, group, now))
    }
}

/// How a program names an interface.
#[derive(Clone, Copy, Debug)]
pub enum Interface {
    /// Whichever there is.
    Any,
    /// By one of its addresses.
    Address(IpAddr),
    /// By its number.
    Index(u32),
}
