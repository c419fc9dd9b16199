//! Reading a pool that was not shut down: on all CPUs, and saying how far it is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use pmem::pool::{Executor, Progress, Sequential};

/// How long opening takes in silence, and how often it then says how far it is.
const INTERVAL: Duration = Duration::from_secs(1);

/// A thread for each CPU. The one that opens the pool puts together what they find.
#[derive(Clone, Copy, Debug)]
pub struct Threads(usize);

impl Threads {
    /// As many as there are CPUs.
    pub fn for_this_machine() -> Self {
        Self(thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Executor for Threads {
    fn run<T: Send>(&self, jobs: usize, scan: impl Fn(usize) -> T + Sync, mut merge: impl FnMut(T)) {
        if self.0 == 1 || jobs < 2 {
            return Sequential.run(jobs, scan, merge);
        }
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            // Few wait to be put together, for each takes memory.
            let (found, inbox) = mpsc::sync_channel(self.0);
            for _ in 0..self.0.min(jobs) {
                let (found, next, scan) = (found.clone(), &next, &scan);
                scope.spawn(move || {
                    loop {
                        let job = next.fetch_add(1, Ordering::Relaxed);
                        if job >= jobs || found.send(scan(job)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(found);
            inbox.into_iter().for_each(&mut merge);
        });
    }
}

/// Says how far an opening is, once a second.
#[derive(Debug)]
pub struct Announcer {
    said: Instant,
}

impl Announcer {
    /// Begins now.
    pub fn new() -> Self {
        Self { said: Instant::now() }
    }

    /// What to say now of an opening, if anything.
    pub fn line(&mut self, progress: Progress, now: Instant) -> Option<String> {
        let share = self.share(progress, now)?;
        Some(format!("recovering: {share}, {} records", progress.records))
    }

    /// What to say now of the making of a pool, if anything.
    pub fn making(&mut self, progress: Progress, now: Instant) -> Option<String> {
        self.share(progress, now).map(|share| format!("making the pool: {share}"))
    }

    /// How far it is, if it is time to say so.
    fn share(&mut self, progress: Progress, now: Instant) -> Option<String> {
        if now.saturating_duration_since(self.said) < INTERVAL {
            return None;
        }
        self.said = now;
        let percent = progress.bytes.saturating_mul(100).checked_div(progress.of_bytes).unwrap_or(100);
        Some(format!("{percent} % of {} MiB", progress.of_bytes >> 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_is_done_once_on_any_number_of_threads() {
        for threads in [1, 2, 3, 16] {
            for jobs in [0, 1, 2, 100] {
                let mut merged = Vec::new();
                Threads(threads).run(jobs, |job| job * 2, |found| merged.push(found));
                merged.sort_unstable();
                assert_eq!(merged, (0..jobs).map(|job| job * 2).collect::<Vec<_>>(), "{threads} threads");
            }
        }
    }

    #[test]
    fn progress_is_shown_once_a_second_and_not_before() {
        let mut announcer = Announcer::new();
        let begin = announcer.said;
        let progress = Progress { bytes: 450 << 20, of_bytes: 1000 << 20, records: 512_000 };
        let mut at = |millis| announcer.line(progress, begin + Duration::from_millis(millis));
        assert_eq!(at(999), None);
        assert_eq!(at(1000).unwrap(), "recovering: 45 % of 1000 MiB, 512000 records");
        assert_eq!((at(1999), at(2001).is_some()), (None, true));
        let later = begin + Duration::from_secs(4);
        assert_eq!(announcer.making(progress, later).unwrap(), "making the pool: 45 % of 1000 MiB");
    }
}
