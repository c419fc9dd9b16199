//! Socket options.

use core::ffi::c_void;
use core::sync::atomic::Ordering::Relaxed;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hermit_abi::{
    IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MULTICAST_LOOP, IP_MULTICAST_TTL, IP_TTL, IPPROTO_IP, IPPROTO_IPV6,
    IPPROTO_TCP, IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP, IPV6_MULTICAST_LOOP, IPV6_V6ONLY, SO_BROADCAST, SO_ERROR,
    SO_KEEPALIVE, SO_LINGER, SO_RCVBUF, SO_RCVTIMEO, SO_REUSEADDR, SO_SNDBUF, SO_SNDTIMEO, SOCK_DGRAM, SOCK_STREAM,
    SOL_SOCKET, TCP_NODELAY, in_addr, ip_mreq, ipv6_mreq, linger, socklen_t, timeval,
};

use super::with_socket;
use crate::abi::errno::{Errno, result};
use crate::net::{Domain, Interface, Socket, SocketType};

/// Options that the ABI's crate has no names for, by the numbers of lwIP, where its others come from.
const SO_ACCEPTCONN: i32 = 0x0002;
const SO_TYPE: i32 = 0x1008;
const TCP_KEEPIDLE: i32 = 3;
const TCP_KEEPINTVL: i32 = 4;
const TCP_KEEPCNT: i32 = 5;
/// The largest values that Linux takes for them.
const MAX_KEEP_SECONDS: i32 = 32_767;
const MAX_KEEP_COUNT: i32 = 127;

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

/// A number from `least` to `most`.
fn within(value: i32, least: i32, most: i32) -> Result<i32, Errno> {
    if (least..=most).contains(&value) { Ok(value) } else { Err(Errno::EINVAL) }
}

/// A time to live; -1 stands for the usual one.
fn hop_limit(value: i32, usual: u8, least: i32) -> Result<u8, Errno> {
    if value == -1 { Ok(usual) } else { Ok(within(value, least, 255)? as u8) }
}

fn ipv4(address: in_addr) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(address.s_addr.to_ne_bytes()))
}

/// Sets an option.
///
/// # Safety
/// `value` points to `len` readable bytes, the option's value.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_setsockopt(fd: i32, level: i32, name: i32, value: *const c_void, len: socklen_t) -> i32 {
    // SAFETY: the caller's.
    result(with_socket(fd, |socket| unsafe { set(socket, (level, name), value, len) }.map(|()| 0)))
}

/// # Safety
/// `value` points to `len` readable bytes, the option's value.
unsafe fn set(socket: &Socket, option: (i32, i32), value: *const c_void, len: socklen_t) -> Result<(), Errno> {
    // SAFETY: the caller's; most options are integers.
    let integer = || unsafe { read_value::<i32>(value, len) };
    let on = || Ok::<bool, Errno>(integer()? != 0);
    // SAFETY: the caller's.
    let limit = || nanoseconds(unsafe { read_value::<timeval>(value, len) }?);
    // SAFETY: the caller's.
    let group = || unsafe { read_value::<ip_mreq>(value, len) };
    // SAFETY: the caller's.
    let group6 = || unsafe { read_value::<ipv6_mreq>(value, len) };
    let options = &socket.options;
    let (is_stream, is_v6) = (socket.socket_type() == SocketType::Stream, socket.domain() == Domain::V6);
    match option {
        (SOL_SOCKET, SO_REUSEADDR) => options.reuse_address.store(on()?, Relaxed),
        (SOL_SOCKET, SO_BROADCAST) => {
            let on = on()?;
            socket.configure(|settings| settings.broadcast = on)?;
        }
        (SOL_SOCKET, SO_KEEPALIVE) => {
            let on = on()?;
            socket.set_keep_alive(|keep| keep.on = on)?;
        }
        (SOL_SOCKET, SO_RCVTIMEO) => options.receive_timeout.store(limit()?, Relaxed),
        (SOL_SOCKET, SO_SNDTIMEO) => options.send_timeout.store(limit()?, Relaxed),
        (SOL_SOCKET, SO_LINGER) => {
            // SAFETY: the caller's.
            let linger = unsafe { read_value::<linger>(value, len) }?;
            let seconds = u64::try_from(linger.l_linger).map_err(|_| Errno::EINVAL)?;
            options.linger.store(if linger.l_onoff != 0 { seconds + 1 } else { 0 }, Relaxed);
        }
        (SOL_SOCKET, SO_RCVBUF) => options.receive_buffer.store(within(integer()?, 0, i32::MAX)? as usize, Relaxed),
        (SOL_SOCKET, SO_SNDBUF) => options.send_buffer.store(within(integer()?, 0, i32::MAX)? as usize, Relaxed),
        (IPPROTO_TCP, TCP_NODELAY) if is_stream => socket.set_nodelay(on()?)?,
        (IPPROTO_TCP, TCP_KEEPIDLE) if is_stream => {
            let seconds = within(integer()?, 1, MAX_KEEP_SECONDS)? as u32;
            socket.set_keep_alive(|keep| keep.idle = seconds)?;
        }
        (IPPROTO_TCP, TCP_KEEPINTVL) if is_stream => {
            let seconds = within(integer()?, 1, MAX_KEEP_SECONDS)? as u32;
            socket.set_keep_alive(|keep| keep.interval = seconds)?;
        }
        (IPPROTO_TCP, TCP_KEEPCNT) if is_stream => {
            let count = within(integer()?, 1, MAX_KEEP_COUNT)? as u32;
            socket.set_keep_alive(|keep| keep.count = count)?;
        }
        // `std` sets it so on IPv6 sockets, too; there is no other name for the hop limit.
        (IPPROTO_IP, IP_TTL) => {
            let limit = hop_limit(integer()?, 64, 1)?;
            socket.configure(|settings| settings.hop_limit = limit)?;
        }
        (IPPROTO_IP, IP_MULTICAST_TTL) if !is_stream => {
            let limit = hop_limit(integer()?, 1, 0)?;
            socket.configure(|settings| settings.multicast_hop_limit = limit)?;
        }
        (IPPROTO_IP, IP_MULTICAST_LOOP) | (IPPROTO_IPV6, IPV6_MULTICAST_LOOP) if !is_stream => {
            let on = on()?;
            socket.configure(|settings| settings.multicast_loop = on)?;
        }
        (IPPROTO_IP, IP_ADD_MEMBERSHIP | IP_DROP_MEMBERSHIP) if !is_stream => {
            let group = group()?;
            let (address, on) = (ipv4(group.imr_multiaddr), Interface::Address(ipv4(group.imr_interface)));
            if option.1 == IP_ADD_MEMBERSHIP { socket.join(address, on)? } else { socket.leave(address, on)? }
        }
        (IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP | IPV6_DROP_MEMBERSHIP) if !is_stream && is_v6 => {
            let group = group6()?;
            let address = IpAddr::V6(Ipv6Addr::from(group.ipv6mr_multiaddr.s6_addr));
            let on = Interface::Index(group.ipv6mr_interface);
            if option.1 == IPV6_ADD_MEMBERSHIP { socket.join(address, on)? } else { socket.leave(address, on)? }
        }
        (IPPROTO_IPV6, IPV6_V6ONLY) if is_v6 => socket.set_v6_only(on()?)?,
        _ => return Err(Errno::ENOPROTOOPT),
    }
    Ok(())
}

