//! Opens an image that a power cut could leave, judges what is found, has the recovered pool go on, and cuts the power
//! in the recovery itself.

use fastrand::Rng;
use pmem::sim::{Domain, Event, Memory, Words};
use pmem::{Error, Medium, Op, Pool, Store, ValueType};

use crate::crash::ledger::{Contents, Ledger};
use crate::random::random_bytes;

/// One in how many images is also used afterwards.
const USED: u64 = 8;
/// One in how many images is also cut again while it recovers.
const CUT_AGAIN: u64 = 16;
/// How many images each fence of a recovery is cut in.
const AGAIN: usize = 3;

/// What is wrong with an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What, in words.
    pub what: String,
    /// The key that shows it.
    pub key: Option<String>,
    /// Whether the image was only reached by cutting the power again, in the recovery of another one.
    pub in_recovery: bool,
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self { what, key: None, in_recovery: false }
    }
}

/// Opens images on one piece of memory, which is put back each time.
pub struct Bench {
    scratch: Memory,
    /// Whether the medium was formatted for good: from then on there is a pool.
    pub formatted: bool,
    /// How many images were opened in cuts of recoveries.
    pub again: u64,
    /// How many recovered pools were used.
    pub used: u64,
}

impl Bench {
    /// A bench whose memory holds this.
    pub fn new(durable: &[u8]) -> Self {
        Self { scratch: Memory::from(durable.to_vec()), formatted: false, again: 0, used: 0 }
    }

    /// Follows what has become durable.
    pub fn advance(&mut self, words: &Words) {
        store(&self.scratch, words);
    }

    /// Looks at the image that is what is durable in `domain` with `words` stored over it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn look(&mut self, domain: &Domain, words: &Words, ledger: &Ledger<'_>, random: &mut Rng) -> Result<(), Fault> {
        self.scratch.record();
        store(&self.scratch, words);
        let (use_it, again) = (random.u64(..USED) == 0, random.u64(..CUT_AGAIN) == 0);
        // The words' stores are recorded, too, so that they are taken back; what follows is the recovery.
        let image = self.scratch.recorded();
        let (result, recovery) = self.open(ledger, use_it.then_some(&mut *random));
        let events = self.scratch.record();
        for event in &events {
            if let Event::Store { offset, bytes } = event {
                let durable = &domain.durable()[*offset as usize..][..bytes.len()];
                store_bytes(&self.scratch, *offset, durable);
            }
        }
        self.used += u64::from(use_it);
        result?;
        if again && let Some(recovery) = recovery {
            self.cut_again(domain.image(words), &events[image..recovery], ledger, random)?;
        }
        Ok(())
    }

    /// Opens the pool and judges it. Returns also how much was recorded when it was open.
    fn open(&self, ledger: &Ledger<'_>, go_on: Option<&mut Rng>) -> (Result<(), Fault>, Option<usize>) {
        let mut pool = match Pool::open(&self.scratch) {
            Ok(pool) => pool,
            // A medium that is being formatted for the first time holds no pool yet.
            Err(Error::Blank | Error::FormatInterrupted) if !self.formatted => return (Ok(()), None),
            Err(error) => return (Err(Fault::from(format!("the pool does not open: {error}"))), None),
        };
        let recovery = Some(self.scratch.recorded());
        let judged = judge(&mut pool, ledger);
        let result = match (judged, go_on) {
            (Ok(found), Some(random)) => go_on_with(pool, &self.scratch, found, random),
            (Ok(_), None) => Ok(()),
            (Err(fault), _) => Err(fault),
        };
        (result, recovery)
    }

    /// Cuts the power before each fence of a recovery, and at its end.
    fn cut_again(
        &mut self,
        image: Vec<u8>,
        recovery: &[Event],
        ledger: &Ledger<'_>,
        random: &mut Rng,
    ) -> Result<(), Fault> {
        let mut domain = Domain::new(image);
        for position in 0..=recovery.len() {
            let event = recovery.get(position);
            if matches!(event, None | Some(Event::Fence)) {
                for words in domain.images(AGAIN, &mut |below| random.u64(..below)) {
                    let mut bench = Bench::new(&domain.image(&words));
                    bench.formatted = self.formatted;
                    bench.open(ledger, None).0.map_err(|fault| Fault { in_recovery: true, ..fault })?;
                    self.again += 1;
                }
            }
            if let Some(event) = event {
                domain.apply(event);
            }
        }
        Ok(())
    }
}

