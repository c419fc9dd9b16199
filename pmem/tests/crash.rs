//! Power cuts: at every fence of a run, the images that could be left are opened and compared with a model.
//!
//! A run of turns is recorded. The power is cut before each fence, and at sampled stores between; the lines stored and
//! not yet fenced persist in every single way when they are few, in sampled ways when they are many. What is then found
//! must be the state after some number of the run's operations: at least all that were acknowledged, at most all that
//! were begun. Then the recovery itself is cut the same way, and the recovered pool must take further writes.

use std::collections::BTreeMap;

use pmem::sim::{Domain, Event, Keep, Memory};
use pmem::{FormatOptions, Medium, Op, Pool};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// One step of a run. Steps of one turn share a fence.
#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Swap(Vec<u8>, Vec<u8>, Vec<u8>),
    Clear,
}

/// A generator that needs no dependency and gives the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % below
    }
}

impl Step {
    fn random(random: &mut Random, keys: u64, largest: u64) -> Step {
        let key = |random: &mut Random| format!("key-{}", random.next(keys)).into_bytes();
        let value = |random: &mut Random| {
            let len = if random.next(8) == 0 { random.next(largest) } else { random.next(120) };
            vec![random.next(256) as u8; len as usize]
        };
        match random.next(40) {
            0..=25 => Step::Put(key(random), value(random)),
            26..=35 => Step::Remove(key(random)),
            36..=38 => Step::Swap(key(random), key(random), value(random)),
            _ => Step::Clear,
        }
    }

    fn apply(&self, model: &mut Model) {
        match self {
            Step::Put(key, value) => {
                model.insert(key.clone(), value.clone());
            }
            Step::Remove(key) => {
                model.remove(key);
            }
            Step::Swap(from, to, value) => {
                model.remove(from);
                model.insert(to.clone(), value.clone());
            }
            Step::Clear => model.clear(),
        }
    }
}

fn take_turn<M: Medium>(pool: &mut Pool<M>, steps: &[Step]) {
    let (result, durable) = pool
        .turn(|turn| {
            steps.iter().try_for_each(|step| match step {
                Step::Put(key, value) => turn.put(key, value, None),
                Step::Remove(key) => turn.remove(key).map(drop),
                Step::Swap(from, to, value) => {
                    turn.atomically(&[Op::Remove { key: from }, Op::Put { key: to, value, expires_at_ms: None }])
                }
                Step::Clear => turn.clear(),
            })
        })
        .unwrap();
    result.unwrap();
    assert!(durable.commit() > 0 || steps.is_empty() || pool.stats().keys == 0);
}

fn contents<M: Medium>(pool: &mut Pool<M>) -> Model {
    pool.turn(|turn| {
        let mut keys = Vec::new();
        let mut cursor = 0;
        loop {
            cursor = turn.scan(cursor, 1000, |key, _| keys.push(key.to_vec())).unwrap();
            if cursor == 0 {
                break;
            }
        }
        let mut contents = Model::new();
        for key in keys {
            let mut value = Vec::new();
            turn.get(&key, &mut value).unwrap().unwrap();
            assert!(contents.insert(key, value).is_none(), "a key was visited twice in a quiet table");
        }
        assert_eq!(turn.len().unwrap(), contents.len() as u64);
        contents
    })
    .unwrap()
    .0
}

/// A run: the image that it began with, what was done to the medium, and the states that it went through.
struct Run {
    base: Vec<u8>,
    events: Vec<Event>,
    /// After each operation, from none on.
    states: Vec<Model>,
    /// After how many events how many operations were acknowledged.
    acknowledged: Vec<(usize, usize)>,
}

fn run(medium: Memory, before: Model, turns: &[Vec<Step>]) -> Run {
    let base = medium.image();
    medium.record();
    let mut pool = Pool::open(medium).unwrap();
    let mut states = vec![before];
    let mut acknowledged = vec![(0, 0)];
    for steps in turns {
        take_turn(&mut pool, steps);
        for step in steps {
            let mut state = states.last().unwrap().clone();
            step.apply(&mut state);
            states.push(state);
        }
        acknowledged.push((pool.medium().recorded(), states.len() - 1));
    }
    assert_eq!(&contents(&mut pool), states.last().unwrap());
    let events = pool.medium().record();
    Run { base, events, states, acknowledged }
}

