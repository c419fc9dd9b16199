//! A program's socket: the calls that block, and the options that they obey.

use alloc::sync::Arc;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpEndpoint, IpListenEndpoint};

use super::error::Error;
use super::service::{self, GuestStack};
use super::slab::Id;
use super::stack::{Halves, Linger};
use crate::io::{Parts, PartsMut, Ready, Signal, Watch};
use crate::sync::{IrqLock, Once};
use crate::time::now_ns;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

/// What a socket has become.
#[derive(Clone, Copy, Debug)]
enum Role {
    Listener(Id),
    Stream(Id),
    Datagram(Id),
}

/// The options that a socket keeps itself.
#[derive(Debug, Default)]
pub struct Options {
    /// Calls fail with [`Error::WouldBlock`] instead of blocking.
    pub nonblocking: AtomicBool,
    /// How long a read may block, in nanoseconds; 0 is for ever.
    pub receive_timeout: AtomicU64,
    /// How long a write or a connect may block, in nanoseconds; 0 is for ever.
    pub send_timeout: AtomicU64,
    /// Accepted for the program's comfort: an old connection never keeps a port from being listened on.
    pub reuse_address: AtomicBool,
    /// Accepted for the program's comfort: broadcasts are always allowed.
    pub broadcast: AtomicBool,
    /// Small segments are sent at once.
    pub nodelay: AtomicBool,
    /// An idle peer is not asked for signs of life.
    pub no_keep_alive: AtomicBool,
    /// The time to live of outgoing packets; 0 stands for the default of 64.
    pub hop_limit: AtomicU8,
    /// `SO_LINGER`: 0 is off, else the seconds plus one.
    pub linger: AtomicU64,
}

/// A socket.
#[derive(Debug)]
pub struct Socket {
    kind: Kind,
    role: Once<Role>,
    bound: IrqLock<Option<IpListenEndpoint>>,
    watch: Arc<Watch>,
    /// The options.
    pub options: Options,
}

/// In the words of smoltcp, where no address means any.
fn listen_endpoint(address: SocketAddrV4) -> IpListenEndpoint {
    let ip = *address.ip();
    IpListenEndpoint { addr: (!ip.is_unspecified()).then_some(IpAddress::Ipv4(ip)), port: address.port() }
}

/// A destination in the words of smoltcp. The unspecified address means this machine, as elsewhere.
fn endpoint(address: SocketAddrV4) -> IpEndpoint {
    let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST } else { *address.ip() };
    IpEndpoint::new(IpAddress::Ipv4(ip), address.port())
}

fn address(endpoint: IpEndpoint) -> SocketAddrV4 {
    let IpAddress::Ipv4(ip) = endpoint.addr;
    SocketAddrV4::new(ip, endpoint.port)
}

fn listen_address(endpoint: IpListenEndpoint) -> SocketAddrV4 {
    let any = IpAddress::v4(0, 0, 0, 0);
    address(IpEndpoint::new(endpoint.addr.unwrap_or(any), endpoint.port))
}

impl Socket {
    /// A new socket.
    pub fn new(kind: Kind) -> Self {
        let watch = Arc::new(Watch::default());
        watch.publish(if kind == Kind::Stream { Ready::OUT | Ready::HUP } else { Ready::OUT });
        Self { kind, role: Once::new(), bound: IrqLock::new(None), watch, options: Options::default() }
    }

