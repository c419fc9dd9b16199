//! Cuts the power all over a recorded run.
//!
//! The power is cut before every fence, behind every acknowledgement, at sampled events between, and at the end of each
//! boot. `pmem::sim` makes the images of a cut: every word of eight bytes that is stored and not yet durable may have
//! any of its values or the durable one. This is more than a processor with x86's order of stores can leave (there,
//! stores to one line persist in program order); the pool's format promises to stand it. When there are many, a sample
//! is made: nothing, everything, whole lines, one line alone or missing, one torn, everything up to some store, and
//! mixtures.
//!
//! Images are told apart by a hash; one that was opened before is only opened again when more was acknowledged since.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use holdfast_trace::format::Event;
use pmem::medium::LINE;
use pmem::sim::{Domain, Event as Done, Words};

use crate::crash::finding::Violation;
use crate::crash::ledger::Ledger;
use crate::crash::record::Recording;
use crate::crash::recover::Bench;
use crate::crash::timeline::{Acknowledgement, acknowledgements};

/// One in how many events between fences is a place to cut, too.
const BETWEEN: u64 = 1000;
/// How many images of one cut are made at least.
const LEAST: usize = 3;
/// How often all places are gone through when too few images were found.
const PASSES: u64 = 8;
/// How often the progress is shown.
const SHOWN: Duration = Duration::from_secs(2);

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct ExploreOptions<'a> {
    /// How many different images to open at least.
    pub images: u64,
    /// How many threads work on it.
    pub jobs: usize,
    /// Set by who wants it to end early.
    pub stop: &'a AtomicBool,
}

/// What came of it.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Totals {
    /// Acknowledged operations.
    pub operations: u64,
    /// Events of the traces.
    pub events: u64,
    /// Fences among them.
    pub fences: u64,
    /// Places at which the power was cut.
    pub places: u64,
    /// Different images that were opened and judged.
    pub images: u64,
    /// Images made once more, and not opened again.
    pub repeated: u64,
    /// Recovered pools that took further operations, which survived.
    pub used: u64,
    /// Images of power cuts in the recovery of others.
    pub in_recovery: u64,
    /// The first violation, by its place.
    #[serde(skip)]
    pub violation: Option<Violation>,
}

/// A boot of a run, made ready.
struct Boot<'r> {
    number: usize,
    trace: &'r [Event],
    acknowledged: Vec<Acknowledgement>,
    places: Vec<usize>,
}

/// What the threads share.
struct Shared<'r> {
    recording: &'r Recording,
    boots: Vec<Boot<'r>>,
    options: ExploreOptions<'r>,
    opened: Mutex<HashSet<u128>>,
    done: AtomicUsize,
    repeated: AtomicU64,
    used: AtomicU64,
    in_recovery: AtomicU64,
    violation: Mutex<Option<Violation>>,
}

