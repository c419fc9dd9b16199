//! The resolver's datagrams, over this machine's own sockets.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::Ordering;

use super::dns::{self, Carrier, LookupError, Name};
use super::socket::{Domain, Socket, SocketType};
use super::{Error, service};
use crate::arch::entropy;
use crate::time::{Instant, now};

/// The addresses of a host, the most promising first.
pub fn resolve(host: &str) -> Result<Vec<IpAddr>, LookupError> {
    if let Some(known) = dns::known(host) {
        return Ok(known);
    }
    let name = Name::new(host).ok_or(LookupError::NoName)?;
    let servers = service::name_servers();
    let mut addresses = dns::lookup(&mut Sockets { open: None }, &servers, &name)?;
    // Programs try one after the other: what cannot be reached goes last, and else IPv4 before IPv6, because only for
    // IPv6 does a way there not mean that there is one back.
    addresses.sort_by_key(|&address| (!service::is_reachable(address), address.is_ipv6()));
    Ok(addresses)
}

/// A socket for each server that is asked, and with it a port that is hard to guess.
struct Sockets {
    open: Option<(SocketAddr, Socket)>,
}

impl Sockets {
    fn connected(&mut self, server: SocketAddr) -> Result<&Socket, Error> {
        if self.open.as_ref().is_none_or(|(to, _)| *to != server) {
            let domain = if server.is_ipv4() { Domain::V4 } else { Domain::V6 };
            let socket = Socket::new(domain, SocketType::Datagram);
            socket.connect(server)?;
            self.open = Some((server, socket));
        }
        self.open.as_ref().map(|(_, socket)| socket).ok_or(Error::NotConnected)
    }
}

impl Carrier for Sockets {
    fn ask(&mut self, server: SocketAddr, question: &[u8]) -> bool {
        self.connected(server).and_then(|socket| socket.send_to(question, None)).is_ok()
    }

    fn hear(&mut self, into: &mut [u8], deadline: Instant) -> Option<usize> {
        let (_, socket) = self.open.as_ref()?;
        let left = deadline.saturating_duration_since(now());
        if left.is_zero() {
            return None;
        }
        socket.options.receive_timeout.store(left.as_nanos() as u64, Ordering::Relaxed);
        socket.receive_from(into, false).ok().map(|(len, _)| len)
    }

    fn now(&self) -> Instant {
        now()
    }

    fn random(&mut self) -> u16 {
        entropy::random().unwrap_or_else(|| now().as_nanos()) as u16
    }
}
