//! A program's socket: the calls that block, and the options that they obey.

mod options;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicU64, Ordering};

use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpEndpoint};

pub use self::options::{Interface, Options};
use super::address::{Family, Local, canonical, shown, shown_endpoint, unspecified};
use super::error::Error;
use super::service::{self, GuestStack};
use super::slab::Id;
use super::stack::{Halves, Linger};
use crate::io::{Parts, PartsMut, Ready, Signal, Watch};
use crate::sync::{IrqLock, Once};
use crate::time::now_ns;

/// No datagram is longer than this (RFC 768).
const MAX_GATHERED: usize = 65_536;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
    kind: Kind,
    domain: Domain,
    role: Once<Role>,
    bound: IrqLock<Option<Local>>,
    watch: Arc<Watch>,
    /// The options.
    pub options: Options,
}

impl Socket {
    /// A new socket.
    pub fn new(domain: Domain, kind: Kind) -> Self {
        let watch = Arc::new(Watch::default());
        watch.publish(if kind == Kind::Stream { Ready::OUT | Ready::HUP } else { Ready::OUT });
        Self { kind, domain, role: Once::new(), bound: IrqLock::new(None), watch, options: Options::default() }
    }

    /// Whether it is TCP or UDP.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether its addresses are IPv4's or IPv6's.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// Readiness, and who waits for it.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    // ---- addresses ----

    /// What a socket without an address takes.
    fn family(&self) -> Family {
        match self.domain {
            Domain::V4 => Family::V4,
            Domain::V6 if self.options.v6_only.load(Ordering::Relaxed) => Family::V6,
            Domain::V6 => Family::Dual,
        }
    }

    /// The address that a program names, if a socket of this domain can have to do with it.
    fn canonical(&self, address: SocketAddr) -> Result<IpAddress, Error> {
        if address.is_ipv4() != (self.domain == Domain::V4) {
            return Err(Error::WrongFamily);
        }
        let ip = canonical(address.ip());
        // A mapped address is IPv4, also the unspecified one.
        let fits = ip == unspecified(true) || self.family().takes(ip);
        if fits { Ok(ip) } else { Err(Error::Unreachable) }
    }

    /// Where a program wants to be.
    fn place(&self, address: SocketAddr) -> Result<Local, Error> {
        let ip = self
            .canonical(address)
            .map_err(|error| if error == Error::Unreachable { Error::Invalid } else { error })?;
        let port = address.port();
        Ok(match ip {
            _ if ip == unspecified(true) => Local::any(self.family(), port),
            _ if ip == unspecified(false) => Local::any(Family::V4, port),
            _ => Local { family: self.family(), address: Some(ip), port },
        })
    }

