//! The network card's addresses: by DHCP, from router advertisements, or as configured; and which one to send from.

use alloc::vec::Vec;

use smoltcp::iface::SocketHandle;
use smoltcp::phy::{Device, TxToken};
use smoltcp::socket::dhcpv4;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpAddress, IpCidr, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr};

use super::Stack;
use crate::io::Signal;
use crate::net::address::impossible_host;
use crate::net::error::Error;
use crate::net::frame::is_loopback;
use crate::net::link::Via;
use crate::net::slaac::{SOLICITATION_LEN, Slaac, link_local};

/// How long a DHCP server is waited for before the question is asked again.
const DHCP_RETRY: Duration = Duration::from_secs(2);
/// How long after an address was refused servers are asked again (RFC 2131, section 3.1).
const DHCP_PAUSE: Duration = Duration::from_secs(10);

/// A change of the network card's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressChange {
    /// It has this address now.
    Configured {
        /// The address and its network.
        address: IpCidr,
        /// Whether it was learnt: from a DHCP server, or from a router.
        learnt: bool,
    },
    /// The DHCP server has taken it back, or the router's word for it is over.
    Lost {
        /// The address and its network.
        address: IpCidr,
    },
    /// A DHCP server has offered an address, or a router, that no host can have. It is asked again later.
    Refused {
        /// The address.
        address: Ipv4Address,
        /// It was to be the router's.
        router: bool,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Where the card's addresses come from, and what else comes with them.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    dhcp: Option<SocketHandle>,
    /// DHCP servers have offered nonsense, and are asked again at this time.
    dhcp_again_at: Option<Instant>,
    /// What was refused last, which is told once.
    refused: Option<AddressChange>,
    slaac: Option<Slaac>,
    /// The advertisements since the last look have changed something.
    advertised: bool,
    v4: Option<Ipv4Cidr>,
    link_local: Option<Ipv6Cidr>,
    v6: Option<Ipv6Cidr>,
    v6_gateway: Option<Ipv6Address>,
    dhcp_servers: Vec<Ipv4Address>,
}

impl Addresses {
    /// A router has said something.
    pub fn advertised(&mut self, router: Ipv6Address, message: &[u8], now: Instant) {
        if let Some(slaac) = &mut self.slaac {
            self.advertised |= slaac.advertised(router, message, now);
        }
    }

    /// All addresses that the card is to have.
    fn list(&self) -> impl Iterator<Item = IpCidr> {
        let v4 = self.v4.map(IpCidr::Ipv4);
        let fixed = [self.link_local, self.v6].into_iter().flatten();
        let learnt = self.slaac.iter().flat_map(Slaac::addresses);
        v4.into_iter().chain(fixed.chain(learnt).map(IpCidr::Ipv6))
    }
}

impl<D: Device, S: Signal> Stack<D, S> {
    /// Asks a DHCP server for an address.
    pub fn use_dhcp(&mut self, now: Instant) {
        let Some(nic) = &mut self.nic else { return };
        let mut socket = dhcpv4::Socket::new();
        let mut retry = dhcpv4::RetryConfig::default();
        retry.discover_timeout = DHCP_RETRY;
        retry.initial_request_timeout = DHCP_RETRY;
        socket.set_retry_config(retry);
        self.addresses.dhcp = Some(nic.shared.add(socket));
        self.addresses.dhcp_again_at = None;
        self.shared_at = Some(now);
    }

    /// Gives the network card a fixed IPv4 address.
    pub fn use_address(&mut self, address: Ipv4Cidr, gateway: Option<Ipv4Address>) {
        self.set_ipv4(Some(address), gateway, false);
    }

    /// Gives the network card a link-local IPv6 address, and asks routers for more.
    pub fn use_slaac(&mut self, now: Instant) {
        let Some(nic) = &self.nic else { return };
        self.addresses.link_local = Some(link_local(nic.mac));
        self.addresses.slaac = Some(Slaac::new(nic.mac, now));
        self.shared_at = Some(now);
        self.readdress(false);
    }

    /// Gives the network card a link-local and a fixed IPv6 address.
    pub fn use_ipv6_address(&mut self, address: Ipv6Cidr, gateway: Option<Ipv6Address>) {
        let Some(nic) = &self.nic else { return };
        self.addresses.link_local = Some(link_local(nic.mac));
        self.addresses.v6 = Some(address);
        self.addresses.v6_gateway = gateway;
        self.readdress(false);
    }

