//! Runs cells, several at a time.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use xtask::annotate::Annotator;
use xtask::guest;

use super::cell::Cell;
use super::images::Images;

/// A cell that has been tried.
#[derive(Debug)]
pub struct Finished {
    /// Which one.
    pub cell: Cell,
    /// What was not as expected; nothing if all was.
    pub wrong: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Finished {
    /// Which cell did not come out as expected, and why; `None` if it did.
    pub fn complaint(&self) -> Option<String> {
        (!self.wrong.is_empty()).then(|| format!("{}: {}", self.cell, self.wrong.join("\n  ")))
    }
}

/// Tries all `cells`, `jobs` at a time, and tells `progress` of each when it is done; the results in the order of
/// `cells`.
///
/// # Panics
/// If the guest program is not there.
pub fn run(cells: &[Cell], jobs: usize, mut progress: impl FnMut(&Finished)) -> Vec<Finished> {
    let image = guest::image("stray").unwrap();
    let next = Mutex::new(cells.iter().enumerate());
    let (done, inbox) = mpsc::channel();
    let mut finished: Vec<Option<Finished>> = cells.iter().map(|_| None).collect();
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, cells.len().max(1)) {
            let (next, done, image) = (&next, done.clone(), &image);
            scope.spawn(move || {
                let mut images = Images::default();
                let mut annotator = Annotator::load(image).unwrap();
                loop {
                    let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((place, &cell)) = taken else { return };
                    let began = Instant::now();
                    let wrong = cell.run(&mut images, &mut annotator);
                    // Whoever does not listen any more has panicked.
                    let _ = done.send((place, Finished { cell, wrong, took: began.elapsed() }));
                }
            });
        }
        drop(done);
        for (place, result) in inbox {
            progress(&result);
            finished[place] = Some(result);
        }
    });
    finished.into_iter().flatten().collect()
}
