//! A life of a pool: what is done to it from one opening on, recorded, with the states that it goes through.

use std::collections::BTreeMap;
use std::fmt::Write;

use fastrand::Rng;
use pmem::sim::{Event, Memory};
use pmem::{Error, FormatOptions, Medium, Op, Pool, Turn, ValueType};

/// What a pool holds: by key, the value and its expiry.
pub type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

/// One operation of a program. Those of one turn share a fence.
#[derive(Clone, Debug)]
pub enum Step {
    Put(Vec<u8>, Vec<u8>, Option<u64>),
    Remove(Vec<u8>),
    /// Bytes that a value has from an offset on.
    Range(Vec<u8>, usize, Vec<u8>),
    /// Bytes behind a value.
    Append(Vec<u8>, Vec<u8>),
    /// An atomic record: values to set and keys (without a value) to remove, in order.
    Atomic(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Clear,
    /// Commits what is staged, in the middle of a turn.
    Settle,
}

/// What a program does with a pool.
#[derive(Clone, Debug)]
pub enum Act {
    Turn(Vec<Step>),
    /// A clean shutdown, and opening again.
    Reopen,
    /// A few steps of what an opening from a checkpoint left to be done.
    Idle(u32),
    /// Ending without a shutdown, all stores kept, and opening again.
    Restart,
    /// Ending so, and making the pool one of the newest version of the format.
    Migrate,
    /// Ending so, and making the pool as long as its medium, if its version allows that.
    Grow,
}

/// How a life begins.
#[derive(Clone, Debug)]
pub enum Begin {
    Open,
    Format(FormatOptions),
}

/// What random steps are like.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// How many keys there are.
    pub keys: u64,
    /// The longest value.
    pub largest: u64,
    /// The most steps in a turn.
    pub steps: u64,
    /// Of a thousand steps, how many clear the pool.
    pub clears: u64,
    /// Of a thousand acts, how many migrate the pool, and how many make it grow.
    pub upkeep: u64,
}

impl Mix {
    pub fn acts(&self, random: &mut Rng, turns: u64) -> Vec<Act> {
        let act = |random: &mut Rng| match random.u64(..13) {
            _ if self.upkeep > 0 && random.u64(..1000) < self.upkeep => Act::Migrate,
            _ if self.upkeep > 0 && random.u64(..1000) < self.upkeep => Act::Grow,
            0 => Act::Reopen,
            1 => Act::Restart,
            2 => Act::Idle(1 + random.u64(..8) as u32),
            _ => Act::Turn((0..1 + random.u64(..self.steps)).map(|_| self.step(random)).collect()),
        };
        (0..turns).map(|_| act(random)).collect()
    }

    fn step(&self, random: &mut Rng) -> Step {
        if random.u64(..1000) < self.clears {
            return Step::Clear;
        }
        match random.u64(..24) {
            20..=21 => Step::Range(self.key(random), random.u64(..self.largest) as usize, self.value(random)),
            22..=23 => Step::Append(self.key(random), self.value(random)),
            0..=11 => {
                let expiry = (random.u64(..4) == 0).then(|| random.u64(..1 << 40));
                Step::Put(self.key(random), self.value(random), expiry)
            }
            12..=15 => Step::Remove(self.key(random)),
            16..=18 => {
                let op = |random: &mut Rng| {
                    (self.key(random), if random.u64(..4) == 0 { None } else { Some(self.value(random)) })
                };
                Step::Atomic((0..2 + random.u64(..4)).map(|_| op(random)).collect())
            }
            _ => Step::Settle,
        }
    }

    pub fn key(&self, random: &mut Rng) -> Vec<u8> {
        format!("key-{}", random.u64(..self.keys)).into_bytes()
    }

    pub fn value(&self, random: &mut Rng) -> Vec<u8> {
        let len = match random.u64(..8) {
            0 => random.u64(..self.largest),
            1 => 0,
            _ => random.u64(..self.largest.min(120)),
        };
        vec![random.u64(..256) as u8; len as usize]
    }
}