    /// A destination. The unspecified address means this machine, as elsewhere.
    fn destination(&self, address: SocketAddr) -> Result<IpEndpoint, Error> {
        let ip = match self.canonical(address)? {
            IpAddress::Ipv4(ip) if ip.is_unspecified() => IpAddress::v4(127, 0, 0, 1),
            IpAddress::Ipv6(ip) if ip.is_unspecified() => IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1),
            ip => ip,
        };
        Ok(IpEndpoint::new(ip, address.port()))
    }

    fn shows_v6(&self) -> bool {
        self.domain == Domain::V6
    }

    fn shown(&self, endpoint: IpEndpoint) -> SocketAddr {
        shown_endpoint(endpoint, self.shows_v6())
    }

    fn shown_local(&self, local: Local) -> SocketAddr {
        match local.address {
            Some(address) => shown(address, local.port, self.shows_v6()),
            // Nothing maps the unspecified IPv4 address: an IPv6 socket bound to it shows `::`.
            None => SocketAddr::new(IpAddr::from(unspecified(self.shows_v6())), local.port),
        }
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
            timeout => Some(now_ns().saturating_add(timeout)),
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

    // ---- setting up ----

    /// Takes an address and a port; port 0 stands for any that is free.
    pub fn bind(&self, local: SocketAddr) -> Result<(), Error> {
        let local = self.place(local)?;
        if self.role.get().is_some() || self.bound.lock().is_some() {
            return Err(Error::Invalid);
        }
        match self.kind {
            Kind::Datagram => self.open_datagram(local).map(drop),
            Kind::Stream => {
                let local = service::with(|stack, _| stack.bind_stream(local))?;
                *self.bound.lock() = Some(local);
                Ok(())
            }
        }
    }

    fn bound(&self) -> Local {
        self.bound.lock().unwrap_or(Local::any(self.family(), 0))
    }

    /// Accepts connections from now on.
    pub fn listen(&self, backlog: usize) -> Result<(), Error> {
        if self.kind == Kind::Datagram {
            return Err(Error::NotSupported);
        }
        match self.role.get() {
            None => {}
            Some(Role::Listener(_)) => return Ok(()),
            Some(_) => return Err(Error::Invalid),
        }
        let (local, wishes) = (self.bound(), self.options.wishes());
        self.watch.publish(Ready::empty());
        let id = service::with(|stack, _| stack.listen(local, backlog, wishes, self.watch.clone()))?;
        let mut mine = false;
        self.role.call_once(|| {
            mine = true;
            Role::Listener(id)
        });
        if mine {
            return Ok(());
        }
        service::with(|stack, now| stack.unlisten(id, now));
        Err(Error::Invalid)
    }

    /// Takes the oldest connection that waits. Returns its socket and its peer.
    pub fn accept(&self) -> Result<(Self, SocketAddr), Error> {
        if self.kind == Kind::Datagram {
            return Err(Error::NotSupported);
        }
        let listener = self.listener()?;
        let accepted = self.block_on(Ready::IN, &self.options.receive_timeout, |stack, now| {
            let (id, watch, ends) = stack.accept(listener)?;
            self.apply(stack, id, now)?;
            Ok((id, watch, ends))
        });
        let (id, watch, ends) = accepted?;
        let socket = Self {
            kind: Kind::Stream,
            domain: self.domain,
            role: Once::initialized(Role::Stream(id)),
            bound: IrqLock::new(None),
            watch,
            options: self.options.inherited(),
        };
        Ok((socket, self.shown(ends.remote)))
    }

    /// Connects to `remote`. A UDP socket only notes its peer.
    pub fn connect(&self, remote: SocketAddr) -> Result<(), Error> {
        let remote = self.destination(remote)?;
        if self.kind == Kind::Datagram {
            let id = self.datagram()?;
            let peer = (remote.port != 0).then_some(remote);
            if peer.is_some() {
                Self::await_way(remote.addr)?;
            }
            return service::with(|stack, _| stack.datagrams().set_peer(id, peer));
        }
        let id = match self.role.get() {
            Some(Role::Stream(id)) => {
                // A second call asks how the first one goes.
                return match service::with(|stack, _| stack.connected(*id)) {
                    Ok(()) => Err(Error::IsConnected),
                    Err(error) => Err(error),
                };
            }
            Some(_) => return Err(Error::Invalid),
            None => self.start_connect(remote)?,
        };
        if self.options.nonblocking.load(Ordering::Relaxed) {
            // A connection to this machine itself is up as soon as its packets have gone round.
            service::pump();
            return match service::with(|stack, _| stack.connected(id)) {
                Err(Error::Already) => Err(Error::InProgress),
                outcome => outcome,
            };
        }
        let outcome = self.block_on(Ready::OUT, &self.options.send_timeout, |stack, _| match stack.connected(id) {
            Err(Error::Already) => Err(Error::WouldBlock),
            outcome => outcome,
        });
        match outcome {
            // As on Linux, what SO_SNDTIMEO ends is reported as still in progress.
            Err(Error::WouldBlock) => Err(Error::InProgress),
            outcome => outcome,
        }
    }

    fn start_connect(&self, remote: IpEndpoint) -> Result<Id, Error> {
        Self::await_way(remote.addr)?;
        let (local, wishes) = (*self.bound.lock(), self.options.wishes());
        let id = service::with(|stack, now| {
            let id = stack.connect(remote, local, wishes, self.watch.clone(), now)?;
            self.apply(stack, id, now)?;
            Ok::<Id, Error>(id)
        })?;
        let mut mine = false;
        self.role.call_once(|| {
            mine = true;
            Role::Stream(id)
        });
        if mine {
            return Ok(id);
        }
        service::with(|stack, now| stack.close(id, Linger::Reset, now));
        Err(Error::Already)
    }

    // ---- transferring ----

    /// Sends the bytes of `parts`, as many as there is room for and at least one, to the peer.
    pub fn send(&self, parts: &Parts<'_>) -> Result<usize, Error> {
        if self.kind == Kind::Datagram {
            let mut all = parts.iter().filter(|part| !part.is_empty());
            return match (all.next(), all.next()) {
                (first, None) => self.send_to(first.unwrap_or_default(), None),
                // A datagram is one piece. More than a packet holds is refused all the same.
                _ => self.send_to(&parts.iter().flatten().take(MAX_GATHERED).copied().collect::<Vec<u8>>(), None),
            };
        }
        let id = self.stream()?;
        self.block_on(Ready::OUT, &self.options.send_timeout, |stack, now| stack.send(id, parts.iter(), now))
    }

    /// Receives into `parts`, at least one byte, or zero at the end of the data.
    pub fn receive(&self, parts: &mut PartsMut<'_>, peek: bool) -> Result<usize, Error> {
        if self.kind == Kind::Datagram {
            let mut all = parts.iter_mut().filter(|part| !part.is_empty());
            return match (all.next(), all.next()) {
                (first, None) => self.receive_from(first.unwrap_or_default(), peek).map(|(len, _)| len),
                (first, second) => self.scatter(first.into_iter().chain(second).chain(all), peek),
            };
        }
        let id = self.stream()?;
        let timeout = &self.options.receive_timeout;
        self.block_on(Ready::IN, timeout, |stack, now| stack.receive(id, parts.iter_mut(), peek, now))
    }

    /// Receives a datagram into several buffers.
    fn scatter<'b>(&self, parts: impl Iterator<Item = &'b mut [u8]>, peek: bool) -> Result<usize, Error> {
        let mut datagram = vec![0; MAX_GATHERED];
        let (len, _) = self.receive_from(&mut datagram, peek)?;
        let mut rest = &datagram[..len];
        for part in parts {
            let (now, later) = rest.split_at(part.len().min(rest.len()));
            part[..now.len()].copy_from_slice(now);
            rest = later;
        }
        Ok(len - rest.len())
    }

    /// Sends one datagram to `to`, or to the connected peer. On a stream, `to` is ignored.
    pub fn send_to(&self, bytes: &[u8], to: Option<SocketAddr>) -> Result<usize, Error> {
        if self.kind == Kind::Stream {
            return self.send(&Parts::one(bytes));
        }
        let to = to.map(|to| self.destination(to)).transpose()?;
        let id = self.datagram()?;
        if let Some(to) = to {
            Self::await_way(to.addr)?;
        }
        self.block_on(Ready::OUT, &self.options.send_timeout, |stack, now| stack.send_datagram(id, bytes, to, now))
    }

    /// Receives one datagram, and says who sent it. On a stream, that is the peer.
    pub fn receive_from(&self, into: &mut [u8], peek: bool) -> Result<(usize, SocketAddr), Error> {
        if self.kind == Kind::Stream {
            let id = self.stream()?;
            return self.block_on(Ready::IN, &self.options.receive_timeout, |stack, now| {
                let len = stack.receive(id, core::iter::once(&mut *into), peek, now)?;
                Ok((len, self.shown(stack.ends(id)?.remote)))
            });
        }
        let id = self.datagram()?;
        self.block_on(Ready::IN, &self.options.receive_timeout, |stack, _| {
            let (len, from) = stack.datagrams().receive(id, into, peek)?;
            Ok((len, self.shown(from)))
        })
    }

    /// Closes halves of a connection.
    pub fn shutdown(&self, halves: Halves) -> Result<(), Error> {
        let id = self.stream()?;
        service::with(|stack, now| stack.shutdown(id, halves, now))
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
                    service::wait_for_delivery(
                        *id,
                        now_ns().saturating_add((linger - 1).saturating_mul(1_000_000_000)),
                    );
                }
            }
        }
    }
}
