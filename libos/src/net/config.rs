//! What whoever boots the machine decides about its network.

use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

#[cfg(feature = "testing")]
use super::fault_injector::LinkFaults;

/// Everything that is decided at boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The network address.
    pub ip: IpConfig,
    /// The IPv6 addresses.
    pub ip6: Ip6Config,
    /// The name servers; with none, those that DHCP and the routers name.
    pub dns: Vec<SocketAddr>,
    /// What a test wants to happen to frames, each number of a thousand.
    #[cfg(feature = "testing")]
    pub link_faults: Option<LinkFaults>,
}

/// How the network interface gets its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IpConfig {
    /// Ask a DHCP server.
    #[default]
    Dhcp,
    /// Use this address.
    Static {
        /// The interface's own address.
        address: Ipv4Addr,
        /// The number of leading one bits in the network mask, 0 to 32.
        prefix_len: u8,
        /// The router for everything outside the network.
        gateway: Ipv4Addr,
        /// The name server, if one was named.
        dns: Option<Ipv4Addr>,
    },
}

/// How the network interface gets its IPv6 addresses. With `auto` and an address it has a link-local one as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ip6Config {
    /// Listen to routers.
    #[default]
    Auto,
    /// Have none.
    Off,
    /// Use this address.
    Static {
        /// The interface's own address.
        address: Ipv6Addr,
        /// The number of leading one bits in the network mask, 0 to 128.
        prefix_len: u8,
        /// The router for everything outside the network.
        gateway: Option<Ipv6Addr>,
    },
}