/// Explores a run.
///
/// # Errors
/// When the traces do not fit what the clients received.
pub fn explore(
    recording: &Recording,
    options: ExploreOptions<'_>,
    say: &(dyn Fn(String) + Sync),
) -> io::Result<Totals> {
    let mut boots = Vec::new();
    for (number, (life, trace)) in recording.lives.iter().zip(&recording.traces).enumerate() {
        let acknowledged = acknowledgements(number, life, trace).map_err(io::Error::other)?;
        let places = places(recording.run.size.seed, number, trace);
        boots.push(Boot { number, trace, acknowledged, places });
    }
    let sum = |count: fn(&Boot<'_>) -> usize| boots.iter().map(count).sum::<usize>() as u64;
    let is_fence = |event: &&Event| matches!(event, Event::Fence { .. });
    let mut totals = Totals {
        operations: sum(|boot| boot.acknowledged.len()),
        events: sum(|boot| boot.trace.len()),
        fences: boots.iter().map(|boot| boot.trace.iter().filter(is_fence).count() as u64).sum(),
        places: sum(|boot| boot.places.len()),
        ..Totals::default()
    };
    let shared = Shared {
        recording,
        boots,
        options,
        opened: Mutex::default(),
        done: AtomicUsize::new(0),
        repeated: AtomicU64::new(0),
        used: AtomicU64::new(0),
        in_recovery: AtomicU64::new(0),
        violation: Mutex::default(),
    };
    for pass in 0..PASSES {
        let before = shared.images();
        let missing = options.images.saturating_sub(before);
        let most = LEAST.max((missing / totals.places.max(1)) as usize + 1) << pass.min(4);
        shared.done.store(0, Ordering::Relaxed);
        shared.pass(pass, most, totals.places, say);
        let stopped = options.stop.load(Ordering::Relaxed) || shared.violation().is_some();
        if stopped || shared.images() >= options.images || shared.images() == before {
            break;
        }
    }
    totals.images = shared.images();
    totals.repeated = shared.repeated.load(Ordering::Relaxed);
    totals.used = shared.used.load(Ordering::Relaxed);
    totals.in_recovery = shared.in_recovery.load(Ordering::Relaxed);
    totals.violation = shared.violation.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(totals)
}

/// Before which events of a trace the power is cut.
fn places(seed: u64, number: usize, trace: &[Event]) -> Vec<usize> {
    let mut random = Rng::with_seed(mix(seed, number as u64));
    let place = |position: &usize| {
        let sampled = random.u64(..BETWEEN) == 0;
        let before = position.checked_sub(1).map(|before| &trace[before]);
        match (before, trace.get(*position)) {
            (_, None | Some(Event::Fence { .. })) => true,
            (Some(Event::Send { .. }), Some(next)) if !matches!(next, Event::Send { .. }) => true,
            _ => sampled,
        }
    };
    (0..=trace.len()).filter(place).collect()
}

impl Shared<'_> {
    fn images(&self) -> u64 {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn violation(&self) -> std::sync::MutexGuard<'_, Option<Violation>> {
        self.violation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody wants to know of places from here on.
    fn is_over(&self, boot: usize, place: usize) -> bool {
        self.options.stop.load(Ordering::Relaxed)
            || self.violation().as_ref().is_some_and(|found| (found.boot, found.event) <= (boot, place))
    }

    /// Goes through all places once, with about so many images of each.
    fn pass(&self, pass: u64, most: usize, places: u64, say: &(dyn Fn(String) + Sync)) {
        thread::scope(|scope| {
            let threads: Vec<_> =
                (0..self.options.jobs).map(|job| scope.spawn(move || self.walk(pass, most, job))).collect();
            let mut shown = Instant::now();
            while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
                thread::sleep(Duration::from_millis(20));
                if shown.elapsed() >= SHOWN {
                    shown = Instant::now();
                    let done = self.done.load(Ordering::Relaxed);
                    say(format!("pass {}: {done} of {places} places, {} images", pass + 1, self.images()));
                }
            }
        });
    }

    /// Walks along all traces, and cuts the power at one in so many places as there are threads.
    fn walk(&self, pass: u64, most: usize, job: usize) {
        let mut durable = vec![0; self.recording.run.length as usize];
        let mut ledger = Ledger::new(&self.recording.lives);
        for boot in &self.boots {
            if self.is_over(boot.number, 0) {
                return;
            }
            let mut walk = Walk {
                shared: self,
                hash: hash_of(&durable),
                bench: Bench::new(&durable),
                domain: Domain::new(durable),
                mirror: Vec::new(),
            };
            walk.mirror = walk.domain.durable().to_vec();
            walk.bench.formatted = boot.number > 0;
            let mut next = boot.acknowledged.iter().peekable();
            let mut places = boot.places.iter().enumerate().peekable();
            for position in 0..=boot.trace.len() {
                while let Some(acknowledged) = next.next_if(|acknowledged| acknowledged.event < position) {
                    // The timeline has no more acknowledgements than the clients asked for.
                    let _ = ledger.acknowledge(acknowledged.client);
                }
                if let Some((number, _)) = places.next_if(|(_, place)| **place == position)
                    && number % self.options.jobs == job
                    && !self.is_over(boot.number, position)
                {
                    let random = Rng::with_seed(mix(mix(pass, boot.number as u64), position as u64));
                    walk.cut(boot, position, most, &ledger, random);
                    self.done.fetch_add(1, Ordering::Relaxed);
                }
                if let Some(event) = boot.trace.get(position) {
                    walk.step(event);
                }
            }
            self.used.fetch_add(walk.bench.used, Ordering::Relaxed);
            self.in_recovery.fetch_add(walk.bench.again, Ordering::Relaxed);
            // The next boot finds all that was visible: its power was not cut.
            durable = visible(walk.mirror, &walk.domain, boot.trace);
        }
    }
}

