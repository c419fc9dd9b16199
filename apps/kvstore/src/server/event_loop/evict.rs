//! Closing clients to make room for others.

use crate::log;
use crate::server::connection::Connection;
use crate::server::connections::Connections;
use crate::server::eviction::{self, Remedy};
use crate::shared::Shared;

/// Milliseconds between two lines about clients that are closed to make room.
const EVICTION_LINES: u64 = 1000;

/// Whether there is room for what was asked for in vain.
pub(super) enum Room {
    /// There is by now.
    Now,
    /// There will be.
    Later,
    /// There is none.
    Never,
}

/// Makes room for what the client at `index` has asked for in vain, by closing others. Those that are closed are
/// queued, so that the round's end finds them.
pub(super) fn make_room(connections: &mut Connections, shared: &mut Shared, index: usize, now: u64) -> Room {
    let mut closed = false;
    loop {
        let Some(asker) = connections.get_mut(index).map(|asker| asker.holding()) else { return Room::Never };
        let others = connections.iter().filter(|(other, _)| *other != index);
        let others = others.map(|(other, connection)| (other, connection.holding()));
        let victim = match eviction::remedy(&shared.memory, now, asker, others) {
            Remedy::NotNeeded if closed => return Room::Now,
            Remedy::Close(victim) => victim,
            Remedy::Send => return Room::Later,
            Remedy::Read => {
                connections.get_mut(index).into_iter().for_each(Connection::wait_for_reader);
                return Room::Later;
            }
            // Without need: it is the heap that has nothing in one piece.
            Remedy::NotNeeded | Remedy::None => return Room::Never,
        };
        let Some(connection) = connections.get_mut(victim) else { return Room::Never };
        tell_of_eviction(shared, connection, now);
        connection.client.abandon();
        closed = true;
        shared.counters.evicted += 1;
        connections.enqueue(victim);
    }
}

/// Says who is closed to make room, once a second at most.
fn tell_of_eviction(shared: &mut Shared, connection: &Connection, now: u64) {
    if now >= shared.quiet_until {
        shared.quiet_until = now + EVICTION_LINES;
        let session = &connection.client.session;
        log::warn(format_args!(
            "client id={} addr={} is closed to make room for others: it holds {} bytes, {} of them replies that it does not \
             read (`evicted_clients` in INFO counts them all)",
            session.id,
            session.ends.peer,
            connection.client.memory(),
            connection.client.whole_replies(),
        ));
    }
}
