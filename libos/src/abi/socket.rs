//! Sockets: addresses and options in the ABI's form.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::{CStr, c_char, c_void};
use core::net::{Ipv4Addr, SocketAddrV4};
use core::ptr;
use core::sync::atomic::Ordering::Relaxed;

use hermit_abi::{
    AF_INET, AF_UNSPEC, EAI_FAMILY, EAI_NONAME, EAI_SERVICE, IP_TTL, IPPROTO_IP, IPPROTO_TCP, MSG_PEEK, S_IFSOCK,
    SHUT_RD, SHUT_RDWR, SHUT_WR, SO_BROADCAST, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_RCVBUF, SO_RCVTIMEO, SO_REUSEADDR,
    SO_SNDBUF, SO_SNDTIMEO, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY, addrinfo,
    in_addr, linger, sockaddr, sockaddr_in, socklen_t, timeval,
};

use super::errno::{Errno, result};
use super::fd::{Object, bytes, bytes_mut, count, object, open};
use crate::io::{Parts, PartsMut, Ready};
use crate::net::{self, Halves, Kind, Socket};

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
            net::Error::DestinationRequired => Self::EDESTADDRREQ,
            net::Error::TooLong => Self::EMSGSIZE,
            net::Error::NoBuffers => Self::ENOBUFS,
            net::Error::Invalid => Self::EINVAL,
            net::Error::NotSupported => Self::EOPNOTSUPP,
        }
    }
}

impl Object for Socket {
    fn read(&self, into: &mut PartsMut<'_>) -> Result<usize, Errno> {
        Ok(self.receive(into, false)?)
    }

    fn write(&self, from: &Parts<'_>) -> Result<usize, Errno> {
        Ok(self.send(from)?)
    }

    fn look(&self, interest: Ready) -> Ready {
        self.watch().look(interest)
    }

