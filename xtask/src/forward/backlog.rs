//! How full the accept queue of a listener on this machine is.
//!
//! Linux drops what arrives at a full accept queue, and the client tries again after a second, then after three. Who
//! asks first never runs into that. `sock_diag` answers for a single socket at the same small cost, however many
//! there are; where it is not to be had, `/proc/net/tcp` is read instead.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::netlink::SOCK_DIAG;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` of linux/netlink.h.
const NLM_F_REQUEST: u16 = 1;
/// `TCP_LISTEN` of net/tcp_states.h.
const TCP_LISTEN: u8 = 10;
/// `AF_INET` and `IPPROTO_TCP`.
const AF_INET: u8 = 2;
const IPPROTO_TCP: u8 = 6;
/// The length of a `struct nlmsghdr`, and of the request: that and a `struct inet_diag_req_v2`.
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;

/// The accept queue of one listener.
#[derive(Debug)]
pub(super) struct AcceptQueue {
    listener: SocketAddrV4,
    /// The connection to `sock_diag`, as long as it works.
    diagnostics: Option<OwnedFd>,
}

impl AcceptQueue {
    /// The queue of the IPv4 listener at exactly this address.
    pub(super) fn new(listener: SocketAddrV4) -> Self {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let diagnostics = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG)).ok();
        Self { listener, diagnostics }
    }

    /// Whether one more connection fits into the queue. A listener that is not to be found has room: connecting to it
    /// tells more.
    pub(super) fn has_room(&mut self) -> io::Result<bool> {
        if let Some(socket) = &self.diagnostics {
            match ask(socket, self.listener) {
                // Linux counts a queue as full when it is longer than its limit, not as long.
                Ok(Some((queued, limit))) => return Ok(queued <= limit),
                Ok(None) => return Ok(true),
                Err(_) => self.diagnostics = None,
            }
        }
        let table = std::fs::read_to_string("/proc/net/tcp")?;
        // This table does not have the limit. Below one waiting connection there is room in any queue.
        Ok(queued_in_table(&table, self.listener).is_none_or(|queued| queued < 1))
    }
}

/// The number of waiting connections and the limit, by `sock_diag`; `None` when there is no such listener.
fn ask(socket: &OwnedFd, listener: SocketAddrV4) -> io::Result<Option<(u32, u32)>> {
    send(socket, &request(listener), SendFlags::empty())?;
    let mut answer = [0u8; 512];
    // The kernel answers within the send; there is nothing to wait for.
    let (_, length) = recv(socket, &mut answer, RecvFlags::empty())?;
    parse(&answer[..length.min(answer.len())])
}

fn request(listener: SocketAddrV4) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    request[0..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    let body = &mut request[HEADER..];
    body[0] = AF_INET;
    body[1] = IPPROTO_TCP;
    body[4..8].copy_from_slice(&(1u32 << TCP_LISTEN).to_ne_bytes());
    body[8..10].copy_from_slice(&listener.port().to_be_bytes());
    body[12..16].copy_from_slice(&listener.ip().octets());
    // INET_DIAG_NOCOOKIE: the socket is meant by its address.
    body[48..56].fill(0xff);
    request
}

/// Reads a `struct nlmsghdr` with a `struct inet_diag_msg`, or an error message.
fn parse(answer: &[u8]) -> io::Result<Option<(u32, u32)>> {
    let word = |at: usize| -> io::Result<u32> {
        let bytes = answer.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_ne_bytes).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    // The type is the header's third half-word, with the flags above it.
    let kind = u16::from_ne_bytes([answer.get(4).copied().unwrap_or(0), answer.get(5).copied().unwrap_or(0)]);
    if kind != SOCK_DIAG_BY_FAMILY {
        let error = io::Error::from_raw_os_error(word(HEADER)?.cast_signed().wrapping_neg());
        return if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(error) };
    }
    if answer.get(HEADER + 1) != Some(&TCP_LISTEN) {
        return Ok(None);
    }
    Ok(Some((word(HEADER + 56)?, word(HEADER + 60)?)))
}

/// The receive queue of the listener in the text of `/proc/net/tcp`, which for a listener is its accept queue.
fn queued_in_table(table: &str, listener: SocketAddrV4) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let (_, queued) = fields.next()?.split_once(':')?;
        let (address, port) = local.split_once(':')?;
        // The address is printed as the number that its bytes make in memory.
        let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
        let port = u16::from_str_radix(port, 16).ok()?;
        let found = SocketAddrV4::new(address, port) == listener && u8::from_str_radix(state, 16) == Ok(TCP_LISTEN);
        found.then(|| u32::from_str_radix(queued, 16).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    fn listener(backlog: i32) -> (TcpListener, SocketAddrV4) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(backlog).unwrap();
        let listener = TcpListener::from(socket);
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("an IPv4 listener") };
        (listener, address)
    }

    #[test]
    fn a_queue_fills_and_empties() {
        let (listener, address) = listener(1);
        let mut queue = AcceptQueue::new(address);
        let mut clients = Vec::new();
        while queue.has_room().unwrap() {
            clients.push(TcpStream::connect(address).unwrap());
            assert!(clients.len() <= 2, "a backlog of 1 holds two connections at most");
        }
        assert!(!clients.is_empty());
        while queue.has_room().is_ok_and(|room| !room) {
            listener.accept().unwrap();
        }
        assert!(queue.has_room().unwrap());
    }

    #[test]
    fn both_sources_see_the_same_queue() {
        let (_listener, address) = listener(8);
        let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        assert_eq!(queued_in_table(&table, address), Some(3));
        // Where sock_diag is not to be had there is nothing to compare.
        if let Some(Ok(answer)) = AcceptQueue::new(address).diagnostics.map(|socket| ask(&socket, address)) {
            assert_eq!(answer, Some((3, 8)));
        }
    }

    #[test]
    fn a_listener_that_is_gone_has_room() {
        let (listener, address) = listener(1);
        drop(listener);
        assert!(AcceptQueue::new(address).has_room().unwrap());
        let mut without_diagnostics = AcceptQueue { listener: address, diagnostics: None };
        assert!(without_diagnostics.has_room().unwrap());
    }

    #[test]
    fn an_answer_that_is_cut_short_is_an_error() {
        let mut answer = [0; HEADER + 72];
        answer[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        answer[HEADER + 1] = TCP_LISTEN;
        answer[HEADER + 56..HEADER + 60].copy_from_slice(&2u32.to_ne_bytes());
        answer[HEADER + 60..HEADER + 64].copy_from_slice(&5u32.to_ne_bytes());
        assert_eq!(parse(&answer).unwrap(), Some((2, 5)));
        for length in 0..HEADER + 64 {
            assert!(!matches!(parse(&answer[..length]), Ok(Some(_))), "{length}");
        }
    }

    #[test]
    fn tables_that_make_no_sense_have_no_listener() {
        for table in ["", "header\n", "header\n 0: xx\n", "header\n 0: 0100007F:18EB 00000000:0000 0A zz\n"] {
            assert_eq!(queued_in_table(table, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 6379)), None, "{table:?}");
        }
    }
}
