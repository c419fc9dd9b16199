//! Socket addresses as C writes them.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::ptr;

use hermit_abi::{AF_INET, in_addr, sockaddr, sockaddr_in, socklen_t};

use crate::abi::errno::Errno;

/// Reads an address. Its length byte says nothing: `std` leaves it 0.
///
/// # Safety
/// Unless it is null, `address` points to `len` readable bytes.
pub(super) unsafe fn read_address(address: *const sockaddr, len: socklen_t) -> Result<SocketAddrV4, Errno> {
    if address.is_null() {
        return Err(Errno::EFAULT);
    }
    if (len as usize) < size_of::<sockaddr>() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: a `sockaddr` is readable there, and a `sockaddr_in` is as long.
    let address = unsafe { address.cast::<sockaddr_in>().read_unaligned() };
    if i32::from(address.sin_family) != AF_INET {
        return Err(Errno::EAFNOSUPPORT);
    }
    let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
    Ok(SocketAddrV4::new(ip, u16::from_be(address.sin_port)))
}

/// The C form of an address.
pub(super) fn sockaddr_in(address: SocketAddrV4) -> sockaddr_in {
    sockaddr_in {
        sin_len: size_of::<sockaddr_in>() as u8,
        sin_family: AF_INET as u8,
        sin_port: address.port().to_be(),
        sin_addr: in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

/// Writes an address, cut off at the caller's length, and its true length.
///
/// # Safety
/// Unless they are null, `len` points to a length, and `into` to as many writable bytes.
pub(super) unsafe fn write_address(
    address: SocketAddrV4,
    into: *mut sockaddr,
    len: *mut socklen_t,
) -> Result<(), Errno> {
    if into.is_null() {
        return Ok(());
    }
    if len.is_null() {
        return Err(Errno::EFAULT);
    }
    let address = sockaddr_in(address);
    // SAFETY: the caller's; at most the caller's length is copied from a structure of that size.
    unsafe {
        let room = len.read_unaligned() as usize;
        let size = size_of::<sockaddr_in>();
        ptr::copy_nonoverlapping(ptr::from_ref(&address).cast::<u8>(), into.cast::<u8>(), room.min(size));
        len.write_unaligned(size as socklen_t);
    }
    Ok(())
}
