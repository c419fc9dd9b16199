//! What all clients share, and the bounds on what they cost.

use fastrand::Rng;
use pmem::Meta;

use crate::latency::Latency;
use crate::memory::{Charge, Memory, NoMemory};
use crate::resp::Limits;
use crate::schedule::Schedule;
use crate::scrub::Scrub;
use crate::settings::Settings;
use crate::slowlog::SlowLog;
use crate::statistics::{Counters, Statistics};

/// Bounds on what clients may cost, in bytes unless it says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Bounds on one request.
    pub parser: Limits,
    /// Replies waiting for one client beyond which it is not served before it reads.
    pub backlog: usize,
    /// The longest reply.
    pub reply: usize,
    /// Requests and replies of all clients together. Who needs more is refused, unless somebody who does not read can
    /// be closed for it.
    pub memory: usize,
    /// Connections.
    pub clients: usize,
}

impl ClientLimits {
    /// The bounds for so many clients in so many bytes of memory, and a pool whose longest value has `value` bytes.
    ///
    /// A value passes through memory in a request or in a reply, or in both: a quarter of the memory is kept for first
    /// buffers, and the longest value takes a third.
    pub fn new(value: u64, memory: usize, clients: usize) -> Self {
        let argument = usize::try_from(value).unwrap_or(usize::MAX).min(memory / 3);
        let request = argument + memory / 6;
        Self {
            parser: Limits { argument, request, arguments: 1 << 20 },
            backlog: memory / 4,
            reply: request,
            memory,
            clients,
        }
    }
}

/// What is known of the server when it starts.
#[derive(Clone, Debug, Default)]
pub struct ServerInfo {
    /// The TCP port that is listened on.
    pub port: u16,
    /// The address that is listened on.
    pub bind: String,
    /// The device's name: `pmem0`, or the file's path.
    pub device: String,
    /// The device's length in bytes.
    pub device_bytes: u64,
    /// What protects the device from stray stores.
    pub protection: String,
    /// What acknowledged writes survive: `process`, or `power`.
    pub durable: String,
    /// What makes them durable, such as `adr`.
    pub durable_by: String,
    /// What the pool's opening found, for people.
    pub opening: String,
    /// Identifies this run, 40 hexadecimal digits.
    pub run_id: String,
    /// When the server started, in Unix milliseconds.
    pub started_ms: u64,
}

/// What all clients share, apart from the pool.
pub struct Shared {
    /// What is known since the start.
    pub info: ServerInfo,
    /// What clients may cost.
    pub limits: ClientLimits,
    /// Connections that the server started with room for.
    pub most_clients: usize,
    /// What else can be configured.
    pub settings: Settings,
    /// What happened so far.
    pub counters: Counters,
    /// The same of commands and errors by their names, and of the last moments.
    pub statistics: Statistics,
    /// The commands that took long.
    pub slow_log: SlowLog,
    /// How long commands took.
    pub latency: Latency,
    /// The time of the current turn, in Unix microseconds.
    pub now_us: u64,
    /// The same in milliseconds.
    pub now_ms: u64,
    /// When keys are to be looked at because they may have expired.
    pub expiry: Schedule,
    /// The pool's statistics before the current turn.
    pub pool: pmem::Stats,
    /// The ranges that the medium cannot read any more, for people; at least the first of them.
    pub bad_ranges: String,
    /// Scrubbing.
    pub scrub: Scrub,
    /// Clients connected.
    pub clients: usize,
    /// The memory for the requests and replies of all of them.
    pub memory: Memory,
    /// Set when the medium has failed under a command: nothing of the current turn may be acknowledged.
    pub turn_failed: bool,
    /// Set when a client has closed others: they are not in the loop's queue.
    pub killed: bool,
    /// Until then nothing is said of clients that are closed to make room, in milliseconds of the server's clock.
    pub quiet_until: u64,
    /// Set when the server is to stop.
    pub stopping: bool,
    /// The value that a command works on; kept for its memory.
    pub value: Vec<u8>,
    value_charge: Charge,
    generator: Rng,
}

/// Above this size the memory for values is given back after each turn, in bytes.
const KEEP: usize = 64 * 1024;

impl Shared {
    /// That of a server that starts. `seed` makes its random choices.
    pub fn new(info: ServerInfo, limits: ClientLimits, seed: u64) -> Self {
        let memory = Memory::new(limits.memory);
        Self {
            info,
            most_clients: limits.clients,
            limits,
            settings: Settings::default(),
            counters: Counters::default(),
            statistics: Statistics::default(),
            slow_log: SlowLog::default(),
            latency: Latency::default(),
            now_us: 0,
            now_ms: 0,
            expiry: Schedule::default(),
            pool: pmem::Stats::default(),
            bad_ranges: String::new(),
            scrub: Scrub::default(),
            clients: 0,
            value_charge: memory.charge(),
            memory,
            turn_failed: false,
            killed: false,
            quiet_until: 0,
            stopping: false,
            value: Vec::new(),
            generator: Rng::with_seed(seed),
        }
    }

    /// Begins a turn.
    pub fn begin(&mut self, now_us: u64, pool: pmem::Stats) {
        self.now_us = now_us;
        self.now_ms = now_us / 1000;
        self.pool = pool;
        self.turn_failed = false;
        self.statistics.sample(self.now_ms, &self.counters);
        self.statistics.peak_bytes = self.statistics.peak_bytes.max(pool.live_bytes);
    }

    /// Ends a turn.
    pub fn end(&mut self) {
        if self.value.capacity() > KEEP {
            self.value = Vec::new();
        }
        self.value_charge.shrink_to(self.value.capacity());
    }

    /// Above how many live bytes writes are refused at the latest: as it was set, or all that the pool takes.
    pub fn maxmemory(&self) -> u64 {
        self.settings.maxmemory.unwrap_or(self.pool.capacity_bytes)
    }

    /// Whether the data has reached `maxmemory`, so that commands that add to it are refused.
    pub fn is_over_maxmemory(&self) -> bool {
        self.settings.maxmemory.is_some_and(|most| most > 0 && self.pool.live_bytes > most)
    }

    /// Makes sure that `value` has room for `length` bytes.
    pub fn reserve_value(&mut self, length: usize) -> Result<(), NoMemory> {
        self.value_charge.reserve(&mut self.value, length)
    }

    /// Whether a key with these properties has expired.
    pub fn expired(&self, meta: Meta) -> bool {
        meta.expires_at_ms.is_some_and(|at| at < self.now_ms)
    }

    /// A random number.
    pub fn random(&mut self) -> u64 {
        self.generator.u64(..)
    }
}

/// Whether nothing of a turn may be acknowledged in which the pool has answered with this error: it is not about one
/// request or one key only.
pub fn is_fatal(error: &pmem::Error) -> bool {
    use pmem::Error::{Damaged, Full, IndexFull, NoMemory, TooLarge};
    !matches!(error, Full | IndexFull | NoMemory { .. } | TooLarge { .. } | Damaged { .. })
}