    fn set_ipv4(&mut self, address: Option<Ipv4Cidr>, gateway: Option<Ipv4Address>, learnt: bool) {
        let Some(nic) = &mut self.nic else { return };
        nic.interface.routes_mut().remove_default_ipv4_route();
        if let Some(gateway) = gateway {
            let _ = nic.interface.routes_mut().add_default_ipv4_route(gateway);
        }
        self.addresses.v4 = address;
        self.readdress(learnt);
    }

    /// Gives the interface the addresses and the IPv6 route that it is to have now.
    fn readdress(&mut self, learnt: bool) {
        let Some(nic) = &mut self.nic else { return };
        let router = self.addresses.slaac.as_ref().and_then(Slaac::router).or(self.addresses.v6_gateway);
        nic.interface.routes_mut().remove_default_ipv6_route();
        if let Some(router) = router {
            let _ = nic.interface.routes_mut().add_default_ipv6_route(router);
        }
        let wanted: Vec<IpCidr> = self.addresses.list().collect();
        let before: Vec<IpCidr> = nic.interface.ip_addrs().to_vec();
        let changes = before.iter().filter(|address| !wanted.contains(address));
        self.changes.extend(changes.map(|&address| AddressChange::Lost { address }));
        let changes = wanted.iter().filter(|address| !before.contains(address) && !is_link_local(address));
        self.changes.extend(changes.map(|&address| AddressChange::Configured { address, learnt }));
        if wanted != before {
            nic.interface.update_ip_addrs(|addresses| {
                addresses.clear();
                // There is room for one, two and as many as `Slaac` keeps.
                addresses.extend(wanted.into_iter().take(addresses.capacity()));
            });
        }
        self.sockets.addresses_changed();
    }

