//! Accepting connections.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use pmem::Medium;

use super::Server;
use crate::clock;
use crate::log;
use crate::server::client::Client;
use crate::server::connection::Connection;
use crate::server::protected_mode;
use crate::session::{Ends, Session};

/// Most connections accepted in one round.
const ACCEPTS: usize = 256;
/// How long accepting pauses when the system has no means for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl<M: Medium + 'static> Server<M> {
    /// Accepts who has come, within bounds.
    pub(super) fn accept(&mut self, now: u64) {
        if self.paused.is_some_and(|until| until <= Instant::now()) {
            self.paused = None;
        }
        if self.paused.is_some() {
            return;
        }
        for _ in 0..ACCEPTS {
            if !self.acceptable {
                return;
            }
            match self.listener.accept() {
                Ok((stream, address)) => self.admit(stream, address, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.acceptable = false,
                // The client has gone again.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                Err(error) => {
                    log::warn(format_args!("cannot accept a connection, waiting a little: {error}"));
                    self.paused = Some(Instant::now() + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    /// Takes a client in, or tells it why not.
    fn admit(&mut self, mut stream: TcpStream, address: SocketAddr, now: u64) {
        if protected_mode::refuses(&self.shared.settings, address.ip()) {
            self.shared.counters.rejected += 1;
            // Whether it gets through is the client's concern.
            let _ = stream.write(protected_mode::DENIED);
            return;
        }
        if self.shared.clients >= self.shared.limits.clients || !self.connections.reserve() {
            self.shared.counters.rejected += 1;
            // Whether it gets through is the client's concern.
            let _ = stream.write(b"-ERR max number of clients reached\r\n");
            return;
        }
        self.shared.counters.connections += 1;
        // A connection that fails already is none.
        let Ok(local) = stream.local_addr() else { return };
        let ends = Ends { peer: address, local, descriptor: stream.as_raw_fd() };
        let session = Session::new(self.next_id, ends, clock::unix_micros() / 1000);
        self.next_id += 1;
        let client = Client::new(session, &self.shared);
        let index = self.connections.next_index();
        if let Ok(mut connection) = Connection::new(stream, index, &self.poller, client, now) {
            connection.look = self.idle.watch(index, now);
            self.connections.insert(connection);
            self.shared.clients += 1;
        }
    }
}
