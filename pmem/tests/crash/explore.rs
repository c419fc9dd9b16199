//! Cutting the power all over a life, and checking what is left.

use fastrand::Rng;
use pmem::pool::{FORMAT_VERSION, Tail};
use pmem::sim::{Domain, Event, Memory, Words};
use pmem::{Error, Medium, Pool, inspect};

use crate::life::{Act, Begin, Life, Mix, Model, Step, contents, summary, take_turn};

/// How many lives follow one another at most, each in an image that a cut of the one before left.
const DEPTH: usize = 3;

/// See the module's documentation.
pub struct Explorer {
    pub random: Rng,
    /// What is done to recovered pools.
    pub mix: Mix,
    /// The most images of one cut, by how many lives came before.
    pub most: [usize; DEPTH],
    /// One in how many images begins another life.
    pub again: u64,
    /// Some of the recovered pools take further operations.
    pub go_on: bool,
    /// Images opened so far.
    pub images: u64,
    /// The medium held another pool, whose bytes may look like a batch begun.
    pub leftovers: bool,
    /// Where we are, for messages.
    pub context: Vec<String>,
}

impl Default for Explorer {
    fn default() -> Self {
        let mix = Mix { keys: 1, largest: 1, steps: 1, clears: 0, upkeep: 0 };
        Explorer {
            random: Rng::with_seed(1),
            mix,
            most: [3; DEPTH],
            again: 24,
            go_on: true,
            images: 0,
            leftovers: false,
            context: Vec::new(),
        }
    }
}

impl Explorer {
    /// Cuts the power before every fence of a life, at sampled events between, and at its end.
    pub fn explore(&mut self, life: &Life) {
        let most = self.most[self.context.len() / 2];
        let scratch = Memory::from(life.base.clone());
        let mut domain = Domain::new(life.base.clone());
        for position in 0..=life.events.len() {
            let event = life.events.get(position);
            let most = match event {
                None | Some(Event::Fence) => most,
                Some(_) if self.random.u64(..16) == 0 => (most / 4).max(3),
                Some(_) => 0,
            };
            if most > 0 && position >= life.from {
                let random = &mut self.random;
                for words in domain.images(most, &mut |below| random.u64(..below)) {
                    self.context.push(format!("event {position} of {}, words {words:x?}", life.events.len()));
                    self.look_at(life, position, &domain, &scratch, &words);
                    self.context.pop();
                }
            }
            if let Some(event) = event {
                store(&scratch, &domain.apply(event));
            }
        }
    }

    /// Opens one image. `scratch` holds what is durable, now and again in the end.
    fn look_at(&mut self, life: &Life, position: usize, domain: &Domain, scratch: &Memory, words: &Words) {
        self.images += 1;
        scratch.record();
        store(scratch, words);
        let (acknowledged, begun) = life.bounds(position);
        if self.random.u64(..8) == 0
            && let Ok(inspection) = inspect(&scratch)
        {
            assert!(inspection.report.damage.is_empty(), "taken for damage:\n{inspection}\n{}", self.place());
        }
        let state = match Pool::open(scratch) {
            Ok(mut pool) => {
                let state = self.recognise(&mut pool, life, acknowledged, begun);
                if self.go_on && self.random.u64(..4) == 0 {
                    let mut model = life.states[state].clone();
                    self.go_on(pool, &mut model);
                }
                Some(state)
            }
            Err(error) => {
                self.refused(life, acknowledged, &error);
                None
            }
        };
        for event in scratch.record() {
            if let Event::Store { offset, bytes } = event {
                restore(scratch, domain, offset, bytes.len());
            }
        }
        if self.context.len() / 2 < DEPTH && self.random.u64(..self.again) == 0 {
            self.next_life(life, state, domain.image(words));
        }
    }

    /// Which state of the life the pool holds.
    fn recognise(&self, pool: &mut Pool<&Memory>, life: &Life, acknowledged: usize, begun: usize) -> usize {
        let report = pool.report().clone();
        assert!(report.damage.is_empty(), "a power cut was taken for damage: {report:?}\n{}", self.place());
        let found = contents(pool);
        assert_eq!(report.keys, found.len() as u64, "{}", self.place());
        let damage = &pool.report().damage;
        assert!(damage.is_empty(), "a power cut was taken for damage, met in use: {damage:?}\n{}", self.place());
        if let Some(state) = (acknowledged..=begun).rev().find(|state| life.states[*state] == found) {
            return state;
        }
        let what = match life.states.iter().rposition(|state| *state == found) {
            Some(state) if state < acknowledged => "acknowledged writes are lost",
            Some(_) => "writes are there that were not begun",
            None => "this was never the pool's state",
        };
        panic!(
            "{what}\nfound{}\nacknowledged{}\nbegun{}\n{report:?}\n{}",
            summary(&found),
            summary(&life.states[acknowledged]),
            summary(&life.states[begun]),
            self.place()
        );
    }

