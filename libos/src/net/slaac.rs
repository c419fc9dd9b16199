//! IPv6 addresses from router advertisements (RFC 4861, 4862), and name servers from them (RFC 8106).
//!
//! smoltcp has this too, but its interface stops all timers of its sockets once the router has answered, and spins when
//! none does (0.14.0, `Interface::poll_at`); nor does it know of name servers. Here it is apart from the interface:
//! what has been learnt, and when to ask. Addresses are not checked for duplicates.

use alloc::vec::Vec;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, Icmpv6Packet, Icmpv6Repr,
    IpProtocol, Ipv6Address, Ipv6Cidr, Ipv6Packet, Ipv6Repr, NdiscRepr,
};

/// Prefixes, routers and name servers that are remembered. A hostile neighbour can send any number.
const MAX_PREFIXES: usize = 4;
const MAX_ROUTERS: usize = 4;
const MAX_SERVERS: usize = 3;
/// Questions after which nobody waits for an answer any more. The asking goes on, ever less often (RFC 7559).
const SOLICITATIONS: u32 = 3;
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
const LAST_INTERVAL: Duration = Duration::from_secs(3600);
/// An unauthenticated advertisement cannot shorten the life of a prefix below this (RFC 4862, section 5.5.3).
const TWO_HOURS: Duration = Duration::from_secs(7200);
const ALL_ROUTERS: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// The length of a solicitation with its link-layer address option, and of the headers before it.
pub const SOLICITATION_LEN: usize = ETHERNET_HEADER_LEN + 40 + 16;

/// Something learnt, and until when it holds.
#[derive(Clone, Copy, Debug)]
struct Leased {
    address: Ipv6Address,
    until: Instant,
}

/// What the routers have said.
#[derive(Debug)]
pub struct Slaac {
    mac: EthernetAddress,
    prefixes: Vec<Leased>,
    routers: Vec<Leased>,
    servers: Vec<Leased>,
    sent: u32,
    solicit_at: Option<Instant>,
}

/// Enters, prolongs or (with no lifetime) removes an entry; whether the set of addresses changed.
fn learn(list: &mut Vec<Leased>, limit: usize, address: Ipv6Address, lifetime: Duration, now: Instant) -> bool {
    let known = list.iter().position(|entry| entry.address == address);
    match known {
        Some(at) if lifetime == Duration::ZERO => {
            list.remove(at);
            true
        }
        Some(at) => {
            list[at].until = now + lifetime;
            false
        }
        None if lifetime == Duration::ZERO || list.len() >= limit => false,
        None => {
            list.push(Leased { address, until: now + lifetime });
            true
        }
    }
}

fn seconds(bytes: &[u8]) -> Option<Duration> {
    Some(Duration::from_secs(u32::from_be_bytes(*bytes.first_chunk()?).into()))
}

fn ipv6(bytes: &[u8]) -> Option<Ipv6Address> {
    Some(Ipv6Address::from(*bytes.first_chunk::<16>()?))
}

/// The interface identifier that follows from an Ethernet address (RFC 2464, section 4).
fn with_identifier(prefix: Ipv6Address, mac: EthernetAddress) -> Ipv6Address {
    let mut bytes = prefix.octets();
    let [a, b, c, d, e, f] = mac.0;
    bytes[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Address::from(bytes)
}

/// The link-local address of an Ethernet card.
pub fn link_local(mac: EthernetAddress) -> Ipv6Cidr {
    Ipv6Cidr::new(with_identifier(Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), mac), 64)
}

impl Slaac {
    /// Nothing is known yet; routers are asked from `now` on.
    pub fn new(mac: EthernetAddress, now: Instant) -> Self {
        Self { mac, prefixes: Vec::new(), routers: Vec::new(), servers: Vec::new(), sent: 0, solicit_at: Some(now) }
    }

    /// Takes an advertisement whose origin and checksum were checked. Whether addresses or routers changed.
    pub fn advertised(&mut self, router: Ipv6Address, message: &[u8], now: Instant) -> bool {
        let Some((header, mut options)) = message.split_first_chunk::<16>() else { return false };
        let lifetime = Duration::from_secs(u16::from_be_bytes([header[6], header[7]]).into());
        self.solicit_at = None;
        let mut changed = learn(&mut self.routers, MAX_ROUTERS, router, lifetime, now);
        while let &[kind, len, ..] = options {
            let Some((option, rest)) = options.split_at_checked(usize::from(len) * 8).filter(|_| len > 0) else {
                break;
            };
            options = rest;
            changed |= match kind {
                3 => self.prefix(option, now).unwrap_or(false),
                25 => self.name_servers(option, now).unwrap_or(false),
                _ => false,
            };
        }
        changed
    }

