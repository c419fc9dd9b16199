//! Options that stable `std` has no methods for, by the calls below it.

use std::ffi::c_void;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use super::{kind, pair};

const SOL_SOCKET: i32 = 4095;
const SO_ACCEPTCONN: i32 = 0x0002;
const SO_KEEPALIVE: i32 = 0x0008;
const SO_LINGER: i32 = 0x0080;
const SO_SNDBUF: i32 = 0x1001;
const SO_RCVBUF: i32 = 0x1002;
const SO_TYPE: i32 = 0x1008;
const IPPROTO_TCP: i32 = 6;
const TCP_KEEPIDLE: i32 = 3;
const TCP_KEEPINTVL: i32 = 4;
const TCP_KEEPCNT: i32 = 5;
const IPPROTO_IPV6: i32 = 41;
const IPV6_V6ONLY: i32 = 27;
const ENOPROTOOPT: i32 = 92;
const EINVAL: i32 = 22;

unsafe extern "C" {
    fn sys_setsockopt(fd: i32, level: i32, name: i32, value: *const c_void, len: u32) -> i32;
    fn sys_getsockopt(fd: i32, level: i32, name: i32, value: *mut c_void, len: *mut u32) -> i32;
    fn sys_socket(domain: i32, kind: i32, protocol: i32) -> i32;
    fn sys_bind(fd: i32, address: *const c_void, len: u32) -> i32;
    fn sys_close(fd: i32) -> i32;
}

fn set<T>(fd: i32, level: i32, name: i32, value: T) -> i32 {
    // SAFETY: the value is there for the call.
    unsafe { sys_setsockopt(fd, level, name, (&raw const value).cast(), size_of::<T>() as u32) }
}

fn get(fd: i32, level: i32, name: i32) -> Result<i32, i32> {
    let (mut value, mut len) = (0i32, 4);
    // SAFETY: both are there for the call.
    match unsafe { sys_getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) } {
        0 => Ok(value),
        error => Err(-error),
    }
}

pub fn check() {
    numbers();
    lingering();
    only_v6();
}

fn numbers() {
    let (server, client) = pair();
    let fd = client.as_raw_fd();
    for (level, name, value) in [
        (SOL_SOCKET, SO_KEEPALIVE, 0),
        (SOL_SOCKET, SO_KEEPALIVE, 1),
        (IPPROTO_TCP, TCP_KEEPIDLE, 7),
        (IPPROTO_TCP, TCP_KEEPINTVL, 3),
        (IPPROTO_TCP, TCP_KEEPCNT, 9),
    ] {
        assert_eq!(set(fd, level, name, value), 0);
        assert_eq!(get(fd, level, name), Ok(value));
    }
    assert_eq!(set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 0), -EINVAL);
    assert_eq!(set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5u8), -EINVAL, "too short a value");
    assert_eq!(set(fd, IPPROTO_TCP, 77, 1), -ENOPROTOOPT);
    assert_eq!(get(fd, 77, 1), Err(ENOPROTOOPT));
    assert_eq!(get(fd, SOL_SOCKET, SO_TYPE), Ok(1));
    assert_eq!(get(fd, SOL_SOCKET, SO_ACCEPTCONN), Ok(0));
    // A connection's buffers are as its listener was told before.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    assert_eq!(get(listener.as_raw_fd(), SOL_SOCKET, SO_ACCEPTCONN), Ok(1));
    assert!(get(server.as_raw_fd(), SOL_SOCKET, SO_RCVBUF).unwrap() >= 4096);
    assert!(get(server.as_raw_fd(), SOL_SOCKET, SO_SNDBUF).unwrap() >= 4096);
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    assert_eq!(get(udp.as_raw_fd(), SOL_SOCKET, SO_TYPE), Ok(2));
    assert_eq!(get(udp.as_raw_fd(), IPPROTO_TCP, TCP_KEEPIDLE), Err(ENOPROTOOPT));
}

fn lingering() {
    // No time: a reset.
    let (server, mut client) = pair();
    assert_eq!(set(server.as_raw_fd(), SOL_SOCKET, SO_LINGER, [1i32, 0]), 0);
    drop(server);
    assert_eq!(kind(client.read(&mut [0; 4])), ErrorKind::ConnectionReset);
    // A second, and nobody reads: closing takes it, and what was written still arrives later.
    let (mut server, mut client) = pair();
    assert_eq!(set(server.as_raw_fd(), SOL_SOCKET, SO_LINGER, [1i32, 1]), 0);
    server.set_nonblocking(true).unwrap();
    let (mut written, mut blocked) = (0, 0);
    while blocked < 5 {
        match server.write(&[7; 10_000]) {
            Ok(len) => (written, blocked) = (written + len, 0),
            // What the peer's machine has received makes room when it says so.
            Err(_) => blocked += 1,
        }
        thread::sleep(Duration::from_millis(20));
    }
    let start = Instant::now();
    drop(server);
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), written);
    // Much time, and somebody reads: closing takes as long as that.
    let (mut server, mut client) = pair();
    assert_eq!(set(server.as_raw_fd(), SOL_SOCKET, SO_LINGER, [1i32, 3600]), 0);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        all.len()
    });
    server.write_all(&[7; 500_000]).unwrap();
    drop(server);
    assert_eq!(reader.join().unwrap(), 500_000);
}

fn only_v6() {
    // SAFETY: numbers only.
    let fd = unsafe { sys_socket(1, 1, 0) };
    assert!(fd > 2);
    assert_eq!(get(fd, IPPROTO_IPV6, IPV6_V6ONLY), Ok(0));
    assert_eq!(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
    assert_eq!(get(fd, IPPROTO_IPV6, IPV6_V6ONLY), Ok(1));
    // `[::]:7001`: length, family, port, flow, address, scope.
    let mut any = [0u8; 28];
    any[1] = 1;
    any[2..4].copy_from_slice(&7001u16.to_be_bytes());
    // SAFETY: the address is there for the call.
    assert_eq!(unsafe { sys_bind(fd, any.as_ptr().cast(), 28) }, 0);
    assert_eq!(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0), -EINVAL, "too late");
    // SAFETY: numbers only.
    assert_eq!(unsafe { sys_close(fd) }, 0);
    assert_eq!(get(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().as_raw_fd(), IPPROTO_IPV6, IPV6_V6ONLY), Err(92));
    let dual = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    assert_eq!(get(dual.as_raw_fd(), IPPROTO_IPV6, IPV6_V6ONLY), Ok(0));
    TcpStream::connect((Ipv4Addr::LOCALHOST, dual.local_addr().unwrap().port())).unwrap();
}