    /// Lets DHCP and router discovery act, and takes over what they have found.
    pub(super) fn serve_shared(&mut self, now: Instant) {
        if self.addresses.dhcp_again_at.is_some_and(|at| at <= now) {
            self.use_dhcp(now);
        }
        let Some(nic) = &mut self.nic else { return };
        while nic.transmit_shared(now) {}
        let mut at = self.addresses.dhcp_again_at;
        let mut leased = None;
        if let Some(dhcp) = self.addresses.dhcp {
            leased = nic.shared.get_mut::<dhcpv4::Socket<'_>>(dhcp).poll().map(|event| match event {
                dhcpv4::Event::Configured(config) => {
                    self.addresses.dhcp_servers = config.dns_servers.iter().copied().collect();
                    (Some(config.address), config.router)
                }
                dhcpv4::Event::Deconfigured => (None, None),
            });
            at = nic.interface.poll_at(now, &nic.shared).map(|at| at.max(now)).or(at);
        }
        let mut advertised = core::mem::take(&mut self.addresses.advertised);
        if let Some(slaac) = &mut self.addresses.slaac {
            let (changed, solicit) = slaac.poll(now);
            advertised |= changed;
            if solicit && let Some(token) = nic.device.transmit(now) {
                token.consume(SOLICITATION_LEN, |frame| slaac.solicitation(frame));
            }
            at = at.into_iter().chain(slaac.deadline()).min();
        }
        self.shared_at = at;
        // DHCP begins with the news that there is no address, which is none.
        if let Some((address, gateway)) = leased
            && (address.is_some() || self.addresses.v4.is_some())
        {
            self.take_lease(address, gateway, now);
        }
        if advertised {
            self.readdress(true);
        }
    }

    /// Takes what a DHCP server has given, as far as a host can have it.
    fn take_lease(&mut self, address: Option<Ipv4Cidr>, gateway: Option<Ipv4Address>, now: Instant) {
        let prefix_len = address.map_or(0, |cidr| cidr.prefix_len());
        let fault = |address: Ipv4Address| impossible_host(address, prefix_len);
        if let Some(cidr) = address
            && let Some(why) = fault(cidr.address())
        {
            self.refuse(AddressChange::Refused { address: cidr.address(), router: false, why });
            self.set_ipv4(None, None, true);
            return self.pause_dhcp(now);
        }
        let gateway = gateway.filter(|&router| {
            let why = fault(router);
            if let Some(why) = why {
                self.refuse(AddressChange::Refused { address: router, router: true, why });
            }
            why.is_none()
        });
        self.set_ipv4(address, gateway, true);
    }

    fn refuse(&mut self, change: AddressChange) {
        if self.addresses.refused.replace(change) != Some(change) {
            self.changes.push(change);
        }
    }

    /// Asks no DHCP server for a while.
    fn pause_dhcp(&mut self, now: Instant) {
        if let (Some(nic), Some(dhcp)) = (&mut self.nic, self.addresses.dhcp.take()) {
            nic.shared.remove(dhcp);
        }
        let again = now + DHCP_PAUSE;
        self.addresses.dhcp_again_at = Some(again);
        self.shared_at = Some(self.shared_at.map_or(again, |at| at.min(again)));
    }

    /// The network card's IPv4 address, once it has one.
    #[cfg(test)]
    pub fn address(&self) -> Option<Ipv4Address> {
        self.addresses.v4.map(|cidr| cidr.address())
    }

    /// The network card's IPv4 address and its network.
    pub(super) fn ipv4_network(&self) -> Option<Ipv4Cidr> {
        self.addresses.v4
    }

    /// The largest IP packet that a link takes.
    pub(super) fn mtu(&self, via: Via) -> usize {
        match (via, &self.nic) {
            (Via::Nic, Some(nic)) => nic.ip_mtu(),
            _ => self.loopback.ip_mtu(),
        }
    }

    /// The name servers that DHCP and the routers have named.
    pub fn name_servers(&self) -> impl Iterator<Item = IpAddress> {
        let v4 = self.addresses.dhcp_servers.iter().copied().map(IpAddress::Ipv4);
        v4.chain(self.addresses.slaac.iter().flat_map(Slaac::servers).map(IpAddress::Ipv6))
    }

    /// Whether an address with which `address` could be reached may still be on its way.
    pub fn is_configuring(&self, address: IpAddress) -> bool {
        match address {
            IpAddress::Ipv4(_) => {
                let asking = self.addresses.dhcp.is_some() || self.addresses.dhcp_again_at.is_some();
                asking && self.addresses.v4.is_none()
            }
            IpAddress::Ipv6(_) => self.addresses.slaac.as_ref().is_some_and(Slaac::is_asking),
        }
    }

    // ---- ways ----

    /// The link that a packet to `address` takes.
    pub(super) fn via(&self, address: IpAddress) -> Via {
        let Some(nic) = &self.nic else { return Via::Loopback };
        if nic.has_address(address) || is_loopback(address) { Via::Loopback } else { Via::Nic }
    }

    /// Whether `address` is one of this machine's, to which a program may bind.
    pub fn is_local(&self, address: IpAddress) -> bool {
        is_loopback(address) || self.nic.as_ref().is_some_and(|nic| nic.has_address(address))
    }

    /// Whether there is a way to `address` now.
    pub fn is_reachable(&self, address: IpAddress) -> bool {
        self.source_for(address).is_ok()
    }

    /// This machine's address on the way to `address`.
    pub(super) fn source_for(&self, address: IpAddress) -> Result<IpAddress, Error> {
        if self.is_local(address) {
            return Ok(address);
        }
        let Some(nic) = &self.nic else {
            // A group's members can all be on this machine.
            return match address {
                IpAddress::Ipv4(group) if group.is_multicast() => Ok(IpAddress::v4(127, 0, 0, 1)),
                IpAddress::Ipv6(group) if group.is_multicast() => Ok(IpAddress::Ipv6(Ipv6Address::LOCALHOST)),
                _ => Err(Error::Unreachable),
            };
        };
        let own = nic.interface.ip_addrs();
        match address {
            IpAddress::Ipv4(to) => {
                let from = nic.interface.get_source_address_ipv4(&to).ok_or(Error::Unreachable)?;
                let direct =
                    to.is_multicast() || to.is_broadcast() || own.iter().any(|own| own.contains_addr(&address));
                let routed = direct || nic.interface.routes().get_default_ipv4_route().is_some();
                routed.then_some(IpAddress::Ipv4(from)).ok_or(Error::Unreachable)
            }
            IpAddress::Ipv6(to) => {
                let of = |local: bool| {
                    own.iter()
                        .map(IpCidr::address)
                        .filter(move |own| matches!(own, IpAddress::Ipv6(own) if own.is_unicast_link_local() == local))
                };
                // Scopes (RFC 4291, section 2.7): 1 is this machine, 2 the link.
                if to.is_unicast_link_local() || (to.is_multicast() && to.octets()[1] & 15 <= 2) {
                    return of(true).next().ok_or(Error::Unreachable);
                }
                let near = own.iter().find(|own| own.contains_addr(&address)).map(IpCidr::address);
                let routed = to.is_multicast() || nic.interface.routes().get_default_ipv6_route().is_some();
                let near = near.or_else(|| of(false).next().filter(|_| routed));
                near.ok_or(Error::Unreachable)
            }
        }
    }
}

/// Whether an address is good for its link only; every IPv6 interface has one, and nobody needs to be told of it.
fn is_link_local(cidr: &IpCidr) -> bool {
    matches!(cidr, IpCidr::Ipv6(cidr) if cidr.address().is_unicast_link_local())
}