    /// Whether it is TCP or UDP.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Readiness, and who waits for it.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

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
            _ => self.open_datagram(IpListenEndpoint::default()),
        }
    }

    /// Opens the UDP socket, once.
    fn open_datagram(&self, local: IpListenEndpoint) -> Result<Id, Error> {
        let id = service::with(|stack, _| stack.bind_datagram(local, self.watch.clone()))?;
        let mut mine = false;
        let role = self.role.call_once(|| {
            mine = true;
            Role::Datagram(id)
        });
        if !mine {
            service::with(|stack, _| stack.datagrams().close(id));
        } else if let limit @ 1.. = self.options.hop_limit.load(Ordering::Relaxed) {
            service::with(|stack, _| stack.datagrams().set_hop_limit(id, limit))?;
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

    // ---- setting up ----

    /// Takes an address and a port; port 0 stands for any that is free.
    pub fn bind(&self, local: SocketAddrV4) -> Result<(), Error> {
        let local = listen_endpoint(local);
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
        let local = self.bound.lock().unwrap_or_default();
        self.watch.publish(Ready::empty());
        let id = service::with(|stack, _| stack.listen(local, backlog, self.watch.clone()))?;
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
    pub fn accept(&self) -> Result<(Self, SocketAddrV4), Error> {
        if self.kind == Kind::Datagram {
            return Err(Error::NotSupported);
        }
        let listener = self.listener()?;
        let accepted = self.block_on(Ready::IN, &self.options.receive_timeout, |stack, now| {
            let (id, watch, ends) = stack.accept(listener)?;
            if self.options.nodelay.load(Ordering::Relaxed) {
                stack.set_nodelay(id, true, now)?;
            }
            if let limit @ 1.. = self.options.hop_limit.load(Ordering::Relaxed) {
                stack.set_hop_limit(id, limit)?;
            }
            Ok((id, watch, ends))
        });
        let (id, watch, ends) = accepted?;
        let socket = Self {
            kind: Kind::Stream,
            role: Once::initialized(Role::Stream(id)),
            bound: IrqLock::new(None),
            watch,
            options: Options::default(),
        };
        socket.options.nodelay.store(self.options.nodelay.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok((socket, address(ends.remote)))
    }

    /// Connects to `remote`. A UDP socket only notes its peer.
    pub fn connect(&self, remote: SocketAddrV4) -> Result<(), Error> {
        if self.kind == Kind::Datagram {
            let id = self.datagram()?;
            let peer = (remote.port() != 0).then(|| endpoint(remote));
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
            None => self.start_connect(endpoint(remote))?,
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
        if !service::with(|stack, _| stack.is_reachable(remote.addr)) && !service::wait_for_address() {
            return Err(Error::Unreachable);
        }
        let local = *self.bound.lock();
        let id = service::with(|stack, now| {
            let id = stack.connect(remote, local, self.watch.clone(), now)?;
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

    /// Gives a new connection the options that were set before it existed.
    fn apply(&self, stack: &mut GuestStack, id: Id, now: Instant) -> Result<(), Error> {
        if self.options.nodelay.load(Ordering::Relaxed) {
            stack.set_nodelay(id, true, now)?;
        }
        if self.options.no_keep_alive.load(Ordering::Relaxed) {
            stack.set_keep_alive(id, false, now)?;
        }
        match self.options.hop_limit.load(Ordering::Relaxed) {
            0 => Ok(()),
            limit => stack.set_hop_limit(id, limit),
        }
    }

    // ---- transferring ----

    /// Sends the bytes of `parts`, as many as there is room for and at least one, to the peer.
    pub fn send(&self, parts: &Parts<'_>) -> Result<usize, Error> {
        if self.kind == Kind::Datagram {
            let mut all = parts.iter().filter(|part| !part.is_empty());
            return match (all.next(), all.next()) {
                (first, None) => self.send_to(first.unwrap_or_default(), None),
                // A datagram is one piece.
                _ => Err(Error::NotSupported),
            };
        }
        let id = self.stream()?;
        self.block_on(Ready::OUT, &self.options.send_timeout, |stack, now| stack.send(id, parts.iter(), now))
    }

    /// Receives into `parts`, at least one byte, or zero at the end of the data.
    pub fn receive(&self, parts: &mut PartsMut<'_>, peek: bool) -> Result<usize, Error> {
        if self.kind == Kind::Datagram {
            return match parts.iter_mut().find(|part| !part.is_empty()) {
                Some(first) => self.receive_from(first, peek).map(|(len, _)| len),
                None => Ok(0),
            };
        }
        let id = self.stream()?;
        let timeout = &self.options.receive_timeout;
        self.block_on(Ready::IN, timeout, |stack, now| stack.receive(id, parts.iter_mut(), peek, now))
    }

    /// Sends one datagram to `to`, or to the connected peer. On a stream, `to` is ignored.
    pub fn send_to(&self, bytes: &[u8], to: Option<SocketAddrV4>) -> Result<usize, Error> {
        if self.kind == Kind::Stream {
            return self.send(&Parts::one(bytes));
        }
        let id = self.datagram()?;
        let to = to.map(endpoint);
        if let Some(to) = to
            && !service::with(|stack, _| stack.is_reachable(to.addr))
            && !service::wait_for_address()
        {
            return Err(Error::Unreachable);
        }
        self.block_on(Ready::OUT, &self.options.send_timeout, |stack, now| stack.send_datagram(id, bytes, to, now))
    }

    /// Receives one datagram, and says who sent it. On a stream, that is the peer.
    pub fn receive_from(&self, into: &mut [u8], peek: bool) -> Result<(usize, SocketAddrV4), Error> {
        if self.kind == Kind::Stream {
            let id = self.stream()?;
            return self.block_on(Ready::IN, &self.options.receive_timeout, |stack, now| {
                let len = stack.receive(id, core::iter::once(&mut *into), peek, now)?;
                Ok((len, address(stack.ends(id)?.remote)))
            });
        }
        let id = self.datagram()?;
        self.block_on(Ready::IN, &self.options.receive_timeout, |stack, _| {
            let (len, from) = stack.datagrams().receive(id, into, peek)?;
            Ok((len, address(from)))
        })
    }

    /// Closes halves of a connection.
    pub fn shutdown(&self, halves: Halves) -> Result<(), Error> {
        let id = self.stream()?;
        service::with(|stack, now| stack.shutdown(id, halves, now))
    }

    // ---- asking ----

    /// This end's address.
    pub fn local(&self) -> Result<SocketAddrV4, Error> {
        let bound = self.bound.lock().unwrap_or_default();
        match self.role.get() {
            None => Ok(listen_address(bound)),
            Some(Role::Listener(id)) => Ok(listen_address(service::with(|stack, _| stack.listening_at(*id))?)),
            Some(Role::Stream(id)) => Ok(address(service::with(|stack, _| stack.ends(*id))?.local)),
            Some(Role::Datagram(id)) => Ok(listen_address(service::with(|stack, _| stack.datagrams().local(*id))?)),
        }
    }

    /// The peer's address.
    pub fn peer(&self) -> Result<SocketAddrV4, Error> {
        match self.role.get() {
            Some(Role::Stream(id)) => service::with(|stack, _| {
                if stack.has_peer(*id) { Ok(address(stack.ends(*id)?.remote)) } else { Err(Error::NotConnected) }
            }),
            Some(Role::Datagram(id)) => Ok(address(service::with(|stack, _| stack.datagrams().peer(*id))?)),
            _ => Err(Error::NotConnected),
        }
    }

    /// Takes the error that waits.
    pub fn take_error(&self) -> Option<Error> {
        let id = self.stream().ok()?;
        service::with(|stack, _| stack.take_error(id))
    }

    // ---- options that the stack has to know of ----

    /// Sends small segments at once, or not.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<(), Error> {
        self.options.nodelay.store(nodelay, Ordering::Relaxed);
        match self.stream() {
            Ok(id) => service::with(|stack, now| stack.set_nodelay(id, nodelay, now)),
            Err(_) => Ok(()),
        }
    }

    /// Asks an idle peer for signs of life, or not.
    pub fn set_keep_alive(&self, on: bool) -> Result<(), Error> {
        self.options.no_keep_alive.store(!on, Ordering::Relaxed);
        match self.stream() {
            Ok(id) => service::with(|stack, now| stack.set_keep_alive(id, on, now)),
            Err(_) => Ok(()),
        }
    }

    /// Sets the time to live of outgoing packets.
    pub fn set_hop_limit(&self, limit: u8) -> Result<(), Error> {
        self.options.hop_limit.store(limit, Ordering::Relaxed);
        match self.role.get() {
            Some(Role::Stream(id)) => service::with(|stack, _| stack.set_hop_limit(*id, limit)),
            Some(Role::Datagram(id)) => service::with(|stack, _| stack.datagrams().set_hop_limit(*id, limit)),
            _ => Ok(()),
        }
    }
}

impl Drop for Socket {
    /// Never blocks: what is to be sent is sent in the background.
    fn drop(&mut self) {
        let linger = match self.options.linger.load(Ordering::Relaxed) {
            1 => Linger::Reset,
            _ => Linger::Background,
        };
        match self.role.get() {
            None => {}
            Some(Role::Listener(id)) => service::with(|stack, now| stack.unlisten(*id, now)),
            Some(Role::Stream(id)) => service::with(|stack, now| stack.close(*id, linger, now)),
            Some(Role::Datagram(id)) => service::with(|stack, _| stack.datagrams().close(*id)),
        }
    }
}