/// What is there at the end of a boot whose power is not cut.
fn visible(mut durable: Vec<u8>, domain: &Domain, trace: &[Event]) -> Vec<u8> {
    durable.copy_from_slice(domain.durable());
    // Stores that were not made durable came after those to the same bytes that were; in order, each byte gets its last
    // value.
    for event in trace {
        if let Event::Store { offset, bytes, .. } = event {
            durable[*offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }
    durable
}

/// One thread's place in one trace.
struct Walk<'s, 'r> {
    shared: &'s Shared<'r>,
    domain: Domain,
    bench: Bench,
    /// A hash of what is durable.
    hash: u128,
    /// What is durable, as far as `hash` has it.
    mirror: Vec<u8>,
}

impl Walk<'_, '_> {
    fn step(&mut self, event: &Event) {
        for done in translate(event) {
            let words = self.domain.apply(&done);
            for (offset, value) in &words {
                let place = &mut self.mirror[*offset as usize..][..8];
                self.hash ^= hash_word(*offset, place) ^ hash_word(*offset, value);
                place.copy_from_slice(value);
            }
            self.bench.advance(&words);
        }
        // The program answers only when it has a pool.
        self.bench.formatted |= matches!(event, Event::Send { .. });
    }

    fn cut(&mut self, boot: &Boot<'_>, position: usize, most: usize, ledger: &Ledger<'_>, mut random: Rng) {
        for words in self.domain.images(most, &mut |below| random.u64(..below)) {
            let hash = self.hash_with(&words) ^ (u128::from(ledger.count()) << 64 | u128::from(ledger.count()));
            if !self.shared.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(hash) {
                self.shared.repeated.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            // What is done to an image follows from the image, not from who opens it when.
            let mut random = Rng::with_seed(hash as u64);
            if let Err(fault) = self.bench.look(&self.domain, &words, ledger, &mut random) {
                let mut violation = self.shared.violation();
                if violation.as_ref().is_none_or(|other| (boot.number, position) < (other.boot, other.event)) {
                    *violation = Some(Violation { boot: boot.number, event: position, words, fault });
                }
                return;
            }
        }
    }

    /// The hash of what is durable with some words over it.
    fn hash_with(&self, words: &Words) -> u128 {
        words.iter().fold(self.hash, |hash, (offset, value)| {
            hash ^ hash_word(*offset, &self.mirror[*offset as usize..][..8]) ^ hash_word(*offset, value)
        })
    }
}

/// What an event does to the persistence domain.
fn translate(event: &Event) -> impl Iterator<Item = Done> {
    let (first, second) = match event {
        Event::Store { offset, bytes, non_temporal, .. } => {
            let lines = offset / LINE * LINE..offset + bytes.len() as u64;
            // What is stored past the caches needs no write-back.
            (
                Some(Done::Store { offset: *offset, bytes: bytes.clone() }),
                non_temporal.then_some(Done::WriteBack(lines)),
            )
        }
        Event::WriteBack { offset, .. } => {
            let line = offset / LINE * LINE;
            (Some(Done::WriteBack(line..line + LINE)), None)
        }
        Event::Fence { .. } => (Some(Done::Fence), None),
        Event::Send { .. } => (None, None),
    };
    first.into_iter().chain(second)
}

/// A number that looks like no other (the finaliser of SplitMix64).
fn mix(number: u64, more: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(more).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The part that a word has in an image's hash; a word of zeros has none.
fn hash_word(offset: u64, value: &[u8]) -> u128 {
    let value = value.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    if value == 0 {
        return 0;
    }
    let (first, second) = (mix(mix(offset, 1), value), mix(mix(offset, 2), value));
    u128::from(first) << 64 | u128::from(second)
}

fn hash_of(image: &[u8]) -> u128 {
    image.chunks_exact(8).enumerate().fold(0, |hash, (number, word)| hash ^ hash_word(8 * number as u64, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(offset: u64, non_temporal: bool) -> Event {
        Event::Store { rip: 0, offset, bytes: vec![7; 8], non_temporal }
    }

    fn durable_after(trace: &[Event]) -> Vec<u8> {
        let mut domain = Domain::new(vec![0; 256]);
        trace.iter().flat_map(translate).for_each(|done| drop(domain.apply(&done)));
        domain.durable().to_vec()
    }

    #[test]
    fn cached_stores_need_a_write_back_and_others_only_a_fence() {
        let fence = || Event::Fence { rip: 0 };
        let durable = durable_after(&[store(0, false), store(64, true), fence()]);
        assert_eq!((durable[0], durable[64]), (0, 7));
        let durable = durable_after(&[store(8, false), Event::WriteBack { rip: 0, offset: 63 }, fence()]);
        assert_eq!(durable[8], 7);
        assert_eq!(durable_after(&[store(8, false), Event::WriteBack { rip: 0, offset: 0 }])[8], 0);
    }

    #[test]
    fn the_power_is_cut_at_fences_behind_replies_and_at_the_end() {
        let send = Event::Send { descriptor: 3, bytes: vec![1] };
        let trace = [store(0, false), Event::Fence { rip: 0 }, send.clone(), send, store(8, false)];
        let places = places(1, 0, &trace);
        assert!([1, 4, 5].iter().all(|place| places.contains(place)), "{places:?}");
    }

    #[test]
    fn an_images_hash_does_not_depend_on_how_it_came_about() {
        let mut image = vec![0; 256];
        assert_eq!(hash_of(&image), 0);
        image[64] = 1;
        image[136] = 2;
        let words =
            [(136, 2u64), (64, 1)].iter().fold(0, |hash, (at, value)| hash ^ hash_word(*at, &value.to_le_bytes()));
        assert_eq!(hash_of(&image), words);
        image.swap(64, 72);
        assert_ne!(hash_of(&image), words);
    }
}