/// The images that a power cut could leave now.
fn cuts(domain: &Domain, random: &mut Random, most: usize) -> Vec<Vec<u8>> {
    let lines = domain.pending_lines();
    let mut images = vec![domain.cut(|_, _| Keep::Nothing)];
    if lines == 0 {
        return images;
    }
    images.push(domain.cut(|_, _| Keep::Everything));
    if lines <= 3 {
        for subset in 1..(1 << lines) - 1 {
            images.push(domain.cut(|line, _| if subset >> line & 1 == 1 { Keep::Everything } else { Keep::Nothing }));
        }
    }
    for _ in 0..most {
        // All lines but one, one alone, torn lines, and any mixture.
        let odd = random.next(lines as u64) as usize;
        let kind = random.next(4);
        images.push(domain.cut(|line, words| match kind {
            0 if line == odd => Keep::Nothing,
            0 => Keep::Everything,
            1 if line == odd => Keep::Everything,
            1 => Keep::Nothing,
            2 if line == odd => Keep::First(random.next(words as u64 + 1) as usize),
            2 if line < odd => Keep::Everything,
            2 => Keep::Nothing,
            _ => Keep::These(random.next(u64::MAX)),
        }));
    }
    images
}

/// Opens an image and finds which state of the run it holds.
fn check(image: Vec<u8>, states: &[Model], acknowledged: usize, begun: usize, context: &str) -> (Pool<Memory>, usize) {
    let medium = Memory::from(image);
    medium.record();
    let mut pool = Pool::open(medium).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(pool.report().damage, [], "{context}: {:?}", pool.report());
    let found = contents(&mut pool);
    let state = (acknowledged..=begun).rev().find(|state| states[*state] == found);
    let state = state.unwrap_or_else(|| {
        let earlier = states.iter().position(|state| *state == found);
        panic!("{context}: not a state from {acknowledged} to {begun} (it is {earlier:?}), {:?}", pool.report())
    });
    (pool, state)
}

/// Cuts the power all over a run. Returns the number of images opened.
fn explore(run: &Run, random: &mut Random, most: usize) -> usize {
    let mut domain = Domain::new(run.base.clone());
    let mut images = 0;
    for (position, event) in run.events.iter().enumerate() {
        let sampled = random.next(24) == 0;
        if *event == Event::Fence || sampled {
            let acknowledged = run.acknowledged.iter().rev().find(|(events, _)| *events <= position).unwrap().1;
            let begun = run.acknowledged.iter().find(|(events, _)| *events > position).map_or(acknowledged, |it| it.1);
            for image in cuts(&domain, random, if sampled { 1 } else { most }) {
                images += 1;
                let context = format!("event {position} of {}", run.events.len());
                let base = (images % 3 == 0).then(|| image.clone());
                let (mut pool, state) = check(image, &run.states, acknowledged, begun, &context);
                if let Some(base) = base {
                    images += cut_recovery(base, &pool, run, state, random, &context);
                }
                go_on(&mut pool, &run.states[state], &context);
            }
        }
        domain.apply(event);
    }
    images
}

/// Cuts the power again, in the recovery that `pool` went through.
fn cut_recovery(
    base: Vec<u8>,
    pool: &Pool<Memory>,
    run: &Run,
    state: usize,
    random: &mut Random,
    context: &str,
) -> usize {
    let events = pool.medium().record();
    let mut domain = Domain::new(base);
    let mut images = 0;
    for event in &events {
        if *event == Event::Fence {
            for image in cuts(&domain, random, 1) {
                images += 1;
                let context = format!("{context}, again in recovery");
                let (mut pool, _) = check(image, &run.states, state, state, &context);
                go_on(&mut pool, &run.states[state], &context);
            }
        }
        domain.apply(event);
    }
    images
}

/// The recovered pool takes new operations, and they survive.
fn go_on(pool: &mut Pool<Memory>, state: &Model, context: &str) {
    let mut state = state.clone();
    for number in 0..3 {
        let steps =
            [Step::Put(b"after".to_vec(), vec![number; 70]), Step::Remove(format!("key-{number}").into_bytes())];
        take_turn(pool, &steps);
        steps.iter().for_each(|step| step.apply(&mut state));
    }
    let mut again = Pool::open(Memory::from(pool.medium().image())).unwrap();
    assert_eq!(again.report().damage, [], "{context}, after going on");
    assert!(contents(&mut again) == state, "{context}: what came after the recovery did not survive");
}

fn formatted(len: u64) -> Memory {
    Pool::format(Memory::new(len), &FormatOptions::new([9; 16])).unwrap().close().unwrap()
}