/// Reads the whole pool and compares it with what is known.
fn judge(pool: &mut Pool<&Memory>, ledger: &Ledger<'_>) -> Result<Contents, Fault> {
    let report = pool.report();
    if let Some(damage) = report.damage.first() {
        return Err(Fault::from(format!("a power cut was taken for damage: {damage}")));
    }
    let found = contents(pool).map_err(|error| Fault::from(format!("the pool opens and cannot be read: {error}")))?;
    match ledger.judge(&found) {
        Ok(()) => Ok(found),
        Err(wrong) => Err(Fault { what: wrong.what, key: Some(wrong.key), in_recovery: false }),
    }
}

/// The recovered pool takes further operations, and they survive.
fn go_on_with<'m>(
    mut pool: Pool<&'m Memory>,
    memory: &'m Memory,
    mut known: Contents,
    random: &mut Rng,
) -> Result<(), Fault> {
    let failed = |error: Error| Fault::from(format!("the recovered pool takes no more operations: {error}"));
    for round in 0..2 {
        let (value, gone) = (random_bytes(random, 70), known.keys().next().cloned().unwrap_or_default());
        let pair = [b"after:a".to_vec(), b"after:b".to_vec()];
        let (done, _durable) = pool
            .turn(|turn| {
                turn.put(b"after", &value, Some(round))?;
                turn.remove(&gone)?;
                turn.atomically(&pair.each_ref().map(|key| Op::Put {
                    key,
                    value: &value,
                    value_type: ValueType::STRING,
                    expires_at_ms: None,
                }))
            })
            .map_err(failed)?;
        done.map_err(failed)?;
        known.insert(b"after".to_vec(), (value.clone(), Some(round)));
        known.remove(&gone);
        known.extend(pair.map(|key| (key, (value.clone(), None))));
    }
    // Without a shutdown in every other case.
    if random.u64(..2) == 0 {
        pool.close().map_err(failed)?;
    } else {
        drop(pool);
    }
    let mut pool = Pool::open(memory).map_err(failed)?;
    match contents(&mut pool).map_err(failed)? == known && pool.report().damage.is_empty() {
        true => Ok(()),
        false => Err(Fault::from("what the recovered pool was given afterwards did not survive".to_owned())),
    }
}

/// All that a pool holds.
fn contents(pool: &mut Pool<&Memory>) -> Result<Contents, Error> {
    let (found, _durable) = pool.turn(|turn| {
        let (mut keys, mut cursor) = (Vec::new(), 0);
        loop {
            cursor = turn.scan(cursor, 1000, |key, _| keys.push(key.to_vec()))?;
            if cursor == 0 {
                break;
            }
        }
        let mut found = Contents::new();
        for key in keys {
            let mut value = Vec::new();
            if let Some(meta) = turn.get(&key, &mut value)? {
                found.insert(key, (value, meta.expires_at_ms));
            }
        }
        Ok(found)
    })?;
    found
}

fn store(memory: &Memory, words: &Words) {
    words.iter().for_each(|(offset, value)| store_bytes(memory, *offset, value));
}

fn store_bytes(memory: &Memory, offset: u64, bytes: &[u8]) {
    memory
        .write(|grant| grant.store(offset, bytes))
        .expect("memory is always there")
        .expect("traces stay in the medium");
}