/// Asks for an option.
///
/// # Safety
/// `len` points to a length, and `value` to as many writable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_getsockopt(fd: i32, level: i32, name: i32, value: *mut c_void, len: *mut socklen_t) -> i32 {
    // SAFETY: the caller's.
    let write_integer = |option: i32| unsafe { write_value(option, value, len) };
    result(with_socket(fd, |socket| {
        let options = &socket.options;
        match (level, name) {
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
            option => write_integer(integer(socket, option)?),
        }
    }))
}

/// The value of an option that is a number.
fn integer(socket: &Socket, option: (i32, i32)) -> Result<i32, Errno> {
    let (options, keep_alive) = (&socket.options, socket.options.keep_alive());
    let datagram = options.datagram();
    let (is_stream, is_v6) = (socket.socket_type() == SocketType::Stream, socket.domain() == Domain::V6);
    Ok(match option {
        (SOL_SOCKET, SO_ERROR) => socket.take_error().map_or(0, |error| Errno::from(error).number()),
        (SOL_SOCKET, SO_TYPE) => {
            if is_stream {
                SOCK_STREAM
            } else {
                SOCK_DGRAM
            }
        }
        (SOL_SOCKET, SO_ACCEPTCONN) => socket.is_listening().into(),
        (SOL_SOCKET, SO_REUSEADDR) => options.reuse_address.load(Relaxed).into(),
        (SOL_SOCKET, SO_BROADCAST) => datagram.broadcast.into(),
        (SOL_SOCKET, SO_KEEPALIVE) => (is_stream && keep_alive.on).into(),
        (SOL_SOCKET, SO_RCVBUF) => socket.buffers().0 as i32,
        (SOL_SOCKET, SO_SNDBUF) => socket.buffers().1 as i32,
        (IPPROTO_TCP, TCP_NODELAY) if is_stream => options.nodelay.load(Relaxed).into(),
        (IPPROTO_TCP, TCP_KEEPIDLE) if is_stream => keep_alive.idle as i32,
        (IPPROTO_TCP, TCP_KEEPINTVL) if is_stream => keep_alive.interval as i32,
        (IPPROTO_TCP, TCP_KEEPCNT) if is_stream => keep_alive.count as i32,
        (IPPROTO_IP, IP_TTL) => datagram.hop_limit.into(),
        (IPPROTO_IP, IP_MULTICAST_TTL) if !is_stream => datagram.multicast_hop_limit.into(),
        (IPPROTO_IP, IP_MULTICAST_LOOP) | (IPPROTO_IPV6, IPV6_MULTICAST_LOOP) if !is_stream => {
            datagram.multicast_loop.into()
        }
        (IPPROTO_IPV6, IPV6_V6ONLY) if is_v6 => options.v6_only.load(Relaxed).into(),
        _ => return Err(Errno::ENOPROTOOPT),
    })
}
