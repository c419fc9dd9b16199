//! How a machine's memory is divided: what may grow has a bound, and all bounds together are what there is.

/// The network's part of what there is: libos bounds the buffers of connections by it.
const NETWORK: u64 = 4;
/// The part of it that has no bound of its own: commits, cleaning, lists of connections, small pieces.
const RESERVE: u64 = 16;
/// The pool's share of the rest, in twelfths; the other one is the clients'.
const POOL: u64 = 7;

/// Bounds in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Division {
    /// What grows with the keys: the pool's index.
    pub pool: u64,
    /// Requests and replies of all clients.
    pub clients: usize,
}

impl Division {
    /// Divides the memory of this machine, before anything of the store has taken any. `clients` is what was asked for
    /// on the command line.
    pub fn of_this_machine(clients: Option<usize>) -> Self {
        match available() {
            Some(available) => Self::of(available, clients),
            None => Self { pool: u64::MAX, clients: clients.unwrap_or(CLIENTS) },
        }
    }

    /// Divides `available` bytes. More than its share is given to nobody.
    fn of(available: u64, clients: Option<usize>) -> Self {
        let rest = available - available / NETWORK - available / RESERVE;
        let pool = rest / 12 * POOL;
        let share = usize::try_from(rest - pool).unwrap_or(usize::MAX);
        Self { pool, clients: clients.map_or(share, |asked| asked.min(share)) }
    }
}

/// Where no number says how much memory there is, clients get enough for Redis's longest value, 512 MiB.
const CLIENTS: usize = 1536 << 20;

/// How much memory there is.
#[cfg(target_os = "hermit")]
fn available() -> Option<u64> {
    Some(libos::mm::available_bytes())
}

/// The host has a swap, and others to share with: no number says how much.
#[cfg(not(target_os = "hermit"))]
fn available() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_never_more_than_the_whole() {
        for available in [0, 1 << 20, 45 << 20, 240 << 20, 1 << 40] {
            let Division { pool, clients } = Division::of(available, None);
            assert!(pool + clients as u64 + available / NETWORK + available / RESERVE <= available);
            assert_eq!(Division::of(available, Some(usize::MAX)), Division::of(available, None));
        }
        let asked = Division::of(240 << 20, Some(1 << 20));
        assert_eq!((asked.clients, asked.pool), (1 << 20, Division::of(240 << 20, None).pool));
    }

    #[test]
    fn a_usual_machine_takes_values_of_sixteen_megabytes() {
        assert!(Division::of(230 << 20, None).clients / 3 > 17_000_000);
    }
}
