//! Looking up names.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ptr;

use hermit_abi::{
    AF_INET, AF_INET6, AF_UNSPEC, EAI_AGAIN, EAI_BADFLAGS, EAI_FAIL, EAI_FAMILY, EAI_NODATA, EAI_NONAME, EAI_SERVICE,
    EAI_SOCKTYPE, SOCK_DGRAM, SOCK_STREAM, addrinfo, socklen_t,
};

use super::address::{Form, form};
use crate::net::{LookupError, known_host, resolve};

/// Flags that the ABI's crate has no names for, by the numbers of lwIP, where its others come from.
const AI_PASSIVE: i32 = 0x01;
const AI_NUMERICHOST: i32 = 0x04;
const AI_NUMERICSERV: i32 = 0x08;
const AI_ADDRCONFIG: i32 = 0x40;

/// One answer, with the address that it points to.
#[repr(C)]
struct Answer {
    info: addrinfo,
    address: Form,
}

/// Looks up a name: an address in digits, `localhost`, or what a name server knows (see `net::dns`). The service is a
/// number. Returns 0, or why not (`EAI_…`).
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
    // SAFETY: the caller's.
    let hints = unsafe { hints.as_ref() };
    match look_up(text(name), text(service), hints) {
        Ok(addresses) => {
            let list = list(&addresses, hints);
            // SAFETY: the caller's.
            unsafe { result.write(list) };
            0
        }
        Err(error) => error,
    }
}

/// A text of the program's: none, or what it says if that is UTF-8.
type Text<'a> = Option<Result<&'a str, core::str::Utf8Error>>;

fn look_up(name: Text<'_>, service: Text<'_>, hints: Option<&addrinfo>) -> Result<Vec<SocketAddr>, i32> {
    let (family, kind, flags) =
        hints.map_or((AF_UNSPEC, 0, 0), |hints| (hints.ai_family, hints.ai_socktype, hints.ai_flags));
    if ![AF_UNSPEC, AF_INET, AF_INET6].contains(&family) {
        return Err(EAI_FAMILY);
    }
    if ![0, SOCK_STREAM, SOCK_DGRAM].contains(&kind) {
        return Err(EAI_SOCKTYPE);
    }
    if flags & !(AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV | AI_ADDRCONFIG) != 0 {
        return Err(EAI_BADFLAGS);
    }
    let port = match service {
        None => 0,
        Some(service) => service.ok().and_then(|service| service.parse().ok()).ok_or(EAI_SERVICE)?,
    };
    let mut addresses: Vec<IpAddr> = match name {
        None if service.is_none() => return Err(EAI_NONAME),
        None if flags & AI_PASSIVE != 0 => [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].into(),
        None => [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into(),
        Some(Err(_)) => return Err(EAI_NONAME),
        Some(Ok(name)) if flags & AI_NUMERICHOST != 0 => {
            known_host(name).filter(|_| is_number(name)).ok_or(EAI_NONAME)?
        }
        Some(Ok(name)) => resolve(name).map_err(|error| match error {
            LookupError::NoName => EAI_NONAME,
            LookupError::NoAddress => EAI_NODATA,
            LookupError::TryAgain => EAI_AGAIN,
            LookupError::Failed => EAI_FAIL,
        })?,
    };
    addresses.retain(|address| match family {
        AF_INET => address.is_ipv4(),
        AF_INET6 => address.is_ipv6(),
        _ => true,
    });
    if addresses.is_empty() { Err(EAI_NODATA) } else { Ok(addresses.into_iter().map(|ip| (ip, port).into()).collect()) }
}

/// Whether a name that needs no server is an address in digits.
fn is_number(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit()) || name.contains(':')
}

/// The answers as a list that `sys_freeaddrinfo` takes.
fn list(addresses: &[SocketAddr], hints: Option<&addrinfo>) -> *mut addrinfo {
    let mut next = ptr::null_mut();
    for &address in addresses.iter().rev() {
        let (form, len) = form(address);
        let mut answer = Box::new(Answer {
            info: addrinfo {
                ai_flags: 0,
                ai_family: if address.is_ipv4() { AF_INET } else { AF_INET6 },
                ai_socktype: hints.map_or(0, |hints| hints.ai_socktype),
                ai_protocol: hints.map_or(0, |hints| hints.ai_protocol),
                ai_addrlen: len as socklen_t,
                ai_canonname: ptr::null_mut(),
                ai_addr: ptr::null_mut(),
                ai_next: next,
            },
            address: form,
        });
        answer.info.ai_addr = (&raw mut answer.address).cast();
        // An `Answer` begins with its `addrinfo`, so a pointer to the one is a pointer to the other.
        next = Box::into_raw(answer).cast();
    }
    next
}

/// Frees what `sys_getaddrinfo` returned.
///
/// # Safety
/// `list` is null or came from `sys_getaddrinfo` and was not freed.
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_freeaddrinfo(list: *mut addrinfo) {
    let mut next = list.cast::<Answer>();
    while !next.is_null() {
        // SAFETY: the caller's: each is an `Answer` that was boxed by `list`.
        let answer = unsafe { Box::from_raw(next) };
        next = answer.info.ai_next.cast();
    }
}
