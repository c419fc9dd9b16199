//! Asking for the Ethernet addresses of neighbours.
//!
//! smoltcp asks for one neighbour a second in all (0.14.0, `iface::neighbor`), so whoever needs a second one, or any
//! while strangers' packets make it ask for hosts that do not exist, would wait. Here each neighbour has a second of
//! its own. The answers go to smoltcp, which keeps them.

use alloc::vec::Vec;

use smoltcp::iface::Interface;
use smoltcp::phy::{ChecksumCapabilities, Device, TxToken};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol,
    HardwareAddress, Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, Ipv4Address, Ipv6Address, Ipv6Packet, Ipv6Repr,
    NdiscRepr,
};

/// How long an answer is waited for, before the question is asked again.
const PATIENCE: Duration = Duration::from_secs(1);
/// Neighbours that are asked for at the same time. Beyond it there is still smoltcp's one a second.
const MAX_ASKED: usize = 64;

/// Whom was asked for lately.
#[derive(Debug, Default)]
pub struct Neighbours {
    asked: Vec<(IpAddress, Instant)>,
    /// Until then smoltcp does not ask.
    silent_until: Option<Instant>,
}

/// The neighbour that a packet to `address` goes to.
fn next_hop(interface: &Interface, address: IpAddress) -> Option<IpAddress> {
    if interface.ip_addrs().iter().any(|own| own.contains_addr(&address)) {
        return Some(address);
    }
    let routes = interface.routes();
    let route = match address {
        IpAddress::Ipv4(_) => routes.get_default_ipv4_route(),
        IpAddress::Ipv6(_) => routes.get_default_ipv6_route(),
    };
    route.map(|route| route.via_router)
}

impl Neighbours {
    /// smoltcp could not send to `address` because the neighbour on the way there is unknown: asks for it, unless
    /// smoltcp has just done so itself.
    pub fn unresolved<D: Device>(
        &mut self,
        interface: &Interface,
        device: &mut D,
        mac: EthernetAddress,
        address: IpAddress,
        now: Instant,
    ) {
        let Some(neighbour) = next_hop(interface, address) else { return };
        self.asked.retain(|(_, at)| now < *at + PATIENCE);
        let known = self.asked.iter().any(|(asked, _)| *asked == neighbour);
        let by_smoltcp = self.silent_until.is_none_or(|until| until <= now);
        if by_smoltcp {
            self.silent_until = Some(now + PATIENCE);
        }
        if known || self.asked.len() >= MAX_ASKED {
            return;
        }
        if !by_smoltcp && !ask(interface, device, mac, neighbour, now) {
            return;
        }
        self.asked.push((neighbour, now));
    }
}

/// Sends the question, if the device has room for it and the interface an address to ask from.
fn ask<D: Device>(
    interface: &Interface,
    device: &mut D,
    mac: EthernetAddress,
    neighbour: IpAddress,
    now: Instant,
) -> bool {
    let Some(from) = interface.get_source_address(&neighbour) else { return false };
    let Some(token) = device.transmit(now) else { return false };
    match (from, neighbour) {
        (IpAddress::Ipv4(from), IpAddress::Ipv4(target)) => request(token, mac, from, target),
        (IpAddress::Ipv6(from), IpAddress::Ipv6(target)) => solicit(token, mac, from, target),
        _ => return false,
    }
    true
}

/// An ARP request (RFC 826).
fn request<T: TxToken>(token: T, mac: EthernetAddress, from: Ipv4Address, target: Ipv4Address) {
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: mac,
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress::BROADCAST,
        target_protocol_addr: target,
    };
    token.consume(ETHERNET_HEADER_LEN + request.buffer_len(), |frame| {
        let mut ethernet = EthernetFrame::new_unchecked(frame);
        ethernet.set_dst_addr(EthernetAddress::BROADCAST);
        ethernet.set_src_addr(mac);
        ethernet.set_ethertype(EthernetProtocol::Arp);
        request.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    });
}

/// A neighbour solicitation (RFC 4861, section 4.3) to the neighbour's solicited-node group.
fn solicit<T: TxToken>(token: T, mac: EthernetAddress, from: Ipv6Address, target: Ipv6Address) {
    let [.., a, b, c] = target.octets();
    let group = Ipv6Address::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let lladdr = Some(HardwareAddress::Ethernet(mac).into());
    let message = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: target, lladdr });
    let ip = Ipv6Repr {
        src_addr: from,
        dst_addr: group,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    token.consume(ETHERNET_HEADER_LEN + ip.buffer_len() + message.buffer_len(), |frame| {
        let mut ethernet = EthernetFrame::new_unchecked(frame);
        ethernet.set_dst_addr(EthernetAddress([0x33, 0x33, 0xff, a, b, c]));
        ethernet.set_src_addr(mac);
        ethernet.set_ethertype(EthernetProtocol::Ipv6);
        let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        ip.emit(&mut packet);
        let mut icmp = Icmpv6Packet::new_unchecked(packet.payload_mut());
        message.emit(&from, &group, &mut icmp, &ChecksumCapabilities::default());
    });
}