impl Step {
    fn take<M: Medium>(&self, turn: &mut Turn<'_, M>) -> Result<(), Error> {
        match self {
            Step::Put(key, value, expiry) => turn.put(key, value, *expiry),
            Step::Remove(key) => turn.remove(key).map(drop),
            Step::Range(key, offset, bytes) => turn.put_range(key, *offset as u64, bytes).map(drop),
            Step::Append(key, bytes) => turn.append(key, bytes).map(drop),
            Step::Atomic(ops) => {
                let ops: Vec<_> = ops
                    .iter()
                    .map(|(key, value)| match value {
                        Some(value) => Op::Put { key, value, value_type: ValueType::STRING, expires_at_ms: None },
                        None => Op::Remove { key },
                    })
                    .collect();
                turn.atomically(&ops)
            }
            Step::Clear => turn.clear(),
            Step::Settle => turn.settle(),
        }
    }

    fn apply(&self, model: &mut Model) {
        match self {
            Step::Put(key, value, expiry) => drop(model.insert(key.clone(), (value.clone(), *expiry))),
            Step::Remove(key) => drop(model.remove(key)),
            Step::Range(key, offset, bytes) => change(model, key, |_| *offset, bytes),
            Step::Append(key, bytes) => change(model, key, |len| len, bytes),
            Step::Atomic(ops) => {
                for (key, value) in ops {
                    match value {
                        Some(value) => drop(model.insert(key.clone(), (value.clone(), None))),
                        None => drop(model.remove(key)),
                    }
                }
            }
            Step::Clear => model.clear(),
            Step::Settle => {}
        }
    }
}

