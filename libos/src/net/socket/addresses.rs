//! The addresses that a socket names and shows.

use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::Ordering;

use smoltcp::wire::{IpAddress, IpEndpoint};

use super::{Domain, Socket};
use crate::net::address::{Family, Local, canonical, shown, shown_endpoint, unspecified};
use crate::net::error::Error;

impl Socket {
    /// What a socket without an address takes.
    pub(super) fn family(&self) -> Family {
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
    pub(super) fn place(&self, address: SocketAddr) -> Result<Local, Error> {
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
    pub(super) fn destination(&self, address: SocketAddr) -> Result<IpEndpoint, Error> {
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

    pub(super) fn shown(&self, endpoint: IpEndpoint) -> SocketAddr {
        shown_endpoint(endpoint, self.shows_v6())
    }

    pub(super) fn shown_local(&self, local: Local) -> SocketAddr {
        match local.address {
            Some(address) => shown(address, local.port, self.shows_v6()),
            // Nothing maps the unspecified IPv4 address: an IPv6 socket bound to it shows `::`.
            None => SocketAddr::new(IpAddr::from(unspecified(self.shows_v6())), local.port),
        }
    }
}
