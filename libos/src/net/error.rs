//! Why a socket call did not do what was asked.

use hermit_abi::errno;

/// The failures of the socket layer. Each is one `errno` value of the ABI.
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
    /// The peer answered a SYN with a reset.
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
    /// The socket has no peer and the call names none.
    DestinationRequired,
    /// The datagram is larger than a frame can carry.
    TooLong,
    /// No memory, or no room in the tables, for another socket.
    NoBuffers,
    /// The arguments make no sense for this socket.
    Invalid,
    /// This kind of socket cannot do that.
    NotSupported,
}

impl Error {
    /// The ABI's number for this failure.
    pub const fn errno(self) -> i32 {
        match self {
            Self::WouldBlock => errno::EAGAIN,
            Self::InProgress => errno::EINPROGRESS,
            Self::Already => errno::EALREADY,
            Self::IsConnected => errno::EISCONN,
            Self::NotConnected => errno::ENOTCONN,
            Self::Refused => errno::ECONNREFUSED,
            Self::Reset => errno::ECONNRESET,
            Self::Aborted => errno::ECONNABORTED,
            Self::TimedOut => errno::ETIMEDOUT,
            Self::BrokenPipe => errno::EPIPE,
            Self::AddressInUse => errno::EADDRINUSE,
            Self::AddressNotAvailable => errno::EADDRNOTAVAIL,
            Self::Unreachable => errno::ENETUNREACH,
            Self::DestinationRequired => errno::EDESTADDRREQ,
            Self::TooLong => errno::EMSGSIZE,
            Self::NoBuffers => errno::ENOBUFS,
            Self::Invalid => errno::EINVAL,
            Self::NotSupported => errno::EOPNOTSUPP,
        }
    }
}