    /// A prefix information option (RFC 4861, section 4.6.2).
    fn prefix(&mut self, option: &[u8], now: Instant) -> Option<bool> {
        let autonomous = option.get(3)? & 0x40 != 0;
        let (valid, preferred) = (seconds(option.get(4..)?)?, seconds(option.get(8..)?)?);
        let network = Ipv6Address::from_bits(ipv6(option.get(16..)?)?.to_bits() & !u128::from(u64::MAX));
        let usable = !network.is_unicast_link_local() && !network.is_multicast() && !network.is_loopback();
        if !autonomous || option[2] != 64 || preferred > valid || !usable || network.is_unspecified() {
            return None;
        }
        let left = self.prefixes.iter().find(|entry| entry.address == network).map(|entry| entry.until - now);
        let valid = match left {
            Some(left) if valid < TWO_HOURS && valid < left => left.min(TWO_HOURS),
            _ => valid,
        };
        Some(learn(&mut self.prefixes, MAX_PREFIXES, network, valid, now))
    }

    /// A recursive DNS server option (RFC 8106, section 5.1).
    fn name_servers(&mut self, option: &[u8], now: Instant) -> Option<bool> {
        let lifetime = seconds(option.get(4..)?)?;
        for server in option.get(8..)?.chunks_exact(16) {
            learn(&mut self.servers, MAX_SERVERS, ipv6(server)?, lifetime, now);
        }
        Some(false)
    }

    /// Forgets what is over. Returns whether addresses or routers changed, and whether to send a solicitation now.
    pub fn poll(&mut self, now: Instant) -> (bool, bool) {
        let before = (self.prefixes.len(), self.routers.len());
        for list in [&mut self.prefixes, &mut self.routers, &mut self.servers] {
            list.retain(|entry| entry.until > now);
        }
        if self.routers.is_empty() && before.1 > 0 {
            (self.sent, self.solicit_at) = (0, Some(now));
        }
        let solicit = self.solicit_at.is_some_and(|at| at <= now);
        if solicit {
            let interval = FIRST_INTERVAL * (1 << self.sent.min(12));
            self.solicit_at = Some(now + interval.min(LAST_INTERVAL));
            self.sent += 1;
        }
        ((self.prefixes.len(), self.routers.len()) != before, solicit)
    }

    /// When to call [`Slaac::poll`].
    pub fn deadline(&self) -> Option<Instant> {
        let lists = [&self.prefixes, &self.routers, &self.servers];
        lists.into_iter().flatten().map(|entry| entry.until).chain(self.solicit_at).min()
    }

    /// Whether an answer may still come soon.
    pub fn is_asking(&self) -> bool {
        self.solicit_at.is_some() && self.sent <= SOLICITATIONS
    }

