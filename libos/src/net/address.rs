//! Where a socket is bound, and which addresses it has to do with.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Cidr};

/// The interface index of this machine's own loopback, the scope of nothing.
pub const LOOPBACK_INDEX: u32 = 1;
/// The interface index of the network card: the scope of link-local addresses (RFC 4007).
pub const CARD_INDEX: u32 = 2;

/// Why no host can have an address in a network of this size, if so (RFC 6890, RFC 1122 section 3.2.1.3).
pub fn impossible_host(address: Ipv4Addr, prefix_len: u8) -> Option<&'static str> {
    let cidr = Ipv4Cidr::new(address, prefix_len);
    match address.octets()[0] {
        0 => Some("of no network (0.0.0.0/8)"),
        127 => Some("a loopback address (127.0.0.0/8)"),
        224..=239 => Some("a multicast address (224.0.0.0/4)"),
        240.. => Some("reserved or the broadcast address (240.0.0.0/4)"),
        _ if cidr.broadcast() == Some(address) => Some("its network's broadcast address"),
        _ if prefix_len < 31 && cidr.network().address() == address => Some("its network's own address"),
        _ => None,
    }
}

/// The addresses that a socket without an address of its own takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6 and nothing else (`IPV6_V6ONLY`).
    V6,
    /// IPv6, and IPv4 in the form of mapped addresses (RFC 3493, section 3.7).
    Dual,
}

impl Family {
    /// Whether `address` is of this family.
    pub fn takes(self, address: IpAddress) -> bool {
        match self {
            Self::Dual => true,
            Self::V4 => matches!(address, IpAddress::Ipv4(_)),
            Self::V6 => matches!(address, IpAddress::Ipv6(_)),
        }
    }
}

/// An address and a port that a socket has or wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// What counts when there is no address.
    pub family: Family,
    /// The address; none is any of this machine's.
    pub address: Option<IpAddress>,
    /// The port; 0 is any.
    pub port: u16,
}

impl Local {
    /// Any address of a family.
    pub const fn any(family: Family, port: u16) -> Self {
        Self { family, address: None, port }
    }

    /// Whether what is sent to `address`, at the right port, is for this socket.
    pub fn takes(&self, address: IpAddress) -> bool {
        self.address.map_or_else(|| self.family.takes(address), |own| own == address)
    }

    /// Whether two sockets cannot have these places at once.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.port == other.port
            && match (self.address, other.address) {
                (_, Some(address)) => self.takes(address),
                (Some(address), None) => other.takes(address),
                (None, None) => self.family == other.family || [self.family, other.family].contains(&Family::Dual),
            }
    }
}

/// The inside form of an address: mapped IPv4 addresses are IPv4 addresses.
pub fn canonical(address: IpAddr) -> IpAddress {
    IpAddress::from(address.to_canonical())
}

/// The form in which a socket's program sees an address: an IPv6 socket sees IPv4 addresses as mapped ones, and a
/// link-local address with its scope.
pub fn shown(address: IpAddress, port: u16, as_v6: bool) -> SocketAddr {
    match IpAddr::from(address) {
        IpAddr::V4(ip) if as_v6 => SocketAddr::V6(SocketAddrV6::new(ip.to_ipv6_mapped(), port, 0, 0)),
        IpAddr::V6(ip) => {
            let scope = if ip.is_unicast_link_local() { CARD_INDEX } else { 0 };
            SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope))
        }
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, port),
    }
}

/// The same for both ends of what is known.
pub fn shown_endpoint(endpoint: IpEndpoint, as_v6: bool) -> SocketAddr {
    shown(endpoint.addr, endpoint.port, as_v6)
}

/// The unspecified address of a kind of socket.
pub fn unspecified(as_v6: bool) -> IpAddress {
    if as_v6 { IpAddress::Ipv6(Ipv6Addr::UNSPECIFIED) } else { IpAddress::v4(0, 0, 0, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str, port: u16) -> Local {
        let address = canonical(address.parse().unwrap());
        let family = if matches!(address, IpAddress::Ipv4(_)) { Family::V4 } else { Family::V6 };
        Local { family, address: Some(address), port }
    }

    #[test]
    fn who_can_share_a_port() {
        let (v4, v6, dual) = (Local::any(Family::V4, 80), Local::any(Family::V6, 80), Local::any(Family::Dual, 80));
        for (one, other, expected) in [
            (v4, v6, false),
            (v4, dual, true),
            (v6, dual, true),
            (v4, v4, true),
            (v4, at("10.0.0.1", 80), true),
            (v4, at("::1", 80), false),
            (v6, at("::ffff:10.0.0.1", 80), false),
            (dual, at("10.0.0.1", 80), true),
            (at("10.0.0.1", 80), at("10.0.0.2", 80), false),
            (at("10.0.0.1", 80), at("10.0.0.1", 80), true),
            (at("10.0.0.1", 80), at("10.0.0.1", 81), false),
        ] {
            assert_eq!(one.overlaps(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.overlaps(&one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn an_ipv6_socket_sees_mapped_addresses_and_scopes() {
        assert_eq!(shown(IpAddress::v4(10, 0, 2, 2), 7, true), "[::ffff:10.0.2.2]:7".parse().unwrap());
        assert_eq!(shown(IpAddress::v4(10, 0, 2, 2), 7, false), "10.0.2.2:7".parse().unwrap());
        assert_eq!(shown(canonical("fe80::1".parse().unwrap()), 7, true), "[fe80::1%2]:7".parse().unwrap());
        assert_eq!(canonical("::ffff:10.0.2.2".parse().unwrap()), IpAddress::v4(10, 0, 2, 2));
    }
}
