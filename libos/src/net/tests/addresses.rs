//! How the card gets its address, and loses it.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetFrame, EthernetProtocol, IpCidr, IpProtocol, Ipv4Packet, Ipv4Repr,
    UdpPacket, UdpRepr,
};
use std::vec;
use std::vec::Vec;

use super::*;
use crate::net::stack::AddressChange;

const LEASE: Ipv4Address = Ipv4Address::new(10, 0, 2, 42);

/// What the machine asks of a DHCP server.
fn request(frame: &[u8]) -> Option<(DhcpMessageType, u32)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    let datagram = UdpPacket::new_checked(packet.payload()).ok().filter(|datagram| datagram.dst_port() == 67)?;
    let dhcp = DhcpPacket::new_checked(datagram.payload()).ok()?;
    let dhcp = DhcpRepr::parse(&dhcp).ok()?;
    Some((dhcp.message_type, dhcp.transaction_id))
}

/// What a DHCP server offers: an address, its network's size, and a router.
#[derive(Clone, Copy)]
struct Offer(Ipv4Address, u8, Ipv4Address);

const USUAL: Offer = Offer(LEASE, 24, CLIENT);

/// A DHCP server's answer, in a frame.
fn answer(kind: DhcpMessageType, transaction_id: u32, Offer(lease, prefix_len, router): Offer) -> Vec<u8> {
    let dhcp = DhcpRepr {
        message_type: kind,
        transaction_id,
        secs: 0,
        client_hardware_address: SERVER_MAC,
        client_ip: Ipv4Address::UNSPECIFIED,
        your_ip: lease,
        server_ip: CLIENT,
        router: Some(router),
        subnet_mask: Some(Ipv4Cidr::new(lease, prefix_len).netmask()),
        relay_agent_ip: Ipv4Address::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(CLIENT),
        parameter_request_list: None,
        dns_servers: Some([Ipv4Address::new(10, 0, 2, 3)].into_iter().collect()),
        max_size: None,
        lease_duration: Some(600),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let udp = UdpRepr { src_port: 67, dst_port: 68 };
    let len = dhcp.buffer_len();
    let ip = Ipv4Repr {
        src_addr: CLIENT,
        dst_addr: Ipv4Address::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + len,
        hop_limit: 64,
    };
    let mut frame = vec![0; 14 + ip.buffer_len() + udp.header_len() + len];
    let mut ethernet = EthernetFrame::new_unchecked(&mut frame[..]);
    ethernet.set_dst_addr(EthernetAddress::BROADCAST);
    ethernet.set_src_addr(CLIENT_MAC);
    ethernet.set_ethertype(EthernetProtocol::Ipv4);
    let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    let sums = ChecksumCapabilities::default();
    ip.emit(&mut packet, &sums);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let emit = |bytes: &mut [u8]| dhcp.emit(&mut DhcpPacket::new_unchecked(bytes)).unwrap();
    udp.emit(&mut datagram, &CLIENT.into(), &Ipv4Address::BROADCAST.into(), len, emit, &sums);
    frame
}

/// A machine without an address that asks for one, and the lanes of its wire.
fn asking() -> (TestStack, Lane, Lane) {
    let (incoming, outgoing) = (Lane::default(), Lane::default());
    let now = Instant::from_secs(1);
    let mut stack = Stack::new(1, BUDGET, now);
    let port = Port {
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
        capacity: usize::MAX,
        loses: |_| false,
        sent: 0,
    };
    stack.attach(FaultInjector::new(port, None), SERVER_MAC, 1, now);
    stack.use_dhcp(now);
    (stack, incoming, outgoing)
}

/// Runs the machine until it asks something, answers it, and returns the time.
fn serve(
    stack: &mut TestStack,
    incoming: &Lane,
    outgoing: &Lane,
    now: Instant,
    kind: DhcpMessageType,
) -> (DhcpMessageType, Instant) {
    serve_offer(stack, incoming, outgoing, now, (kind, USUAL))
}

fn serve_offer(
    stack: &mut TestStack,
    incoming: &Lane,
    outgoing: &Lane,
    mut now: Instant,
    (kind, offer): (DhcpMessageType, Offer),
) -> (DhcpMessageType, Instant) {
    loop {
        while stack.poll(now) {}
        let asked = outgoing.borrow_mut().drain(..).find_map(|frame| request(&frame));
        if let Some((asked, id)) = asked {
            incoming.borrow_mut().push_back(answer(kind, id, offer));
            while stack.poll(now) {}
            return (asked, now);
        }
        now = stack.next_deadline().expect("it goes on asking").max(now + Duration::from_millis(1));
    }
}

#[test]
fn a_dhcp_server_gives_an_address_and_takes_it_back() {
    let (mut stack, incoming, outgoing) = asking();
    let start = Instant::from_secs(1);
    assert!(!stack.is_reachable(IpAddress::Ipv4(CLIENT)) && stack.is_reachable(IpAddress::v4(127, 0, 0, 1)));
    let remote = IpEndpoint::new(IpAddress::Ipv4(CLIENT), 80);
    let early = stack.connect(remote, None, BufferSizes::default(), Arc::new(Seen::default()), start);
    assert_eq!(early, Err(Error::Unreachable));
    // A listener needs no address of its own yet.
    stack.listen(place(PORT), 1, BufferSizes::default(), Arc::new(Seen::default())).unwrap();

    let (asked, now) = serve(&mut stack, &incoming, &outgoing, start, DhcpMessageType::Offer);
    assert_eq!((asked, stack.address()), (DhcpMessageType::Discover, None));
    let (asked, now) = serve(&mut stack, &incoming, &outgoing, now, DhcpMessageType::Ack);
    assert_eq!((asked, stack.address()), (DhcpMessageType::Request, Some(LEASE)));
    assert_eq!(now, start, "nobody had to wait");
    let address = IpCidr::Ipv4(Ipv4Cidr::new(LEASE, 24));
    assert_eq!(stack.take_changes(), [AddressChange::Configured { address, learnt: true }]);
    assert_eq!(stack.take_changes(), []);
    assert_eq!(stack.name_servers().collect::<Vec<_>>(), [IpAddress::v4(10, 0, 2, 3)]);

    // The lease is renewed without a word, and the address goes when the server refuses.
    let (asked, later) = serve(&mut stack, &incoming, &outgoing, now, DhcpMessageType::Ack);
    assert_eq!((asked, stack.take_changes()), (DhcpMessageType::Request, vec![]));
    assert!(later > now + Duration::from_secs(200));
    let signal = Arc::new(Seen::default());
    stack.connect(remote, None, BufferSizes::default(), signal.clone(), later).unwrap();
    let (_, end) = serve(&mut stack, &incoming, &outgoing, later, DhcpMessageType::Nak);
    while stack.poll(end) {}
    assert_eq!((stack.take_changes(), stack.address()), (vec![AddressChange::Lost { address }], None));
    assert!(signal.ready().contains(Ready::ERR | Ready::HUP), "what used the address is over");
}

#[test]
fn a_silent_dhcp_server_is_asked_again_every_few_seconds() {
    let (mut stack, _, outgoing) = asking();
    let mut now = Instant::from_secs(1);
    for _ in 0..5 {
        while stack.poll(now) {}
        let asked = outgoing.borrow_mut().drain(..).find_map(|frame| request(&frame));
        assert!(matches!(asked, Some((DhcpMessageType::Discover, _))));
        let next = stack.next_deadline().unwrap();
        assert!(next > now && next <= now + Duration::from_secs(3));
        now = next;
    }
}

/// Lets a server offer something and confirm it; what the machine says about it, and the time.
fn offered(
    (stack, incoming, outgoing): &mut (TestStack, Lane, Lane),
    now: Instant,
    offer: Offer,
) -> (Vec<AddressChange>, Instant) {
    let (_, now) = serve_offer(stack, incoming, outgoing, now, (DhcpMessageType::Offer, offer));
    let (_, now) = serve_offer(stack, incoming, outgoing, now, (DhcpMessageType::Ack, offer));
    (stack.take_changes(), now)
}

#[test]
fn a_dhcp_offer_of_an_address_that_no_host_can_have_is_refused() {
    for (address, prefix_len) in [
        ([127, 0, 0, 1], 8),
        ([127, 255, 3, 4], 24),
        ([0, 1, 2, 3], 8),
        ([240, 0, 0, 1], 8),
        ([10, 0, 2, 255], 24),
        ([10, 0, 2, 0], 24),
        ([10, 0, 2, 3], 30),
    ] {
        let mut machine = asking();
        let address = Ipv4Address::from(address);
        let (said, start) = offered(&mut machine, Instant::from_secs(1), Offer(address, prefix_len, CLIENT));
        assert!(
            matches!(said[..], [AddressChange::Refused { address: named, router: false, .. }] if named == address),
            "{address}/{prefix_len}: {said:?}"
        );
        assert_eq!(machine.0.address(), None);
        assert!(machine.0.is_configuring(CLIENT.into()), "another may come");
        // It asks again, not at once, says the same thing once, and takes a better offer.
        let (said, again) = offered(&mut machine, start, Offer(address, prefix_len, CLIENT));
        assert_eq!((said, again >= start + Duration::from_secs(10)), (vec![], true));
        let (said, _) = offered(&mut machine, again, USUAL);
        assert!(matches!(said[..], [AddressChange::Configured { .. }]), "{said:?}");
        assert_eq!(machine.0.address(), Some(LEASE));
    }
}

#[test]
fn a_dhcp_offer_with_an_impossible_router_is_taken_without_it() {
    for router in [[127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255], [10, 0, 2, 255], [0, 0, 0, 0]] {
        let mut machine = asking();
        let router = Ipv4Address::from(router);
        let (said, _) = offered(&mut machine, Instant::from_secs(1), Offer(LEASE, 24, router));
        assert!(
            matches!(said[..], [AddressChange::Refused { address, router: true, .. }, AddressChange::Configured { .. }]
                if address == router),
            "{said:?}"
        );
        assert_eq!(machine.0.address(), Some(LEASE));
        let beyond = IpAddress::v4(1, 1, 1, 1);
        assert!(!machine.0.is_reachable(beyond) && machine.0.is_reachable(CLIENT.into()));
    }
}

/// Point-to-point links have neither a network's address nor a broadcast (RFC 3021).
#[test]
fn every_address_of_a_tiny_network_is_a_hosts() {
    for (last, prefix_len) in [(0, 31), (1, 31), (0, 32), (255, 32)] {
        let mut machine = asking();
        let lease = Ipv4Address::new(10, 0, 2, last);
        offered(&mut machine, Instant::from_secs(1), Offer(lease, prefix_len, CLIENT));
        assert_eq!(machine.0.address(), Some(lease));
    }
}