    /// This machine's addresses in the advertised networks.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv6Cidr> {
        self.prefixes.iter().map(|prefix| Ipv6Cidr::new(with_identifier(prefix.address, self.mac), 64))
    }

    /// The router to take.
    pub fn router(&self) -> Option<Ipv6Address> {
        self.routers.first().map(|router| router.address)
    }

    /// The name servers.
    pub fn servers(&self) -> impl Iterator<Item = Ipv6Address> {
        self.servers.iter().map(|server| server.address)
    }

    /// Writes a router solicitation, a frame of [`SOLICITATION_LEN`] bytes.
    pub fn solicitation(&self, frame: &mut [u8]) {
        let from = link_local(self.mac).address();
        let message =
            Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { lladdr: Some(HardwareAddress::Ethernet(self.mac).into()) });
        let ip = Ipv6Repr {
            src_addr: from,
            dst_addr: ALL_ROUTERS,
            next_header: IpProtocol::Icmpv6,
            payload_len: message.buffer_len(),
            hop_limit: 255,
        };
        let mut ethernet = EthernetFrame::new_unchecked(frame);
        ethernet.set_dst_addr(EthernetAddress([0x33, 0x33, 0, 0, 0, 2]));
        ethernet.set_src_addr(self.mac);
        ethernet.set_ethertype(EthernetProtocol::Ipv6);
        let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        ip.emit(&mut packet);
        let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
        message.emit(&from, &ALL_ROUTERS, &mut icmp, &ChecksumCapabilities::default());
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use proptest::prelude::*;
    use smoltcp::phy::Medium;

    use super::*;
    use crate::net::frame::{Payload, classify};

    const MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    const ROUTER: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    const START: Instant = Instant::from_micros_const(10_000_000);

    /// An advertisement as QEMU's user network sends it.
    fn advertisement(router_lifetime: u16, network: &str, prefix_len: u8, flags: u8, valid: u32) -> Vec<u8> {
        let mut message = vec![134, 0, 0, 0, 64, 0];
        message.extend(router_lifetime.to_be_bytes());
        message.extend([0; 8]);
        message.extend([3, 4, prefix_len, flags]);
        message.extend(valid.to_be_bytes());
        message.extend((valid / 2).to_be_bytes());
        message.extend([0; 4]);
        message.extend(network.parse::<Ipv6Address>().unwrap().octets());
        message.extend([25, 3, 0, 0]);
        message.extend(valid.to_be_bytes());
        message.extend("fec0::3".parse::<Ipv6Address>().unwrap().octets());
        message
    }

    fn state() -> Slaac {
        Slaac::new(MAC, START)
    }

    #[test]
    fn an_advertisement_gives_addresses_a_router_and_a_name_server_for_its_time() {
        let mut slaac = state();
        assert!(slaac.advertised(ROUTER, &advertisement(1800, "fec0::", 64, 0xc0, 86400), START));
        let address: Vec<_> = slaac.addresses().collect();
        assert_eq!(address, [Ipv6Cidr::new("fec0::5054:ff:fe12:3456".parse().unwrap(), 64)]);
        assert_eq!(slaac.router(), Some(ROUTER));
        assert_eq!(slaac.servers().collect::<Vec<_>>(), ["fec0::3".parse::<Ipv6Address>().unwrap()]);
        assert!(!slaac.advertised(ROUTER, &advertisement(1800, "fec0::", 64, 0xc0, 86400), START), "no news");
        assert_eq!(slaac.deadline(), Some(START + Duration::from_secs(1800)));
        assert_eq!(slaac.poll(START + Duration::from_secs(1800)), (true, true), "the router is over, and is asked for");
        assert_eq!(slaac.router(), None);
        assert!(slaac.poll(START + Duration::from_secs(86400)).0);
        assert_eq!(slaac.addresses().count(), 0);
    }

    #[test]
    fn a_prefix_is_not_taken_away_at_once_by_whoever_says_so() {
        let mut slaac = state();
        slaac.advertised(ROUTER, &advertisement(1800, "fec0::", 64, 0xc0, 86400), START);
        slaac.advertised(ROUTER, &advertisement(1800, "fec0::", 64, 0xc0, 0), START);
        assert_eq!(slaac.addresses().count(), 1);
        slaac.poll(START + TWO_HOURS);
        assert_eq!(slaac.addresses().count(), 0);
    }

    #[test]
    fn unusable_prefixes_and_too_many_of_them_are_left_alone() {
        let mut slaac = state();
        for (network, len, flags) in [
            ("fe80::", 64, 0xc0),
            ("ff02::", 64, 0xc0),
            ("2001:db8::", 48, 0xc0),
            ("2001:db8::", 64, 0x80),
            ("::", 64, 0xc0),
        ] {
            slaac.advertised(ROUTER, &advertisement(0, network, len, flags, 900), START);
            assert_eq!(slaac.addresses().count(), 0, "{network}/{len}");
        }
        for n in 0..100 {
            slaac.advertised(ROUTER, &advertisement(0, &std::format!("2001:db8:0:{n:x}::"), 64, 0xc0, 900), START);
        }
        assert_eq!(slaac.addresses().count(), MAX_PREFIXES);
        assert_eq!(slaac.router(), None, "a router without a lifetime is none");
    }

    #[test]
    fn routers_are_asked_ever_less_often_until_one_answers() {
        let (mut slaac, mut now, mut asked) = (state(), START, 0);
        while now < START + Duration::from_secs(86400) {
            let (changed, solicit) = slaac.poll(now);
            assert!(!changed);
            asked += usize::from(solicit);
            assert_eq!(slaac.is_asking(), asked <= SOLICITATIONS as usize);
            now = slaac.deadline().unwrap();
        }
        assert!((30..40).contains(&asked), "{asked}");
        slaac.advertised(ROUTER, &advertisement(9000, "fec0::", 64, 0xc0, 9000), now);
        assert!(!slaac.is_asking());
        assert_eq!(slaac.poll(now), (false, false));
    }

    #[test]
    fn a_solicitation_is_a_frame_that_a_router_understands() {
        let mut frame = vec![0; SOLICITATION_LEN];
        state().solicitation(&mut frame);
        assert_eq!(classify(Medium::Ethernet, MAC, &frame), Payload::Other);
        let packet = Ipv6Packet::new_checked(&frame[ETHERNET_HEADER_LEN..]).unwrap();
        assert_eq!((packet.hop_limit(), packet.dst_addr()), (255, ALL_ROUTERS));
        assert_eq!(packet.src_addr(), "fe80::5054:ff:fe12:3456".parse::<Ipv6Address>().unwrap());
        let icmp = Icmpv6Packet::new_checked(packet.payload()).unwrap();
        assert!(icmp.verify_checksum(&packet.src_addr(), &packet.dst_addr()));
        assert_eq!(&packet.payload()[8..], [1, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    }

    proptest! {
        #[test]
        fn any_message_is_survived(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut slaac = state();
            slaac.advertised(ROUTER, &message, START);
            slaac.poll(START + TWO_HOURS);
        }

        #[test]
        fn any_damage_to_an_advertisement_is_survived(at in 0usize..72, value in any::<u8>(), cut in 0usize..72) {
            let mut message = advertisement(1800, "fec0::", 64, 0xc0, 86400);
            message[at] = value;
            message.truncate(72 - cut);
            let mut slaac = state();
            slaac.advertised(ROUTER, &message, START);
            prop_assert!(slaac.addresses().count() <= 1);
        }
    }
}