    fn mode(&self) -> u32 {
        S_IFSOCK
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

// ---- addresses ----

/// Reads an address. Its length byte says nothing: `std` leaves it 0.
///
/// # Safety
/// Unless it is null, `address` points to `len` readable bytes.
unsafe fn read_address(address: *const sockaddr, len: socklen_t) -> Result<SocketAddrV4, Errno> {
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

fn sockaddr_in(address: SocketAddrV4) -> sockaddr_in {
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
unsafe fn write_address(address: SocketAddrV4, into: *mut sockaddr, len: *mut socklen_t) -> Result<(), Errno> {
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

// ---- making and connecting ----

/// Makes a socket: IPv4, a stream or datagrams.
#[unsafe(no_mangle)]
extern "C" fn sys_socket(domain: i32, kind: i32, _protocol: i32) -> i32 {
    if domain != AF_INET {
        return result(Err(Errno::EAFNOSUPPORT));
    }
    let socket = match kind & !(SOCK_NONBLOCK | SOCK_CLOEXEC) {
        SOCK_STREAM => Socket::new(Kind::Stream),
        SOCK_DGRAM => Socket::new(Kind::Datagram),
        _ => return result(Err(Errno::EPROTONOSUPPORT)),
    };
    socket.set_nonblocking(kind & SOCK_NONBLOCK != 0);
    result(open(Arc::new(socket), 0))
}

/// Gives a socket its own address.
///
/// # Safety
/// `address` points to `len` readable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_bind(fd: i32, address: *const sockaddr, len: socklen_t) -> i32 {
    // SAFETY: the caller's.
    let address = unsafe { read_address(address, len) };
    result(with_socket(fd, |socket| Ok(socket.bind(address?).map(|()| 0)?)))
}

/// Accepts connections from now on.
#[unsafe(no_mangle)]
extern "C" fn sys_listen(fd: i32, backlog: i32) -> i32 {
    result(with_socket(fd, |socket| Ok(socket.listen(usize::try_from(backlog).unwrap_or(0)).map(|()| 0)?)))
}

/// Takes a connection that waits; its descriptor. The peer's address is written to `address`.
///
/// # Safety
/// Unless they are null, `len` points to a length, and `address` to as many writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_accept(fd: i32, address: *mut sockaddr, len: *mut socklen_t) -> i32 {
    result(with_socket(fd, |socket| {
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
    result(with_socket(fd, |socket| Ok(socket.connect(address?).map(|()| 0)?)))
}

/// Closes halves of a connection.
#[unsafe(no_mangle)]
extern "C" fn sys_shutdown(fd: i32, how: i32) -> i32 {
    let halves = match how {
        SHUT_RD => Ok(Halves { read: true, write: false }),
        SHUT_WR => Ok(Halves { read: false, write: true }),
        SHUT_RDWR => Ok(Halves { read: true, write: true }),
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
    if flags & !MSG_PEEK == 0 { Ok(flags & MSG_PEEK != 0) } else { Err(Errno::EINVAL) }
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
/// `buffer` points to `len` readable bytes that nobody writes to; `address`, unless it is null, to `address_len` of them.
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
            return Err(Errno::EINVAL);
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
    count(with_socket(fd, |socket| Ok(socket.receive(&mut PartsMut::one(into?), peek(flags)?)?)))
}

/// As `sys_recv`, and writes the sender's address to `address`.
///
/// # Safety
/// `buffer` points to `len` writable bytes that nobody else uses; unless they are null, `address_len` points to a length,
/// and `address` to as many writable bytes.
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

// ---- options ----

/// Reads an option's value.
///
/// # Safety
/// Unless it is null, `value` points to `len` readable bytes that form a `T`, if they are enough.
unsafe fn read_value<T: Copy>(value: *const c_void, len: socklen_t) -> Result<T, Errno> {
    if value.is_null() {
        return Err(Errno::EFAULT);
    }
    if (len as usize) < size_of::<T>() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the caller's, and the length suffices.
    Ok(unsafe { value.cast::<T>().read_unaligned() })
}

/// Writes an option's value and its length.
///
/// # Safety
/// Unless they are null, `len` points to a length, and `value` to as many writable bytes.
unsafe fn write_value<T: Copy>(option: T, value: *mut c_void, len: *mut socklen_t) -> Result<i32, Errno> {
    if value.is_null() || len.is_null() {
        return Err(Errno::EFAULT);
    }
    // SAFETY: the caller's; what is written fits.
    unsafe {
        if (len.read_unaligned() as usize) < size_of::<T>() {
            return Err(Errno::EINVAL);
        }
        value.cast::<T>().write_unaligned(option);
        len.write_unaligned(size_of::<T>() as socklen_t);
    }
    Ok(0)
}

/// A time limit in nanoseconds; 0 is none.
fn nanoseconds(time: timeval) -> Result<u64, Errno> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::EINVAL)?;
    let microseconds = u64::try_from(time.tv_usec).ok().filter(|&us| us < 1_000_000).ok_or(Errno::EINVAL)?;
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(microseconds * 1000))
}

fn as_timeval(nanoseconds: u64) -> timeval {
    timeval { tv_sec: (nanoseconds / 1_000_000_000) as i64, tv_usec: (nanoseconds % 1_000_000_000 / 1000) as i32 }
}

/// Sets an option.
///
/// # Safety
/// `value` points to `len` readable bytes, the option's value.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_setsockopt(fd: i32, level: i32, name: i32, value: *const c_void, len: socklen_t) -> i32 {
    // SAFETY: the caller's; all options but three are integers.
    let integer = || unsafe { read_value::<i32>(value, len) };
    let on = || Ok::<bool, Errno>(integer()? != 0);
    // SAFETY: the caller's.
    let limit = || nanoseconds(unsafe { read_value::<timeval>(value, len) }?);
    result(with_socket(fd, |socket| {
        let options = &socket.options;
        match (level, name) {
            (SOL_SOCKET, SO_REUSEADDR) => options.reuse_address.store(on()?, Relaxed),
            (SOL_SOCKET, SO_BROADCAST) => options.broadcast.store(on()?, Relaxed),
            (SOL_SOCKET, SO_KEEPALIVE) => socket.set_keep_alive(on()?)?,
            (SOL_SOCKET, SO_RCVTIMEO) => options.receive_timeout.store(limit()?, Relaxed),
            (SOL_SOCKET, SO_SNDTIMEO) => options.send_timeout.store(limit()?, Relaxed),
            (SOL_SOCKET, SO_LINGER) => {
                // SAFETY: the caller's.
                let linger = unsafe { read_value::<linger>(value, len) }?;
                let seconds = u64::try_from(linger.l_linger).map_err(|_| Errno::EINVAL)?;
                options.linger.store(if linger.l_onoff != 0 { seconds + 1 } else { 0 }, Relaxed);
            }
            // Buffers are sized by the number of connections; a wish is heard and not granted, as is usual.
            (SOL_SOCKET, SO_RCVBUF | SO_SNDBUF) => drop(integer()?),
            (IPPROTO_TCP, TCP_NODELAY) if socket.kind() == Kind::Stream => socket.set_nodelay(on()?)?,
            (IPPROTO_IP, IP_TTL) => {
                let limit = u8::try_from(integer()?).ok().filter(|&limit| limit > 0).ok_or(Errno::EINVAL)?;
                socket.set_hop_limit(limit)?;
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(0)
    }))
}

/// Asks for an option.
///
/// # Safety
/// `len` points to a length, and `value` to as many writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_getsockopt(fd: i32, level: i32, name: i32, value: *mut c_void, len: *mut socklen_t) -> i32 {
    // SAFETY: the caller's.
    let integer = |option: i32| unsafe { write_value(option, value, len) };
    result(with_socket(fd, |socket| {
        let options = &socket.options;
        match (level, name) {
            (SOL_SOCKET, SO_ERROR) => integer(socket.take_error().map_or(0, |error| Errno::from(error).number())),
            (SOL_SOCKET, SO_REUSEADDR) => integer(options.reuse_address.load(Relaxed).into()),
            (SOL_SOCKET, SO_BROADCAST) => integer(options.broadcast.load(Relaxed).into()),
            (SOL_SOCKET, SO_KEEPALIVE) => integer((!options.no_keep_alive.load(Relaxed)).into()),
            // SAFETY: the caller's.
            (SOL_SOCKET, SO_RCVTIMEO) => unsafe {
                write_value(as_timeval(options.receive_timeout.load(Relaxed)), value, len)
            },
            // SAFETY: the caller's.
            (SOL_SOCKET, SO_SNDTIMEO) => unsafe {
                write_value(as_timeval(options.send_timeout.load(Relaxed)), value, len)
            },
            (SOL_SOCKET, SO_LINGER) => {
                let seconds = options.linger.load(Relaxed);
                let linger = linger { l_onoff: (seconds > 0).into(), l_linger: seconds.saturating_sub(1) as i32 };
                // SAFETY: the caller's.
                unsafe { write_value(linger, value, len) }
            }
            (IPPROTO_TCP, TCP_NODELAY) if socket.kind() == Kind::Stream => {
                integer(options.nodelay.load(Relaxed).into())
            }
            (IPPROTO_IP, IP_TTL) => integer(match options.hop_limit.load(Relaxed) {
                0 => 64,
                limit => limit.into(),
            }),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }))
}

// ---- names ----

/// One answer, with the address that it points to.
#[repr(C)]
struct Answer {
    info: addrinfo,
    address: sockaddr_in,
}

/// Looks up a name: an IPv4 address in digits, or `localhost`. There is no resolver, so other names do not exist.
///
/// # Safety
/// The names are null or C strings, `hints` is null or points to hints, and `result` points to a writable pointer.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_getaddrinfo(
    name: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> i32 {
    // SAFETY: the caller's.
    let text = |string: *const c_char| (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) }.to_str());
    let ip = match text(name) {
        None | Some(Ok("localhost")) => Ipv4Addr::LOCALHOST,
        Some(name) => match name.ok().and_then(|name| name.parse().ok()) {
            Some(ip) => ip,
            None => return EAI_NONAME,
        },
    };
    let port = match text(service) {
        None => 0,
        Some(service) => match service.ok().and_then(|service| service.parse().ok()) {
            Some(port) => port,
            None => return EAI_SERVICE,
        },
    };
    // SAFETY: the caller's.
    let hints = unsafe { hints.as_ref() };
    if hints.is_some_and(|hints| hints.ai_family != AF_UNSPEC && hints.ai_family != AF_INET) {
        return EAI_FAMILY;
    }
    let mut answer = Box::new(Answer {
        info: addrinfo {
            ai_flags: 0,
            ai_family: AF_INET,
            ai_socktype: hints.map_or(SOCK_STREAM, |hints| hints.ai_socktype),
            ai_protocol: hints.map_or(0, |hints| hints.ai_protocol),
            ai_addrlen: size_of::<sockaddr_in>() as socklen_t,
            ai_canonname: ptr::null_mut(),
            ai_addr: ptr::null_mut(),
            ai_next: ptr::null_mut(),
        },
        address: sockaddr_in(SocketAddrV4::new(ip, port)),
    });
    answer.info.ai_addr = (&raw mut answer.address).cast();
    // SAFETY: the caller's. An `Answer` begins with its `addrinfo`, so a pointer to the one is a pointer to the other.
    unsafe { result.write(Box::into_raw(answer).cast()) };
    0
}

/// Frees what `sys_getaddrinfo` returned.
///
/// # Safety
/// `list` is null or came from `sys_getaddrinfo` and was not freed.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_freeaddrinfo(list: *mut addrinfo) {
    if !list.is_null() {
        // SAFETY: the caller's: it is the `Answer` that was boxed there.
        drop(unsafe { Box::from_raw(list.cast::<Answer>()) });
    }
}
