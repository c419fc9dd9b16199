//! What makes a socket a listener, a connection or a UDP socket.

use core::net::SocketAddr;
use core::sync::atomic::Ordering;

use smoltcp::wire::IpEndpoint;

use super::{Role, Socket, SocketType};
use crate::io::{Ready, Signal};
use crate::net::address::Local;
use crate::net::error::Error;
use crate::net::service;
use crate::net::slab::Id;
use crate::net::stack::Linger;
use crate::sync::{IrqLock, Once};

impl Socket {
    /// Takes an address and a port; port 0 stands for any that is free.
    pub fn bind(&self, local: SocketAddr) -> Result<(), Error> {
        let local = self.place(local)?;
        if self.role.get().is_some() || self.bound.lock().is_some() {
            return Err(Error::Invalid);
        }
        match self.socket_type {
            SocketType::Datagram => self.open_datagram(local).map(drop),
            SocketType::Stream => {
                let local = service::with(|stack, _| stack.bind_stream(local))?;
                *self.bound.lock() = Some(local);
                Ok(())
            }
        }
    }

    pub(super) fn bound(&self) -> Local {
        self.bound.lock().unwrap_or(Local::any(self.family(), 0))
    }

    /// Accepts connections from now on.
    pub fn listen(&self, backlog: usize) -> Result<(), Error> {
        if self.socket_type == SocketType::Datagram {
            return Err(Error::NotSupported);
        }
        match self.role.get() {
            None => {}
            Some(Role::Listener(_)) => return Ok(()),
            Some(_) => return Err(Error::Invalid),
        }
        let (local, sizes) = (self.bound(), self.options.sizes());
        self.watch.publish(Ready::empty());
        let id = service::with(|stack, _| stack.listen(local, backlog, sizes, self.watch.clone()))?;
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
        if self.socket_type == SocketType::Datagram {
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
            socket_type: SocketType::Stream,
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
        if self.socket_type == SocketType::Datagram {
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
        let (local, sizes) = (*self.bound.lock(), self.options.sizes());
        let id = service::with(|stack, now| {
            let id = stack.connect(remote, local, sizes, self.watch.clone(), now)?;
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
}
