//! Looking up names.

use alloc::boxed::Box;
use core::ffi::{CStr, c_char};
use core::net::{Ipv4Addr, SocketAddr};
use core::ptr;

use hermit_abi::{AF_INET, AF_UNSPEC, EAI_FAMILY, EAI_NONAME, EAI_SERVICE, SOCK_STREAM, addrinfo, socklen_t};

use super::address::{Form, form};

/// One answer, with the address that it points to.
#[repr(C)]
struct Answer {
    info: addrinfo,
    address: Form,
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
            ai_addrlen: size_of::<hermit_abi::sockaddr_in>() as socklen_t,
            ai_canonname: ptr::null_mut(),
            ai_addr: ptr::null_mut(),
            ai_next: ptr::null_mut(),
        },
        address: form(SocketAddr::from((ip, port))).0,
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
