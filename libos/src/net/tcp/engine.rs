//! What runs a connection's protocol: smoltcp's socket in a set of its own, or the fast path while all goes well.

use alloc::boxed::Box;
use alloc::vec::Vec;

use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{Socket, State};

use super::fast_path::FastPath;

/// What runs a connection's protocol.
pub enum Engine {
    /// smoltcp's socket, alone in its set.
    Smoltcp(SocketSet<'static>, SocketHandle),
    /// The fast path, for a connection that is established.
    Fast(Box<FastPath>),
}

impl Engine {
    /// smoltcp runs it, by this socket; `None` when memory is short.
    pub fn of(socket: Socket<'static>) -> Option<Self> {
        let mut storage: Vec<SocketStorage<'static>> = Vec::new();
        storage.try_reserve_exact(1).ok()?;
        let mut set = SocketSet::new(storage);
        let handle = set.add(socket);
        Some(Self::Smoltcp(set, handle))
    }

    /// smoltcp's socket, if it runs the connection.
    pub fn socket(&self) -> Option<&Socket<'static>> {
        match self {
            Self::Smoltcp(set, handle) => Some(set.get(*handle)),
            Self::Fast(_) => None,
        }
    }

    /// The same, to be changed.
    pub fn socket_mut(&mut self) -> Option<&mut Socket<'static>> {
        match self {
            Self::Smoltcp(set, handle) => Some(set.get_mut(*handle)),
            Self::Fast(_) => None,
        }
    }

    /// The set of smoltcp's socket, if it runs the connection.
    pub fn set_mut(&mut self) -> Option<&mut SocketSet<'static>> {
        match self {
            Self::Smoltcp(set, _) => Some(set),
            Self::Fast(_) => None,
        }
    }

    /// Where the connection stands between its beginning and its end.
    pub fn state(&self) -> State {
        self.socket().map_or(State::Established, Socket::state)
    }

    /// Whether bytes have come that were not read.
    pub fn can_recv(&self) -> bool {
        self.recv_queue() > 0
    }

    /// Whether the program may still send.
    pub fn may_send(&self) -> bool {
        self.socket().is_none_or(Socket::may_send)
    }

    /// Bytes that have come and were not read.
    pub fn recv_queue(&self) -> usize {
        match self {
            Self::Smoltcp(set, handle) => set.get::<Socket<'_>>(*handle).recv_queue(),
            Self::Fast(fast) => fast.received.len(),
        }
    }

    /// Bytes that the program has sent and the peer has not acknowledged.
    pub fn send_queue(&self) -> usize {
        match self {
            Self::Smoltcp(set, handle) => set.get::<Socket<'_>>(*handle).send_queue(),
            Self::Fast(fast) => fast.sent.len(),
        }
    }

    /// The bytes of the buffer for what comes.
    pub fn recv_capacity(&self) -> usize {
        match self {
            Self::Smoltcp(set, handle) => set.get::<Socket<'_>>(*handle).recv_capacity(),
            Self::Fast(fast) => fast.received.capacity(),
        }
    }

    /// The bytes of the buffer for what goes.
    pub fn send_capacity(&self) -> usize {
        match self {
            Self::Smoltcp(set, handle) => set.get::<Socket<'_>>(*handle).send_capacity(),
            Self::Fast(fast) => fast.sent.capacity(),
        }
    }

    /// Has smoltcp's socket reset the connection.
    pub fn abort(&mut self) {
        if let Some(socket) = self.socket_mut() {
            socket.abort();
        }
    }

    /// Has smoltcp's socket end this side of the connection, after what is queued.
    pub fn close(&mut self) {
        if let Some(socket) = self.socket_mut() {
            socket.close();
        }
    }

    /// Queues as many of these bytes as there is room for; how many.
    pub fn send_slice(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Smoltcp(set, handle) => set.get_mut::<Socket<'_>>(*handle).send_slice(bytes).unwrap_or(0),
            Self::Fast(fast) => fast.sent.enqueue_slice(bytes),
        }
    }

    /// Moves bytes that have come into `into`; how many.
    pub fn recv_slice(&mut self, into: &mut [u8]) -> usize {
        match self {
            Self::Smoltcp(set, handle) => set.get_mut::<Socket<'_>>(*handle).recv_slice(into).unwrap_or(0),
            Self::Fast(fast) => fast.received.dequeue_slice(into),
        }
    }

    /// Copies bytes that have come into `into`; how many.
    pub fn peek_slice(&mut self, into: &mut [u8]) -> usize {
        match self {
            Self::Smoltcp(set, handle) => set.get_mut::<Socket<'_>>(*handle).peek_slice(into).unwrap_or(0),
            Self::Fast(fast) => fast.received.read_allocated(0, into),
        }
    }
}
