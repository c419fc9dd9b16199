//! A program's socket: the calls that block, and the options that they obey.

mod addresses;
mod opening;
mod options;
mod transfer;

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use smoltcp::time::Instant;
use smoltcp::wire::IpAddress;

pub use self::options::{Interface, SocketOptions};
use super::address::Local;
use super::error::Error;
use super::service::{self, GuestStack};
use super::slab::Id;
use super::stack::Linger;
use crate::io::{Ready, Signal, Watch};
use crate::sync::{IrqLock, Once};
use crate::time::now;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketType {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// The form of a socket's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// IPv4.
    V4,
    /// IPv6, with IPv4 addresses in mapped form unless the program wants none.
    V6,
}

/// What a socket has become.
#[derive(Clone, Copy, Debug)]
enum Role {
    Listener(Id),
    Stream(Id),
    Datagram(Id),
}

/// A socket.
#[derive(Debug)]
pub struct Socket {
    socket_type: SocketType,
    domain: Domain,
    role: Once<Role>,
    bound: IrqLock<Option<Local>>,
    watch: Arc<Watch>,
    /// The options.
    pub options: SocketOptions,
}

impl Socket {
    /// A new socket.
    pub fn new(domain: Domain, socket_type: SocketType) -> Self {
        let watch = Arc::new(Watch::default());
        watch.publish(if socket_type == SocketType::Stream { Ready::OUT | Ready::HUP } else { Ready::OUT });
        Self {
            socket_type,
            domain,
            role: Once::new(),
            bound: IrqLock::new(None),
            watch,
            options: SocketOptions::default(),
        }
    }

    /// Whether it is TCP or UDP.
    pub fn socket_type(&self) -> SocketType {
        self.socket_type
    }

    /// Whether its addresses are IPv4's or IPv6's.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Readiness, and who waits for it.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    // ---- what it has become ----

    fn stream(&self) -> Result<Id, Error> {
        match self.role.get() {
            Some(Role::Stream(id)) => Ok(*id),
            _ => Err(Error::NotConnected),
        }
    }

    fn listener(&self) -> Result<Id, Error> {
        match self.role.get() {
            Some(Role::Listener(id)) => Ok(*id),
            _ => Err(Error::Invalid),
        }
    }

    fn datagram(&self) -> Result<Id, Error> {
        match self.role.get() {
            Some(Role::Datagram(id)) => Ok(*id),
            _ => self.open_datagram(Local::any(self.family(), 0)),
        }
    }

    /// Opens the UDP socket, once.
    fn open_datagram(&self, local: Local) -> Result<Id, Error> {
        let settings = *self.options.datagram.lock();
        let id = service::with(|stack, _| stack.bind_datagram(local, settings, self.watch.clone()))?;
        let mut mine = false;
        let role = self.role.call_once(|| {
            mine = true;
            Role::Datagram(id)
        });
        if !mine {
            service::with(|stack, now| stack.close_datagram(id, now));
        }
        match role {
            Role::Datagram(id) => Ok(*id),
            _ => Err(Error::Invalid),
        }
    }

    /// Repeats `call` until it does not want to block any more, or for as long as this socket is to wait.
    fn block_on<R>(
        &self,
        wanted: Ready,
        timeout: &AtomicU64,
        mut call: impl FnMut(&mut GuestStack, Instant) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let deadline = match timeout.load(Ordering::Relaxed) {
            0 => None,
            timeout => Some(now().saturating_add(Duration::from_nanos(timeout))),
        };
        let mut pumped = false;
        loop {
            match service::with(&mut call) {
                Err(Error::WouldBlock) if !self.options.nonblocking.load(Ordering::Relaxed) => {}
                outcome => return outcome,
            }
            if pumped {
                self.watch.wait(wanted | Ready::ERR | Ready::HUP, deadline)?;
            } else {
                // What the call waits for may have come in already.
                service::pump();
            }
            pumped = !pumped;
        }
    }

    /// Waits for the way to an address that configuration may still bring.
    fn await_way(address: IpAddress) -> Result<(), Error> {
        let there = service::with(|stack, _| stack.is_reachable(address)) || service::wait_for_way(address);
        if there { Ok(()) } else { Err(Error::Unreachable) }
    }

    // ---- asking ----

    /// This end's address.
    pub fn local(&self) -> Result<SocketAddr, Error> {
        let local = match self.role.get() {
            None => self.bound(),
            Some(Role::Listener(id)) => service::with(|stack, _| stack.listening_at(*id))?,
            Some(Role::Stream(id)) => return Ok(self.shown(service::with(|stack, _| stack.ends(*id))?.local)),
            Some(Role::Datagram(id)) => service::with(|stack, _| stack.datagram_local(*id))?,
        };
        Ok(self.shown_local(local))
    }

    /// The peer's address.
    pub fn peer(&self) -> Result<SocketAddr, Error> {
        let peer =
            match self.role.get() {
                Some(Role::Stream(id)) => service::with(|stack, _| {
                    if stack.has_peer(*id) { Ok(stack.ends(*id)?.remote) } else { Err(Error::NotConnected) }
                }),
                Some(Role::Datagram(id)) => service::with(|stack, _| stack.datagrams().peer(*id)),
                _ => Err(Error::NotConnected),
            };
        peer.map(|peer| self.shown(peer))
    }

    /// Whether it accepts connections.
    pub fn is_listening(&self) -> bool {
        self.listener().is_ok()
    }

    /// Takes the error that waits.
    pub fn take_error(&self) -> Option<Error> {
        match self.role.get() {
            Some(Role::Stream(id)) => service::with(|stack, _| stack.take_error(*id)),
            Some(Role::Datagram(id)) => service::with(|stack, _| stack.datagrams().take_error(*id)),
            _ => None,
        }
    }
}

impl Drop for Socket {
    /// Blocks only if the program wants to linger; else what is to be sent is sent in the background.
    fn drop(&mut self) {
        let linger = self.options.linger.load(Ordering::Relaxed);
        match self.role.get() {
            None => {}
            Some(Role::Listener(id)) => service::with(|stack, now| stack.unlisten(*id, now)),
            Some(Role::Datagram(id)) => service::with(|stack, now| stack.close_datagram(*id, now)),
            Some(Role::Stream(id)) => {
                let how = if linger == 1 { Linger::Reset } else { Linger::Background };
                service::with(|stack, now| stack.close(*id, how, now));
                if linger > 1 {
                    service::wait_for_delivery(*id, now().saturating_add(Duration::from_secs(linger - 1)));
                }
            }
        }
    }
}
