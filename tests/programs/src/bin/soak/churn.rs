//! Threads that come and go beside the connections, and allocate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::counts::{COUNTS, count};

/// Threads of one burst.
const BURST: usize = 8;
/// Between two bursts.
const PAUSE: Duration = Duration::from_millis(30);

/// Bursts of threads, until it is stopped.
#[derive(Debug)]
pub struct Churn {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Churn {
    /// Starts them.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let thread = thread::spawn(move || {
            let mut round = 0;
            while !seen.load(Ordering::Relaxed) {
                burst(round);
                round += 1;
                thread::sleep(PAUSE);
            }
        });
        Self { stop, thread }
    }

    /// Stops them and waits for the last.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that panics stops the machine.
        let _ = self.thread.join();
    }
}

/// Spawns some threads that allocate and tell each other of it, and joins them.
fn burst(round: usize) {
    let (sender, receiver) = mpsc::channel::<Vec<u64>>();
    let threads: Vec<_> = (0..BURST)
        .map(|number| {
            let sender = sender.clone();
            let work = move || {
                let length = 1 + (round * 37 + number * 1009) % 4000;
                let numbers: Vec<u64> = (0..length as u64).map(|at| at * number as u64).collect();
                sender.send(numbers).unwrap_or_default();
            };
            thread::Builder::new().stack_size(64 << 10).name(format!("burst {number}")).spawn(work)
        })
        .collect();
    drop(sender);
    for numbers in receiver {
        let step = numbers.get(1).copied().unwrap_or(0);
        assert!((0..).zip(&numbers).all(|(at, &number)| number == at * step), "memory of a thread was changed");
    }
    for thread in threads {
        let _ = thread.expect("memory for a thread").join();
        count(&COUNTS.threads);
    }
}