/// Puts bytes into a value; none of them leave it as it is.
fn change(model: &mut Model, key: &[u8], offset: impl FnOnce(usize) -> usize, bytes: &[u8]) {
    if !bytes.is_empty() {
        let (value, _) = model.entry(key.to_vec()).or_default();
        let offset = offset(value.len());
        value.resize(value.len().max(offset + bytes.len()), 0);
        value[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// Takes one turn. Every step that was not refused is applied to `model`, and `state` is told what it makes.
pub fn take_turn<M: Medium>(pool: &mut Pool<M>, steps: &[Step], model: &mut Model, mut state: impl FnMut(&Model)) {
    let ((), durable) = pool
        .turn(|turn| {
            for step in steps {
                match step.take(turn) {
                    Ok(()) => step.apply(model),
                    Err(Error::Full) => {}
                    Err(error) => panic!("{step:?}: {error}"),
                }
                state(model);
            }
        })
        .unwrap();
    assert!(durable.commit() > 0 || model.is_empty());
}

/// All that a pool holds.
pub fn contents<M: Medium>(pool: &mut Pool<M>) -> Model {
    let mut contents = Model::new();
    let (result, _durable) = pool
        .turn(|turn| {
            let mut keys = Vec::new();
            let mut cursor = 0;
            loop {
                cursor = turn.scan(cursor, 1000, |key, _| keys.push(key.to_vec()))?;
                if cursor == 0 {
                    break;
                }
            }
            for key in keys {
                let mut value = Vec::new();
                let meta = turn.get(&key, &mut value)?.expect("a key that a scan names is there");
                assert_eq!(meta.len, value.len() as u64);
                let twice = contents.insert(key, (value, meta.expires_at_ms));
                assert!(twice.is_none(), "a key was visited twice in a quiet table");
            }
            turn.len()
        })
        .unwrap();
    let keys = result.unwrap_or_else(|error| panic!("a pool without damage is not readable: {error}"));
    assert_eq!(keys, contents.len() as u64);
    contents
}

/// A model in a line, for messages.
pub fn summary(model: &Model) -> String {
    let mut line = String::new();
    for (key, (value, expiry)) in model.iter().take(40) {
        let byte = value.first().copied().unwrap_or(0);
        let _ = write!(line, " {}={byte}x{}", key.escape_ascii(), value.len());
        if let Some(expiry) = expiry {
            let _ = write!(line, "@{expiry}");
        }
    }
    line
}

/// A recorded life.
pub struct Life {
    /// What was durable when it began.
    pub base: Vec<u8>,
    pub begin: Begin,
    pub events: Vec<Event>,
    /// What the pool held: before, and after each step.
    pub states: Vec<Model>,
    /// After how many events which state was acknowledged, in order. The first is what was there before.
    pub acknowledged: Vec<(usize, usize)>,
    /// The power is cut from this event on.
    pub from: usize,
}

impl Life {
    /// Lives and records. `before` is what the pool on `memory` holds.
    pub fn live(memory: &Memory, begin: Begin, before: Model, acts: &[Act]) -> Life {
        let base = memory.image();
        memory.record();
        let mut states = vec![before];
        let mut acknowledged = vec![(0, 0)];
        let mut pool = match &begin {
            Begin::Open => Pool::open(memory).unwrap(),
            Begin::Format(options) => {
                states.push(Model::new());
                Pool::format(memory, options).unwrap()
            }
        };
        acknowledged.push((memory.recorded(), states.len() - 1));
        let mut model = states.last().unwrap().clone();
        for act in acts {
            match act {
                Act::Turn(steps) => take_turn(&mut pool, steps, &mut model, |state| states.push(state.clone())),
                Act::Reopen => {
                    pool.close().unwrap();
                    pool = Pool::open(memory).unwrap();
                }
                Act::Idle(blocks) => drop(pool.read_ahead(*blocks).unwrap()),
                Act::Restart => {
                    drop(pool);
                    pool = Pool::open(memory).unwrap();
                }
                Act::Migrate => {
                    drop(pool);
                    Pool::migrate(memory).unwrap();
                    pool = Pool::open(memory).unwrap();
                }
                Act::Grow => {
                    drop(pool);
                    assert!(matches!(Pool::grow(memory), Ok(_) | Err(Error::OldVersion { .. })));
                    pool = Pool::open(memory).unwrap();
                }
            }
            acknowledged.push((memory.recorded(), states.len() - 1));
        }
        let held = contents(&mut pool);
        assert!(
            held == model,
            "without any power cut, the pool holds{}\ninstead of{}",
            summary(&held),
            summary(&model)
        );
        drop(pool);
        Life { base, begin, events: memory.record(), states, acknowledged, from: 0 }
    }

    /// A life that goes on until a segment was cleaned and freed, with turns that `turn` makes. The power is cut in the
    /// last turns only.
    pub fn until_cleaned(memory: &Memory, before: &Model, mut turn: impl FnMut() -> Vec<Step>) -> Life {
        let rehearsal = Memory::from(memory.image());
        let mut pool = Pool::open(&rehearsal).unwrap();
        let mut model = before.clone();
        let mut acts = Vec::new();
        let mut more = 2;
        while more > 0 {
            let steps = turn();
            take_turn(&mut pool, &steps, &mut model, |_| {});
            acts.push(Act::Turn(steps));
            more -= u32::from(pool.stats().segments_cleaned > 0);
        }
        let mut life = Life::live(memory, Begin::Open, before.clone(), &acts);
        // Before these come what was there, and the opening.
        life.from = life.acknowledged[2 + acts.len().saturating_sub(5)].0;
        life
    }

    /// The last state acknowledged after `events` events, and the last that was begun then.
    pub fn bounds(&self, events: usize) -> (usize, usize) {
        let acknowledged = self.acknowledged.iter().rev().find(|(after, _)| *after <= events).unwrap().1;
        let begun = self.acknowledged.iter().find(|(after, _)| *after > events);
        (acknowledged, begun.map_or(acknowledged, |(_, state)| *state))
    }
}
