//! Why a socket call did not do what was asked.

/// The failures of the socket layer. The ABI has an error number for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing to read, no room to write, or nobody to accept right now.
    WouldBlock,
    /// A non-blocking connect was started.
    InProgress,
    /// A connect is already under way.
    Already,
    /// The socket is connected already.
    IsConnected,
    /// The socket is not connected.
    NotConnected,
    /// The peer answered a SYN with a reset, or a datagram with ICMP: nobody uses that port.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The connection ended before it could be accepted, or this machine lost the address it used.
    Aborted,
    /// The peer did not answer in time.
    TimedOut,
    /// The sending half is closed.
    BrokenPipe,
    /// Another socket uses this address and port.
    AddressInUse,
    /// The address is not one of this machine's.
    AddressNotAvailable,
    /// There is no network interface with an address, so no way to the destination.
    Unreachable,
    /// A router or the peer's machine says that there is no way to it.
    HostUnreachable,
    /// A broadcast, and the socket was not allowed any.
    NotAllowed,
    /// An IPv4 address for an IPv6 socket, or the other way round.
    WrongFamily,
    /// The socket has no peer and the call names none.
    DestinationRequired,
    /// The datagram is larger than a packet on its way can be.
    TooLong,
    /// No memory, or no room in the tables, for another socket.
    NoBuffers,
    /// The arguments make no sense for this socket.
    Invalid,
    /// This kind of socket cannot do that.
    NotSupported,
}
