//! Sockets: making, connecting and transferring in the ABI's form.

mod address;
mod names;
mod options;

use alloc::sync::Arc;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;

use hermit_abi::{
    AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, MSG_PEEK, S_IFSOCK, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_CLOEXEC,
    SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, sockaddr, socklen_t, stat,
};

use self::address::{read_address, write_address};
use super::errno::{Errno, result};
use super::fd::{bytes, bytes_mut, count, object, open, room};
use super::object::Object;
use crate::io::{IoSlices, IoSlicesMut, Ready};
use crate::net::{self, Domain, Shutdown, Socket, SocketType};

impl From<net::Error> for Errno {
    fn from(error: net::Error) -> Self {
        match error {
            net::Error::WouldBlock => Self::EAGAIN,
            net::Error::InProgress => Self::EINPROGRESS,
            net::Error::Already => Self::EALREADY,
            net::Error::IsConnected => Self::EISCONN,
            net::Error::NotConnected => Self::ENOTCONN,
            net::Error::Refused => Self::ECONNREFUSED,
            net::Error::Reset => Self::ECONNRESET,
            net::Error::Aborted => Self::ECONNABORTED,
            net::Error::TimedOut => Self::ETIMEDOUT,
            net::Error::BrokenPipe => Self::EPIPE,
            net::Error::AddressInUse => Self::EADDRINUSE,
            net::Error::AddressNotAvailable => Self::EADDRNOTAVAIL,
            net::Error::Unreachable => Self::ENETUNREACH,
            net::Error::HostUnreachable => Self::EHOSTUNREACH,
            net::Error::NotAllowed => Self::EACCES,
            net::Error::WrongFamily => Self::EAFNOSUPPORT,
            net::Error::DestinationRequired => Self::EDESTADDRREQ,
            net::Error::TooLong => Self::EMSGSIZE,
            net::Error::NoBuffers => Self::ENOBUFS,
            net::Error::Invalid => Self::EINVAL,
            net::Error::NotSupported => Self::EOPNOTSUPP,
        }
    }
}

impl Object for Socket {
    fn read(&self, into: &mut IoSlicesMut<'_>) -> Result<usize, Errno> {
        Ok(self.receive(into, false)?)
    }

    fn write(&self, from: &IoSlices<'_>) -> Result<usize, Errno> {
        Ok(self.send(from)?)
    }

    fn look(&self, interest: Ready) -> Ready {
        self.watch().look(interest)
    }

    fn describe(&self, about: &mut stat) {
        about.st_mode = S_IFSOCK;
    }

    fn nonblocking(&self) -> bool {
        self.options.nonblocking.load(Relaxed)
    }

    fn set_nonblocking(&self, on: bool) {
        self.options.nonblocking.store(on, Relaxed);
    }

    fn socket(&self) -> Option<&Socket> {
        Some(self)
    }
}

/// Runs `work` with the socket that a descriptor names.
fn with_socket<R>(fd: i32, work: impl FnOnce(&Socket) -> Result<R, Errno>) -> Result<R, Errno> {
    work(object(fd)?.socket().ok_or(Errno::ENOTSOCK)?)
}

// ---- making and connecting ----

/// The protocol that a kind of socket speaks, if a program may name it; 0 is the usual one.
fn protocol_fits(kind: i32, protocol: i32) -> bool {
    protocol == 0 || protocol == if kind == SOCK_STREAM { IPPROTO_TCP } else { IPPROTO_UDP }
}

/// Makes a socket: IPv4 or IPv6, a stream or datagrams.
#[unsafe(no_mangle)]
extern "C" fn sys_socket(domain: i32, kind: i32, protocol: i32) -> i32 {
    let domain = match domain {
        AF_INET => Domain::V4,
        AF_INET6 => Domain::V6,
        _ => return result(Err(Errno::EAFNOSUPPORT)),
    };
    let socket = match kind & !(SOCK_NONBLOCK | SOCK_CLOEXEC) {
        form if !protocol_fits(form, protocol) => return result(Err(Errno::EPROTONOSUPPORT)),
        SOCK_STREAM => Socket::new(domain, SocketType::Stream),
        SOCK_DGRAM => Socket::new(domain, SocketType::Datagram),
        _ => return result(Err(Errno::EPROTONOSUPPORT)),
    };
    socket.set_nonblocking(kind & SOCK_NONBLOCK != 0);
    result(room().and_then(|()| open(Arc::new(socket), 0)))
}

/// Gives a socket its own address.
///
/// # Safety
/// `address` points to `len` readable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_bind(fd: i32, address: *const sockaddr, len: socklen_t) -> i32 {
    // SAFETY: the caller's.
    let address = unsafe { read_address(address, len) };
    result(with_socket(fd, |socket| {
        room()?;
        Ok(socket.bind(address?).map(|()| 0)?)
    }))
}

