//! Connections: a thread for each, and no more than there is room for.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pmem::Medium;

use crate::api::Api;
use crate::http::{Connection, Failure, Reply};

/// How many clients are served at a time.
const MOST_CLIENTS: usize = 64;
/// What a client's thread needs of a stack, generously: sixty-four of std's default size would not fit a small machine.
const STACK: usize = 256 << 10;

/// Serves clients for as long as the machine runs.
pub fn serve<M: Medium + Send + Sync + 'static>(listener: &TcpListener, api: &Arc<Api<M>>) {
    let seats = Arc::new(AtomicUsize::new(0));
    loop {
        if let Err(error) = listener.accept().and_then(|(stream, _)| admit(stream, api, &seats)) {
            // A client that has gone already, or no more room for one: both pass.
            // Nobody may be there to read it either.
            let _ = writeln!(io::stderr(), "ledger: a client was not accepted: {error}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Gives a new client a thread, if there is a seat.
fn admit<M: Medium + Send + Sync + 'static>(
    stream: TcpStream,
    api: &Arc<Api<M>>,
    seats: &Arc<AtomicUsize>,
) -> io::Result<()> {
    // Small replies leave at once.
    stream.set_nodelay(true)?;
    let mut connection = Connection::new(stream);
    let Some(seat) = Seat::take(seats) else {
        // It fits into the empty buffer of a new connection, so this does not wait for the client.
        return connection.reply(&Reply::refuse(503, format!("{MOST_CLIENTS} clients are served; come back")), false);
    };
    let api = Arc::clone(api);
    let client = move || {
        let _seat = seat;
        // Who goes away before the reply is there does not need it.
        let _ = attend(connection, &api);
    };
    thread::Builder::new().name("client".to_owned()).stack_size(STACK).spawn(client).map(drop)
}

/// Answers a client's requests, until one of the two sides ends the connection.
fn attend<M: Medium>(mut connection: Connection, api: &Api<M>) -> io::Result<()> {
    loop {
        match connection.request() {
            Ok(request) => {
                connection.reply(&api.answer(&request), request.keep_alive)?;
                if !request.keep_alive {
                    return Ok(());
                }
            }
            Err(Failure::Refused(reply)) => return connection.refuse(&reply),
            Err(Failure::Gone) => return Ok(()),
        }
    }
}

/// A place among the clients that are served, given back when it is dropped.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(seats: &Arc<AtomicUsize>) -> Option<Self> {
        let seat = Self(Arc::clone(seats));
        (seats.fetch_add(1, Ordering::Relaxed) < MOST_CLIENTS).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