    /// No pool may be found only as long as one is being made.
    fn refused(&self, life: &Life, acknowledged: usize, error: &Error) {
        let formatting = matches!(life.begin, Begin::Format(_)) && acknowledged == 0;
        let was_pool = life.base.starts_with(b"HOLDFAST");
        let expected = match error {
            Error::FormatInterrupted => true,
            Error::Blank => life.base.iter().all(|byte| *byte == 0),
            Error::Foreign { .. } => !was_pool,
            _ => false,
        };
        assert!(formatting && expected, "the pool does not open: {error}\n{}", self.place());
    }

    /// The recovered pool takes new operations, and they survive.
    fn go_on<'m>(&mut self, mut pool: Pool<&'m Memory>, model: &mut Model) {
        for _ in 0..2 {
            let Some(Act::Turn(mut steps)) = self.mix.acts(&mut self.random, 1).pop() else { continue };
            steps.push(Step::Put(b"after".to_vec(), vec![steps.len() as u8; 70], None));
            take_turn(&mut pool, &steps, model, |_| {});
        }
        let stats = pool.stats();
        let clean = self.random.u64(..2) == 0;
        let memory: &'m Memory = if clean { pool.close().unwrap() } else { pool.medium() };
        let mut again = Pool::open(memory).unwrap_or_else(|error| panic!("{error}\n{}", self.place()));
        let report = again.report().clone();
        assert!(report.damage.is_empty(), "damage after going on: {report:?}\n{}", self.place());
        assert!(report.tail == Tail::Clean || !clean || self.leftovers, "{report:?}\n{}", self.place());
        assert_eq!(again.stats().live_bytes, stats.live_bytes, "{}", self.place());
        if self.mix.upkeep > 0 {
            again = self.finish_upkeep(again);
        }
        let found = contents(&mut again);
        assert!(
            found == *model,
            "what came after the recovery did not survive\nfound{}\nshould be{}\n{}",
            summary(&found),
            summary(model),
            self.place()
        );
    }

    /// Whatever a cut has left of a migration and of a growth, they are done when they are run again.
    fn finish_upkeep<'m>(&self, pool: Pool<&'m Memory>) -> Pool<&'m Memory> {
        let memory: &'m Memory = pool.medium();
        drop(pool);
        Pool::migrate(memory).unwrap_or_else(|error| panic!("{error}\n{}", self.place()));
        Pool::grow(memory).unwrap_or_else(|error| panic!("{error}\n{}", self.place()));
        let inspection = inspect(&memory).unwrap_or_else(|error| panic!("{error}\n{}", self.place()));
        let report = &inspection.report;
        assert_eq!((inspection.version, inspection.len), (FORMAT_VERSION, memory.len()), "{}", self.place());
        assert!(report.damage.is_empty() && report.unused_bytes == 0, "{inspection}\n{}", self.place());
        Pool::open(memory).unwrap_or_else(|error| panic!("{error}\n{}", self.place()))
    }

    /// Begins another life in an image, and cuts the power in its recovery and in what follows. `state` is what the
    /// image holds; nothing if it holds no pool.
    fn next_life(&mut self, life: &Life, state: Option<usize>, image: Vec<u8>) {
        let memory = Memory::from(image);
        let turns = 1 + self.random.u64(..3);
        let acts = self.mix.acts(&mut self.random, turns);
        let next = match state {
            Some(state) => Life::live(&memory, Begin::Open, life.states[state].clone(), &acts),
            None => Life::live(&memory, life.begin.clone(), Model::new(), &acts),
        };
        self.context.push("then".into());
        self.explore(&next);
        self.context.pop();
    }

    /// Where we are.
    fn place(&self) -> String {
        self.context.join("\n  ")
    }
}

/// Stores words as they are.
fn store(memory: &Memory, words: &Words) {
    use pmem::{Medium, Store};
    memory
        .write(|grant| words.iter().try_for_each(|(offset, value)| grant.store(*offset, value)))
        .expect("memory is always there")
        .expect("words of a trace lie in the medium");
}

/// Puts back what is durable.
fn restore(memory: &Memory, domain: &Domain, offset: u64, len: usize) {
    use pmem::{Medium, Store};
    let bytes = &domain.durable()[offset as usize..][..len];
    memory.write(|grant| grant.store(offset, bytes)).expect("memory is always there").expect("it was stored to before");
}