/// Accepts connections from now on.
#[unsafe(no_mangle)]
extern "C" fn sys_listen(fd: i32, backlog: i32) -> i32 {
    result(with_socket(fd, |socket| {
        room()?;
        Ok(socket.listen(usize::try_from(backlog).unwrap_or(0)).map(|()| 0)?)
    }))
}

/// Takes a connection that waits; its descriptor. The peer's address is written to `address`.
///
/// # Safety
/// Unless they are null, `len` points to a length, and `address` to as many writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_accept(fd: i32, address: *mut sockaddr, len: *mut socklen_t) -> i32 {
    result(with_socket(fd, |socket| {
        room()?;
        let (accepted, peer) = socket.accept()?;
        // SAFETY: the caller's.
        unsafe { write_address(peer, address, len) }?;
        open(Arc::new(accepted), 0)
    }))
}

/// Connects to an address.
///
/// # Safety
/// `address` points to `len` readable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_connect(fd: i32, address: *const sockaddr, len: socklen_t) -> i32 {
    // SAFETY: the caller's.
    let address = unsafe { read_address(address, len) };
    result(with_socket(fd, |socket| {
        room()?;
        Ok(socket.connect(address?).map(|()| 0)?)
    }))
}

/// Closes halves of a connection.
#[unsafe(no_mangle)]
extern "C" fn sys_shutdown(fd: i32, how: i32) -> i32 {
    let halves = match how {
        SHUT_RD => Ok(Shutdown { read: true, write: false }),
        SHUT_WR => Ok(Shutdown { read: false, write: true }),
        SHUT_RDWR => Ok(Shutdown { read: true, write: true }),
        _ => Err(Errno::EINVAL),
    };
    result(with_socket(fd, |socket| Ok(socket.shutdown(halves?).map(|()| 0)?)))
}

/// The address of this end.
///
/// # Safety
/// `len` points to a length, and `address` to as many writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_getsockname(fd: i32, address: *mut sockaddr, len: *mut socklen_t) -> i32 {
    // SAFETY: the caller's.
    result(with_socket(fd, |socket| unsafe { write_address(socket.local()?, address, len) }).map(|()| 0))
}

/// The address of the peer.
///
/// # Safety
/// `len` points to a length, and `address` to as many writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_getpeername(fd: i32, address: *mut sockaddr, len: *mut socklen_t) -> i32 {
    // SAFETY: the caller's.
    result(with_socket(fd, |socket| unsafe { write_address(socket.peer()?, address, len) }).map(|()| 0))
}

// ---- transferring ----

/// Whether the flags ask for a peek; others are not known.
fn peek(flags: i32) -> Result<bool, Errno> {
    if flags & !MSG_PEEK == 0 { Ok(flags & MSG_PEEK != 0) } else { Err(Errno::EOPNOTSUPP) }
}

/// Sends up to `len` bytes; how many.
///
/// # Safety
/// `buffer` points to `len` readable bytes that nobody writes to.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_send(fd: i32, buffer: *const c_void, len: usize, flags: i32) -> isize {
    // SAFETY: the caller's; there is no address.
    unsafe { sys_sendto(fd, buffer, len, flags, ptr::null(), 0) }
}

/// Sends bytes to an address; how many. A stream ignores the address.
///
/// # Safety
/// `buffer` points to `len` readable bytes that nobody writes to; `address`, unless it is null, to `address_len` of
/// them.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_sendto(
    fd: i32,
    buffer: *const c_void,
    len: usize,
    flags: i32,
    address: *const sockaddr,
    address_len: socklen_t,
) -> isize {
    // SAFETY: the caller's.
    let (from, to) = unsafe {
        let to = if address.is_null() { Ok(None) } else { read_address(address, address_len).map(Some) };
        (bytes(buffer.cast(), len), to)
    };
    count(with_socket(fd, |socket| {
        // No flag has a meaning for sending.
        if flags != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(socket.send_to(from?, to?)?)
    }))
}

/// Receives up to `len` bytes; how many, zero at the end of the data.
///
/// # Safety
/// `buffer` points to `len` writable bytes that nobody else uses.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_recv(fd: i32, buffer: *mut u8, len: usize, flags: i32) -> isize {
    // SAFETY: the caller's.
    let into = unsafe { bytes_mut(buffer, len) };
    count(with_socket(fd, |socket| Ok(socket.receive(&mut IoSlicesMut::one(into?), peek(flags)?)?)))
}

/// As `sys_recv`, and writes the sender's address to `address`.
///
/// # Safety
/// `buffer` points to `len` writable bytes that nobody else uses; unless they are null, `address_len` points to a
/// length, and `address` to as many writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_recvfrom(
    fd: i32,
    buffer: *mut u8,
    len: usize,
    flags: i32,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> isize {
    // SAFETY: the caller's.
    let into = unsafe { bytes_mut(buffer, len) };
    count(with_socket(fd, |socket| {
        let (received, from) = socket.receive_from(into?, peek(flags)?)?;
        // SAFETY: the caller's.
        unsafe { write_address(from, address, address_len) }?;
        Ok(received)
    }))
}
