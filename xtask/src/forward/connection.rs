//! One carried connection: two sockets and the two pipes between them.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

use super::pipe::{Pipe, Progress, Sink};

/// After this long without a sign of life the system asks whether the other end still exists.
const KEEPALIVE: Duration = Duration::from_secs(60);

impl Sink for &TcpStream {
    fn end(&mut self) -> io::Result<()> {
        match self.shutdown(Shutdown::Write) {
            // The other end has closed or reset the connection in the meantime; reading from it tells which.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

/// Which of a connection's two sockets is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The one that the client has connected.
    Client,
    /// The one that was connected to the target.
    Target,
}

/// A client's connection and its continuation to the target.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: TcpStream,
    pub(super) target: TcpStream,
    /// Whether the connection to the target stands.
    pub(super) established: bool,
    /// Whether the connection is in the queue of those that have more to do right away.
    pub(super) queued: bool,
    up: Pipe,
    down: Pipe,
}

impl Connection {
    /// Joins a client to a target that is being connected.
    pub(super) fn new(client: TcpStream, target: TcpStream) -> io::Result<Self> {
        // What one end sent at once shall leave at once.
        client.set_nodelay(true)?;
        SockRef::from(&client)
            .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 6))?;
        Ok(Self { client, target, established: false, queued: false, up: Pipe::new(), down: Pipe::new() })
    }

    /// Asks whether the connection to the target stands by now.
    ///
    /// # Errors
    /// Why there will be none.
    pub(super) fn check_established(&mut self) -> io::Result<bool> {
        if let Some(error) = self.target.take_error()? {
            return Err(error);
        }
        match self.target.peer_addr() {
            Ok(_) => {
                self.target.set_nodelay(true)?;
                self.established = true;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes note of what the event loop says about one of the sockets.
    pub(super) fn note(&mut self, end: End, readable: bool, writable: bool) {
        let (from_it, to_it) = match end {
            End::Client => (&mut self.up, &mut self.down),
            End::Target => (&mut self.down, &mut self.up),
        };
        from_it.readable |= readable;
        to_it.writable |= writable;
    }

    /// Moves bytes in both directions.
    ///
    /// # Errors
    /// When an end is broken: [`Connection::abort`] is due then.
    pub(super) fn pump(&mut self, scratch: &mut [u8]) -> io::Result<Progress> {
        let up = self.up.pump(&mut &self.client, &mut &self.target, scratch);
        // Even if one end takes no more, what it has said before is still to be delivered.
        let down = self.down.pump(&mut &self.target, &mut &self.client, scratch);
        Ok(match (up?, down?) {
            (Progress::Finished, Progress::Finished) => Progress::Finished,
            (Progress::Ready, _) | (_, Progress::Ready) => Progress::Ready,
            _ => Progress::Waiting,
        })
    }

    /// Ends both connections by a reset, which is what the one end that still listens has to see.
    pub(super) fn abort(self) {
        for socket in [&self.client, &self.target] {
            // Where that fails the ordinary end of a dropped socket has to do.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Ends a client's connection, for which there is no target, by a reset.
pub(super) fn refuse(client: TcpStream) {
    // As in `abort`.
    let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
}
