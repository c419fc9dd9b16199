//! Carries TCP connections from a port of the host to a port of the guest.
//!
//! QEMU's user network can do that by itself, but it listens with a backlog of 1: of fifty clients that connect at
//! once most wait for seconds. So xtask listens where the clients connect, with a queue for thousands, and makes
//! connections to QEMU's port as fast as QEMU takes them ([`backlog`]). One thread with one event loop carries them
//! all ([`reactor`]); between two connections nothing is shared but the loop, and each has bounded buffers
//! ([`pipe`]).
//!
//! A forwarder changes nothing that its two ends can see: bytes, half-closes and resets arrive as they were sent.

mod backlog;
mod connection;
mod pipe;
mod reactor;
mod source;

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use socket2::{Domain, Protocol, Socket, Type};

use crate::output::warn;

/// How many clients may wait to be accepted. Linux cuts it to net.core.somaxconn, which is 4096 nowadays.
const BACKLOG: i32 = 4096;

/// Where the connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An ordinary listener.
    Direct(SocketAddr),
    /// A listener on this machine whose accept queue is short: connections are made one at a time, and only while the
    /// queue has room.
    Paced(SocketAddrV4),
}

/// Listens at `address` for clients of a forwarder that is started later: they wait until then.
///
/// # Errors
/// When the port is taken or may not be used; the message names the port.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listening = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    listening().map_err(|error| {
        let (port, host) = (address.port(), address.ip());
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("port {port} is in use; choose another one with --port (0: a free one)")
            }
            io::ErrorKind::AddrNotAvailable => format!("{host} is no address of this machine; see --listen"),
            io::ErrorKind::PermissionDenied => {
                format!("port {port} is not for every user; choose another one with --port")
            }
            _ => error.to_string(),
        };
        anyhow!("cannot listen on {address}: {why}")
    })
}

/// A running forwarder. Dropping it ends every connection that it carries.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Arc<mio::Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Starts to accept at `listener`, which [`listen`] has made, and to carry each connection to `target`.
    ///
    /// # Errors
    /// When the system has no more descriptors or threads.
    pub fn start(listener: TcpListener, target: Target) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut reactor = reactor::Reactor::new(listener, target, Arc::clone(&stop))?;
        let waker = reactor.waker();
        let thread = thread::Builder::new().name("forwarder".to_owned()).spawn(move || {
            if let Err(error) = reactor.run() {
                warn(format_args!("the forwarder on {address} has stopped: {error}"));
            }
        })?;
        Ok(Self { address, stop, waker, thread: Some(thread) })
    }

    /// The address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Waking fails only if the loop is gone already. A panic in it has been reported by its thread.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
