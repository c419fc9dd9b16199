//! Socket addresses as C writes them.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::ptr;

use hermit_abi::{AF_INET, AF_INET6, in_addr, in6_addr, sockaddr, sockaddr_in, sockaddr_in6, socklen_t};

use crate::abi::errno::Errno;

/// The C form of either kind of address.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union Form {
    v4: sockaddr_in,
    v6: sockaddr_in6,
}

/// Reads an address. Its length byte says nothing: `std` leaves it 0.
///
/// # Safety
/// Unless it is null, `address` points to `len` readable bytes.
pub(super) unsafe fn read_address(address: *const sockaddr, len: socklen_t) -> Result<SocketAddr, Errno> {
    if address.is_null() {
        return Err(Errno::EFAULT);
    }
    if (len as usize) < size_of::<sockaddr>() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: a `sockaddr` is readable there.
    let family = unsafe { address.read_unaligned() }.sa_family;
    match i32::from(family) {
        AF_INET => {
            // SAFETY: a `sockaddr_in` is as long as a `sockaddr`.
            let address = unsafe { address.cast::<sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
            Ok(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(address.sin_port))))
        }
        AF_INET6 if (len as usize) < size_of::<sockaddr_in6>() => Err(Errno::EINVAL),
        AF_INET6 => {
            // SAFETY: the caller's, and the length suffices.
            let address = unsafe { address.cast::<sockaddr_in6>().read_unaligned() };
            let (ip, port) = (Ipv6Addr::from(address.sin6_addr.s6_addr), u16::from_be(address.sin6_port));
            Ok(SocketAddr::V6(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id)))
        }
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// The C form of an address, and its length.
pub(super) fn form(address: SocketAddr) -> (Form, usize) {
    match address {
        SocketAddr::V4(address) => {
            let v4 = sockaddr_in {
                sin_len: size_of::<sockaddr_in>() as u8,
                sin_family: AF_INET as u8,
                sin_port: address.port().to_be(),
                sin_addr: in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            (Form { v4 }, size_of::<sockaddr_in>())
        }
        SocketAddr::V6(address) => {
            let v6 = sockaddr_in6 {
                sin6_len: size_of::<sockaddr_in6>() as u8,
                sin6_family: AF_INET6 as u8,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            (Form { v6 }, size_of::<sockaddr_in6>())
        }
    }
}

/// Writes an address, cut off at the caller's length, and its true length.
///
/// # Safety
/// Unless they are null, `len` points to a length, and `into` to as many writable bytes.
pub(super) unsafe fn write_address(address: SocketAddr, into: *mut sockaddr, len: *mut socklen_t) -> Result<(), Errno> {
    if into.is_null() {
        return Ok(());
    }
    if len.is_null() {
        return Err(Errno::EFAULT);
    }
    let (form, size) = form(address);
    // SAFETY: the caller's; at most the caller's length is copied from a structure of at least that size.
    unsafe {
        let room = len.read_unaligned() as usize;
        ptr::copy_nonoverlapping(ptr::from_ref(&form).cast::<u8>(), into.cast::<u8>(), room.min(size));
        len.write_unaligned(size as socklen_t);
    }
    Ok(())
}
