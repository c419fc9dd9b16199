//! Socket options.

use core::ffi::c_void;
use core::sync::atomic::Ordering::Relaxed;

use hermit_abi::{
    IP_TTL, IPPROTO_IP, IPPROTO_TCP, SO_BROADCAST, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_RCVBUF, SO_RCVTIMEO,
    SO_REUSEADDR, SO_SNDBUF, SO_SNDTIMEO, SOL_SOCKET, TCP_NODELAY, linger, socklen_t, timeval,
};

use super::with_socket;
use crate::abi::errno::{Errno, result};
use crate::net::Kind;

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
