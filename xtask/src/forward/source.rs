//! The ports that connections to QEMU come from, each as long after its last use as possible.
//!
//! QEMU's user network shows the guest the source port of each connection. Linux lets a port of the loopback be used
//! again a second after the end of its last connection (`tcp_tw_reuse`), or at once after a reset. But with a loss
//! between QEMU and the guest the old connection may not have ended there, and QEMU has no TIME-WAIT for it: the guest
//! would take segments of two connections for those of one. So ports are used in turn.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// Linux's usual range for such ports.
const PORTS: RangeInclusive<u16> = 32768..=60999;
/// How many ports are tried, each of which somebody else may use, before the choice is left to the system.
const TRIES: usize = 100;

/// The ports.
#[derive(Debug)]
pub(super) struct Sources {
    next: u16,
}

impl Sources {
    /// All of them, from the one that the program's number leads to: one forwarder after the other starts elsewhere.
    pub(super) fn new() -> Self {
        let span = u32::from(PORTS.end() - PORTS.start()) + 1;
        Self { next: PORTS.start() + (std::process::id().wrapping_mul(7919) % span) as u16 }
    }

    /// Begins a connection from the next port to `target` on this machine.
    ///
    /// # Errors
    /// What connecting fails with.
    pub(super) fn connect(&mut self, target: SocketAddrV4) -> io::Result<TcpStream> {
        for _ in 0..TRIES {
            let port = self.next;
            self.next = if port == *PORTS.end() { *PORTS.start() } else { port + 1 };
            match connect_from(port, target) {
                Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => {}
                outcome => return outcome,
            }
        }
        TcpStream::connect(SocketAddr::V4(target))
    }
}

fn connect_from(port: u16, target: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A port in TIME-WAIT keeps its turn: without this, a load that comes round within a minute finds so many of those
    // in a row that the system chooses, and that takes the port of a connection that ended a second ago.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        outcome => outcome?,
    }
    Ok(TcpStream::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn ports_are_used_in_turn_and_those_of_others_are_left_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(target) = listener.local_addr().unwrap() else { panic!() };
        let mut sources = Sources::new();
        let mut ports = Vec::new();
        for _ in 0..50 {
            let stream = sources.connect(target).unwrap();
            ports.push(stream.local_addr().unwrap().port());
            // A reset frees the port at once.
            socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            drop(listener.accept().unwrap());
        }
        let mut different = ports.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 50, "{ports:?}");
        // Taken by somebody: the next one is used.
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let holder = TcpListener::bind(("127.0.0.1", taken)).unwrap();
        sources.next = taken;
        assert_ne!(sources.connect(target).unwrap().local_addr().unwrap().port(), taken);
        drop(holder);
    }

    #[test]
    fn a_port_in_time_wait_keeps_its_turn() {
        let [first, second] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [one, other] = [&first, &second].map(|listener| match listener.local_addr().unwrap() {
            SocketAddr::V4(target) => target,
            SocketAddr::V6(_) => panic!(),
        });
        let mut sources = Sources::new();
        let stream = sources.connect(one).unwrap();
        let port = stream.local_addr().unwrap().port();
        let (mut accepted, _) = first.accept().unwrap();
        // Who ends first has the TIME-WAIT.
        drop(stream);
        assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
        drop(accepted);
        sources.next = port;
        assert_eq!(sources.connect(other).unwrap().local_addr().unwrap().port(), port);
    }
}