fn turns(random: &mut Random, count: usize, keys: u64, largest: u64) -> Vec<Vec<Step>> {
    let turn = |random: &mut Random| (0..1 + random.next(5)).map(|_| Step::random(random, keys, largest)).collect();
    (0..count).map(|_| turn(random)).collect()
}

#[test]
fn acknowledged_writes_survive_a_power_cut_anywhere() {
    let mut images = 0;
    for seed in 0..4 {
        let mut random = Random(seed);
        let turns = turns(&mut random, 25, 12, 3000);
        images += explore(&run(formatted(640 << 10), Model::new(), &turns), &mut random, 5);
    }
    assert!(images > 700, "{images}");
}

#[test]
fn large_values_survive_a_power_cut_anywhere() {
    let mut random = Random(77);
    let turns = turns(&mut random, 12, 3, 60_000);
    explore(&run(formatted(1 << 20), Model::new(), &turns), &mut random, 3);
}

#[test]
fn cleaning_survives_a_power_cut_anywhere() {
    for seed in 0..2 {
        let mut random = Random(seed + 1000);
        // Fill and churn until every further turn has to clean.
        let mut pool = Pool::open(formatted(640 << 10)).unwrap();
        let mut model = Model::new();
        let steps = |random: &mut Random| -> Vec<Step> {
            let key = |number: u64| format!("key-{number}").into_bytes();
            let number = random.next(700);
            match random.next(3) {
                0 => vec![Step::Remove(key(number))],
                _ => (number..number + 6).map(|number| Step::Put(key(number), vec![seed as u8; 150])).collect(),
            }
        };
        while pool.stats().segments_cleaned < 20 {
            let steps = steps(&mut random);
            take_turn(&mut pool, &steps);
            steps.iter().for_each(|step| step.apply(&mut model));
        }
        let turns: Vec<_> = (0..60).map(|_| steps(&mut random)).collect();
        let run = run(pool.close().unwrap(), model, &turns);
        explore(&run, &mut random, 2);
    }
}

/// Keys that live for a few operations only: segments die whole, and several are freed after one turn. A removal must
/// not be gone before the put that it shadows is.
#[test]
fn freeing_survives_a_power_cut_anywhere() {
    let key = |number: u64| format!("key-{}", number % 97).into_bytes();
    let turn = |number: u64| -> Vec<Step> {
        let operations = (number * 30..number * 30 + 30)
            .flat_map(|number| [Step::Put(key(number), vec![number as u8; 250]), Step::Remove(key(number + 90))]);
        operations.collect()
    };
    let mut pool = Pool::open(formatted(640 << 10)).unwrap();
    let mut model = Model::new();
    let mut number = 0;
    while pool.stats().segments_cleaned < 5 {
        take_turn(&mut pool, &turn(number));
        turn(number).iter().for_each(|step| step.apply(&mut model));
        number += 1;
    }
    let turns: Vec<_> = (number..number + 10).map(turn).collect();
    let run = run(pool.close().unwrap(), model, &turns);
    explore(&run, &mut Random(8), 4);
}

#[test]
fn formatting_survives_a_power_cut_anywhere() {
    // A blank medium, and one that held a pool and was formatted on purpose.
    for base in [Memory::new(640 << 10), formatted(640 << 10)] {
        let image = base.image();
        let was_blank = image.iter().all(|byte| *byte == 0);
        base.record();
        let options = FormatOptions::new([3; 16]);
        let pool = Pool::format(base, &options).unwrap();
        let mut domain = Domain::new(image);
        let mut random = Random(5);
        for event in &pool.medium().record() {
            if *event == Event::Fence {
                for image in cuts(&domain, &mut random, 20) {
                    let mut pool = Pool::open_or_format(Memory::from(image), &options).unwrap();
                    assert!(!was_blank || pool.uuid() == [3; 16]);
                    assert_eq!(contents(&mut pool), Model::new());
                    assert_eq!(pool.report().damage, []);
                }
            }
            domain.apply(event);
        }
    }
}

#[test]
fn nothing_acknowledged_is_left_in_the_cache() {
    let mut random = Random(4);
    let turns = turns(&mut random, 300, 40, 2000);
    let run = run(formatted(1 << 20), Model::new(), &turns);
    let mut domain = Domain::new(run.base.clone());
    for (position, event) in run.events.iter().enumerate() {
        domain.apply(event);
        if run.acknowledged.iter().any(|(events, _)| *events == position + 1) {
            assert_eq!(domain.dirty_lines(), 0, "after event {position}");
        }
    }
}
