//! The network: one stack with one owner at a time, and the sockets that programs see.
//!
//! smoltcp does the protocols. Around it:
//!
//! - **Every connection is a `SocketSet` of its own**, and `frame` reads from a received frame whose it is. smoltcp
//!   walks over a whole set for every frame, every transmission and every question about time; with sets of one socket
//!   none of these costs grows with the number of connections. Connections that want attention are queued, and so
//!   are their times (`tcp`).
//! - **A connection's socket is made when its SYN arrives**, after the checksums were verified, so a listener needs no
//!   spare sockets and takes hundreds of clients at once. Handshakes, waiting connections and connections in all are
//!   bounded; who comes beyond the last is refused (`tcp::room`).
//! - **A connection on which all goes well bypasses smoltcp** (`tcp::fast_path`): the next segment in order, of a
//!   connection that is up, takes a few comparisons and a copy. For all else smoltcp has the connection.
//! - **Buffers follow their use.** A connection that rests has the least, and others with much to carry have large
//!   ones. smoltcp cannot change them, so the connection moves to another socket (`tcp::resize`).
//! - **One sleeping mutex guards the stack** (`service`), and whoever holds it runs it: a program's thread sends its
//!   reply from within its own `write`, and takes received frames when it comes to `poll`, `read` or `accept`. A
//!   network thread of the kernel is woken by the card's interrupt and by timers, but only to do what no program thread
//!   is there for (`attention`). On one CPU this saves the two context switches per batch that a thread of its own
//!   costs, and the copy between its queues and smoltcp's buffers. Under load, when the program polls faster than the
//!   interrupt's thread gets a turn, there is no switch and, because the card's interrupt stays masked meanwhile,
//!   hardly an interrupt.
//!
//! Never here: file descriptors and addresses in the ABI's form (see `abi`), and no `smoltcp` socket outside this room.
#![forbid(unsafe_code)]
#![cfg_attr(not(target_os = "hermit"), allow(dead_code, reason = "on the host only the tests use this room"))]

mod address;
#[cfg(target_os = "hermit")]
mod attention;
#[cfg(target_os = "hermit")]
mod card;
mod config;
mod dns;
mod drain_timeout;
mod error;
#[cfg(any(test, feature = "testing"))]
mod fault_injector;
mod frame;
mod link;
mod loopback;
mod neighbours;
mod ports;
#[cfg(target_os = "hermit")]
mod resolve;
#[cfg(target_os = "hermit")]
mod service;
mod slaac;
mod slab;
#[cfg(target_os = "hermit")]
mod socket;
mod sockets;
mod stack;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub(crate) use address::impossible_host;
#[cfg(all(target_os = "hermit", feature = "testing"))]
pub(crate) use attention::interrupts;
pub use config::{Config, Ip6Config, IpConfig};
pub use dns::{LookupError, known as known_host};
pub use error::Error;
#[cfg(feature = "testing")]
pub use fault_injector::LinkFaults;
#[cfg(target_os = "hermit")]
pub use resolve::resolve;
#[cfg(target_os = "hermit")]
pub(crate) use service::accounts;
#[cfg(all(target_os = "hermit", feature = "testing"))]
pub(crate) use service::fault_counts;
#[cfg(target_os = "hermit")]
pub use service::{connection_limit, drain, init};
#[cfg(target_os = "hermit")]
pub use socket::{Domain, Interface, Socket, SocketType};
pub use stack::Shutdown;
