//! A machine, an honest client in it, and what must be true when the hostile ones have gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::resp::Reply;
use holdfast_tests::store::{Store, StoreImage, store_machine};
use xtask::qemu::MachineOptions;
use xtask::size::MIB;

/// What the machine may compute while an honest client waits for one reply, as time of the host's processors: other
/// work on the host does not add to it. A turn of the store is bounded in requests, bytes and 25 ms.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// When memory that does not come back is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// What of the machine's memory may be gone when all clients have, and the part of its RAM: the heap's pieces are not
/// where they were, and lists of connections keep room for as many as there have been, which follows from the RAM.
const SLACK: u64 = 2 * MIB;
const SLACK_SHARE: u64 = 64;
/// What clients may still hold in buffers then: the honest one's and the observer's.
const REST: u64 = 64 * 1024;
/// The keys that the honest client writes, one after the other and again.
const KEYS: usize = 64;

/// A store in a machine.
pub struct Scene {
    store: Store,
    image: StoreImage,
    /// The machine's RAM.
    pub memory: u64,
    /// What was available when the store was ready.
    available: u64,
}

impl Scene {
    /// Boots a store in a machine with this RAM, on an empty pool of 256 MiB.
    pub fn boot(memory: u64) -> Self {
        Self::boot_on(memory, 256 * MIB)
    }

    /// The same, on an empty pool of `pool` bytes.
    pub fn boot_on(memory: u64, pool: u64) -> Self {
        let image = StoreImage::new(pool);
        let store = Store::start(MachineOptions { memory, ..store_machine(image.open()) });
        // The first connection makes what the network keeps.
        drop(store.client());
        let available = store.client().count("memory_available");
        Self { store, image, memory, available }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs `hostile` while an honest client writes and reads; then everything has to be as it was.
    pub fn endure(self, hostile: impl FnOnce(&Self)) {
        let done = AtomicBool::new(false);
        let honest = thread::scope(|scope| {
            let honest = scope.spawn(|| Honest::run(&self.store, &done));
            // A failing assertion must end the honest client, too.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hostile(&self)));
            done.store(true, Ordering::SeqCst);
            let honest = honest.join();
            if let Err(panic) = outcome {
                self.print_console();
                std::panic::resume_unwind(panic);
            }
            honest.unwrap_or_else(|panic| {
                self.print_console();
                std::panic::resume_unwind(panic)
            })
        });
        println!(
            "{} MiB: {} honest requests, the longest wait {:?} of the machine's work",
            self.memory / MIB,
            honest.requests,
            honest.longest
        );
        assert!(honest.longest < LONGEST_WAIT, "the machine worked {:?} while an honest client waited", honest.longest);
        self.expect_memory_back();
        self.expect_kept(honest);
    }

    fn print_console(&self) {
        println!("the console:\n{}", self.store.machine().console().lines().join("\n"));
    }

    /// Waits until clients' memory is free again; time does not decide, only that it comes to be.
    fn expect_memory_back(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut client = self.store.client();
            let [held, available] = client.counts(["used_memory_clients", "memory_available"]);
            if held <= REST && available + SLACK + self.memory / SLACK_SHARE >= self.available {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "clients hold {held} bytes, {available} of {} are available:\n{:?}",
                self.available,
                client.command("INFO memory")
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Kills the machine and looks for what the honest client was told is stored.
    fn expect_kept(self, honest: Honest) {
        self.store.kill();
        let store = Store::start(MachineOptions { memory: self.memory, ..store_machine(self.image.open()) });
        let mut client = store.client();
        for (key, value) in honest.acknowledged.iter().enumerate() {
            let Some(value) = value else { continue };
            assert_eq!(client.get(&format!("honest:{key}")), Some(value.clone().into_bytes()), "honest:{key}");
        }
    }
}

/// What an honest client has seen.
struct Honest {
    requests: u64,
    /// The most that the machine has worked while it waited for a reply.
    longest: Duration,
    /// The last value of each key that the server has acknowledged.
    acknowledged: Vec<Option<String>>,
}

impl Honest {
    /// Writes and reads small values until it is told to stop. Each request has to be answered as it should be.
    fn run(store: &Store, done: &AtomicBool) -> Self {
        let mut honest = Self { requests: 0, longest: Duration::ZERO, acknowledged: vec![None; KEYS] };
        let mut client = store.client();
        let worked = || store.machine().processor_time().unwrap();
        while !done.load(Ordering::SeqCst) || honest.requests < 100 {
            let (key, value) = (honest.requests as usize % KEYS, format!("value {}", honest.requests));
            let began = worked();
            assert_eq!(client.set(&format!("honest:{key}"), value.as_bytes()), Reply::ok());
            let between = worked();
            assert_eq!(client.get(&format!("honest:{key}")).as_deref(), Some(value.as_bytes()));
            let ended = worked();
            honest.longest = honest.longest.max(between - began).max(ended - between);
            honest.acknowledged[key] = Some(value);
            honest.requests += 1;
        }
        honest
    }
}
