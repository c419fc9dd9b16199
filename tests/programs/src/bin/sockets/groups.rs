//! Multicast as `std` offers it, this machine talking to itself.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use super::kind;

pub fn check() {
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let (member, sender) = pair(Ipv4Addr::UNSPECIFIED.into());
    member.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED).unwrap();
    assert_eq!(kind(member.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)), ErrorKind::AddrInUse);
    let port = member.local_addr().unwrap().port();
    assert!(sender.multicast_loop_v4().unwrap());
    assert_eq!(sender.multicast_ttl_v4().unwrap(), 1);
    sender.send_to(b"all", (group, port)).unwrap();
    assert_eq!(member.recv(&mut [0; 9]).unwrap(), 3);
    member.leave_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED).unwrap();
    sender.send_to(b"all", (group, port)).unwrap();
    sender.send_to(b"alone", (Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(member.recv(&mut [0; 9]).unwrap(), 5, "no longer a member");
    sender.set_multicast_loop_v4(false).unwrap();
    sender.set_multicast_ttl_v4(3).unwrap();
    assert_eq!((sender.multicast_loop_v4().unwrap(), sender.multicast_ttl_v4().unwrap()), (false, 3));

    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 0x77);
    let (member, sender) = pair(Ipv6Addr::UNSPECIFIED.into());
    member.join_multicast_v6(&group, 0).unwrap();
    assert!(sender.multicast_loop_v6().unwrap());
    let port = member.local_addr().unwrap().port();
    sender.send_to(b"all of six", (group, port)).unwrap();
    assert_eq!(member.recv(&mut [0; 99]).unwrap(), 10);
    member.leave_multicast_v6(&group, 0).unwrap();
    assert_eq!(kind(member.leave_multicast_v6(&group, 0)), ErrorKind::AddrNotAvailable);
}

fn pair(ip: std::net::IpAddr) -> (UdpSocket, UdpSocket) {
    let open = || UdpSocket::bind((ip, 0)).unwrap();
    let (one, other) = (open(), open());
    one.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (one, other)
}
