//! Power cuts: wherever the power goes, what was acknowledged is there and nothing is there by halves.
//!
//! Lives of pools are recorded (`life`): random turns, atomic records, shutdowns, reopenings, cleaning, formats. The
//! power is cut before each of their fences, at sampled stores between, and at the end (`explore`); of the images that
//! could be left, all are opened when they are few, and a sample when they are many. What is found must be the state
//! after some number of the life's operations: at least all that were acknowledged, at most all that were begun. Some
//! of the recovered pools take further operations, which must survive; some begin another life, whose recovery and
//! operations are cut the same way, and so on once more.
//!
//! `HOLDFAST_CRASH_IMAGES` says how many images all tests together open at least, `HOLDFAST_CRASH_SEED` where the
//! generator begins. A failure names the images that led to it; equal numbers lead there again.

mod explore;
mod life;
mod torn;
mod upkeep;

use fastrand::Rng;
use pmem::sim::{Domain, Event, Memory};
use pmem::{FormatOptions, Pool};

use explore::Explorer;
use life::{Act, Begin, Life, Mix, Model, Step, contents, take_turn};

/// Images that are opened when nobody asks for a number: few enough for every run of the tests.
const IMAGES: u64 = 2000;
/// The smallest pool: images are made and opened fastest.
const SMALL: u64 = 640 << 10;
/// A segment of such a pool.
const SEGMENT: u64 = 64 << 10;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// Explores lives that `next` makes, until a share of the images (in percent) was opened.
fn explore(name: &str, percent: u64, mix: Mix, next: impl FnMut(&mut Rng) -> Life) {
    // Few images are spread over more places.
    let most = if number("HOLDFAST_CRASH_IMAGES").is_none() { [6, 3, 3] } else { [32, 8, 3] };
    explore_with(name, percent, Explorer { mix, most, ..Explorer::default() }, next);
}

fn explore_with(name: &str, percent: u64, mut explorer: Explorer, mut next: impl FnMut(&mut Rng) -> Life) {
    let images = number("HOLDFAST_CRASH_IMAGES").unwrap_or(IMAGES) * percent / 100;
    let seed = number("HOLDFAST_CRASH_SEED").unwrap_or(1);
    explorer.random = Rng::with_seed(seed);
    let mut lives = 0u64;
    while explorer.images < images {
        lives += 1;
        let life = next(&mut explorer.random);
        explorer.leftovers = matches!(life.begin, Begin::Format(_));
        explorer.context = vec![format!("{name}, seed {seed}, life {lives}")];
        explorer.explore(&life);
    }
    println!("crash images: {} of {lives} lives ({name})", explorer.images);
}

fn formatted(len: u64, uuid: u8) -> Memory {
    Pool::format(Memory::new(len), &FormatOptions::new([uuid; 16])).unwrap().close().unwrap()
}

#[test]
fn acknowledged_writes_survive_a_power_cut_anywhere() {
    let mix = Mix { keys: 12, largest: 3000, steps: 5, clears: 20, upkeep: 0 };
    explore("turns", 10, mix, |random| {
        Life::live(&formatted(SMALL, 9), Begin::Open, Model::new(), &mix.acts(random, 20))
    });
}

/// Shutting down and opening again, over and over, with few turns between: cuts fall into the writing of checkpoints,
/// into the openings from them, and into lives that have not read all of theirs.
#[test]
fn checkpoints_survive_a_power_cut_anywhere() {
    let mix = Mix { keys: 30, largest: 2500, steps: 4, clears: 20, upkeep: 0 };
    explore("checkpoints", 15, mix, |random| {
        let mut acts = Vec::new();
        for _ in 0..3 {
            acts.extend(mix.acts(random, 2));
            acts.push(Act::Reopen);
            acts.push(Act::Idle(1 + random.u64(..3) as u32));
        }
        let memory = formatted(1 << 20, 9);
        let mut pool = Pool::open(&memory).unwrap();
        let mut model = Model::new();
        for act in mix.acts(random, 30) {
            if let Act::Turn(steps) = act {
                take_turn(&mut pool, &steps, &mut model, |_| {});
            }
        }
        pool.close().unwrap();
        Life::live(&memory, Begin::Open, model, &acts)
    });
}

#[test]
fn large_values_survive_a_power_cut_anywhere() {
    let mix = Mix { keys: 3, largest: 40_000, steps: 3, clears: 20, upkeep: 0 };
    explore("large values", 10, mix, |random| {
        Life::live(&formatted(1 << 20, 9), Begin::Open, Model::new(), &mix.acts(random, 8))
    });
}

/// Small changes of values that lie in chunks, one after another and with others between.
#[test]
fn changes_of_large_values_survive_a_power_cut_anywhere() {
    let mix = Mix { keys: 2, largest: 9000, steps: 3, clears: 5, upkeep: 0 };
    explore("changes", 10, mix, |random| {
        let memory = formatted(1 << 20, 9);
        let mut pool = Pool::open(&memory).unwrap();
        let mut model = Model::new();
        for number in 0..mix.keys {
            let step = Step::Put(format!("key-{number}").into_bytes(), vec![1; 20_000], Some(number));
            take_turn(&mut pool, &[step], &mut model, |_| {});
        }
        drop(pool);
        let change = |random: &mut Rng| {
            let bytes = vec![random.u64(..256) as u8; 1 + random.u64(..300) as usize];
            match random.u64(..4) {
                0 => Step::Append(mix.key(random), bytes),
                1 => Step::Put(b"other".to_vec(), bytes, None),
                _ => Step::Range(mix.key(random), random.u64(..20_000) as usize, bytes),
            }
        };
        let turn = |random: &mut Rng| Act::Turn((0..1 + random.u64(..4)).map(|_| change(random)).collect());
        let mut acts: Vec<_> = (0..6).map(|_| turn(random)).collect();
        acts.insert(3, if random.u64(..2) == 0 { Act::Reopen } else { Act::Restart });
        Life::live(&memory, Begin::Open, model, &acts)
    });
}

/// Records that are longer than a frame, and changes of large values that are: parts of them are written, and count
/// together or not at all.
#[test]
fn long_records_survive_a_power_cut_anywhere() {
    let mix = Mix { keys: 40, largest: 3000, steps: 3, clears: 10, upkeep: 0 };
    explore("long records", 10, mix, |random| {
        let turn = |random: &mut Rng| {
            let mut steps = vec![Step::Put(mix.key(random), mix.value(random), None)];
            if random.u64(..2) == 0 {
                let op = |random: &mut Rng| {
                    let len = 1000 + random.u64(..2500) as usize;
                    (mix.key(random), (random.u64(..6) != 0).then(|| vec![random.u64(..256) as u8; len]))
                };
                // Sometimes in more than one segment, and with values that lie in chunks.
                let mut ops: Vec<_> = (0..20 + random.u64(..40)).map(|_| op(random)).collect();
                ops.push((mix.key(random), Some(vec![random.u64(..256) as u8; 10_000])));
                steps.push(Step::Atomic(ops));
            } else {
                steps.push(Step::Put(b"large".to_vec(), vec![1; 50_000], Some(3)));
                let bytes = vec![random.u64(..256) as u8; 36_000 + random.u64(..20_000) as usize];
                steps.push(Step::Range(b"large".to_vec(), random.u64(..30_000) as usize, bytes));
                steps.push(Step::Append(b"large".to_vec(), vec![7; random.u64(..6000) as usize]));
            }
            steps.push(Step::Remove(mix.key(random)));
            Act::Turn(steps)
        };
        let mut acts = vec![turn(random), turn(random)];
        acts.extend(mix.acts(random, 1));
        acts.push(turn(random));
        let life = Life::live(&formatted(1 << 20, 9), Begin::Open, Model::new(), &acts);
        let begins_part = |event: &&Event| matches!(event, Event::Store { bytes, .. } if bytes == b"HFSEGPRT");
        assert!(life.events.iter().filter(begins_part).count() > 1, "records went into frames, or were refused");
        life
    });
}

/// The log's head is placed at every distance from its segment's end, so that ends, marks and the opening of the next
/// segment fall in every way.
#[test]
fn leaving_a_segment_survives_a_power_cut_anywhere() {
    let mix = Mix { keys: 6, largest: 200, steps: 3, clears: 20, upkeep: 0 };
    explore("segment ends", 15, mix, |random| {
        let memory = formatted(SMALL, 9);
        let mut pool = Pool::open(&memory).unwrap();
        let mut model = Model::new();
        for _ in 0..15 {
            fill(&mut pool, &mut model, 4096);
        }
        // One that leaves little, or nothing.
        fill(&mut pool, &mut model, 3056 + random.usize(..=848));
        drop(pool);
        Life::live(&memory, Begin::Open, model, &mix.acts(random, 7))
    });
}

/// Puts a batch of this many bytes, all of them counted, into the first segment, where there has to be room for it.
fn fill(pool: &mut Pool<&Memory>, model: &mut Model, batch: usize) {
    const AROUND_THE_VALUE: usize = 48;
    take_turn(pool, &[Step::Put(b"filler".to_vec(), vec![1; batch - AROUND_THE_VALUE], None)], model, |_| {});
    assert_eq!(pool.stats().used_bytes, SEGMENT, "a batch of {batch} bytes went into another segment");
}

/// Records and headers of a few words, torn in every way, twice: what the first cut left of one must not become whole
/// by what the second one left of another.
#[test]
fn parts_never_become_whole() {
    let mix = Mix { keys: 2, largest: 9, steps: 1, clears: 100, upkeep: 0 };
    let explorer = Explorer { mix, most: [256, 256, 3], again: 40, ..Explorer::default() };
    explore_with("torn twice", 20, explorer, |random| {
        let memory = formatted(SMALL, 9);
        let mut pool = Pool::open(&memory).unwrap();
        let mut model = Model::new();
        // In the middle of a segment, or at its very end.
        let batches = if random.u64(..2) == 0 { 2 } else { 15 };
        for _ in 0..batches {
            fill(&mut pool, &mut model, 4096);
        }
        if batches == 15 {
            fill(&mut pool, &mut model, 3840);
        }
        drop(pool);
        Life::live(&memory, Begin::Open, model, &mix.acts(random, 2))
    });
}

/// The pool is nearly full: every turn has to clean.
#[test]
fn cleaning_survives_a_power_cut_anywhere() {
    let mix = Mix { keys: 300, largest: 400, steps: 4, clears: 0, upkeep: 0 };
    let memory = formatted(SMALL, 9);
    let mut model = Model::new();
    let turn = |random: &mut Rng| -> Vec<Step> {
        let number = random.u64(..600);
        let key = |number: u64| format!("key-{number}").into_bytes();
        let put = |number: u64| Step::Put(key(number), vec![number as u8; 330], None);
        match random.u64(..3) {
            0 => vec![Step::Remove(key(number)), Step::Remove(key(number + 1))],
            1 => vec![Step::Atomic((number..number + 4).map(|number| (key(number), Some(vec![7; 300]))).collect())],
            _ => (number..number + 5).map(put).collect(),
        }
    };
    let mut pool = Pool::open(&memory).unwrap();
    let mut random = Rng::with_seed(5);
    while pool.stats().segments_cleaned < 20 {
        take_turn(&mut pool, &turn(&mut random), &mut model, |_| {});
    }
    drop(pool);
    explore("cleaning", 15, mix, |random| {
        // Each life begins further on in the same pool's history.
        let life = Life::until_cleaned(&memory, &model, || turn(random));
        model.clone_from(life.states.last().unwrap());
        life
    });
}

/// Keys that live for a few operations only: segments die whole, and several are freed after one turn. A removal must
/// not be gone before the put that it shadows is.
#[test]
fn freeing_survives_a_power_cut_anywhere() {
    let mix = Mix { keys: 97, largest: 300, steps: 4, clears: 5, upkeep: 0 };
    let key = |number: u64| format!("key-{}", number % 97).into_bytes();
    let turn = |number: u64, count: u64| -> Vec<Step> {
        let put = |number: u64| Step::Put(key(number), vec![number as u8; 250], None);
        (number..number + count).flat_map(|number| [put(number), Step::Remove(key(number + 90))]).collect()
    };
    let memory = formatted(SMALL, 9);
    let mut model = Model::new();
    let mut number = 0;
    explore("freeing", 15, mix, |random| {
        let life = Life::until_cleaned(&memory, &model, || {
            let count = 1 + random.u64(..30);
            number += count;
            turn(number - count, count)
        });
        model.clone_from(life.states.last().unwrap());
        life
    });
}

/// A cut leaves a segment of which one header says that it is free and the other one that it is not. The pool lives on
/// until all segments were used again: the old records must not come back when the power is cut then.
#[test]
fn half_a_freeing_is_finished_by_recovery() {
    let mix = Mix { keys: 97, largest: 300, steps: 4, clears: 0, upkeep: 0 };
    let most = if number("HOLDFAST_CRASH_IMAGES").is_none() { [2, 2, 2] } else { [5, 3, 3] };
    explore_with("half freed", 5, Explorer { mix, most, again: 200, ..Explorer::default() }, |random| {
        let memory = formatted(SMALL, 9);
        let turn = |random: &mut Rng| -> Vec<Step> {
            let put = |random: &mut Rng| Step::Put(mix.key(random), vec![random.u64(..256) as u8; 1500], None);
            (0..4).map(|_| if random.u64(..3) == 0 { Step::Remove(mix.key(random)) } else { put(random) }).collect()
        };
        let life = Life::until_cleaned(&memory, &Model::new(), || turn(random));
        let mut domain = Domain::new(life.base.clone());
        let second_header = |event: &Event| match event {
            Event::Store { offset, bytes } => bytes == b"HFSEGFRE" && offset % (64 << 10) == (64 << 10) - 64,
            _ => false,
        };
        for event in life.events.iter().take_while(|event| !second_header(event)) {
            domain.apply(event);
        }
        let memory = Memory::from(domain.durable().to_vec());
        let model = contents(&mut Pool::open(Memory::from(memory.image())).unwrap());
        let acts: Vec<_> = (0..120).map(|_| Act::Turn(turn(random))).collect();
        Life::live(&memory, Begin::Open, model, &acts)
    });
}

/// A blank medium, noise, and another pool are formatted, and filled a little.
#[test]
fn formatting_survives_a_power_cut_anywhere() {
    let mix = Mix { keys: 8, largest: 300, steps: 4, clears: 20, upkeep: 0 };
    explore("formatting", 10, mix, |random| {
        let kind = random.u64(..3);
        let (base, before) = match kind {
            0 => (Memory::new(SMALL), Model::new()),
            1 => {
                let noise: Vec<u8> = (0..SMALL).map(|_| random.u64(..256) as u8).collect();
                (Memory::from(noise), Model::new())
            }
            _ => {
                let base = formatted(SMALL, 3);
                let life = Life::live(&base, Begin::Open, Model::new(), &mix.acts(random, 12));
                (base, life.states.last().unwrap().clone())
            }
        };
        let begin = Begin::Format(FormatOptions::new([9; 16]));
        Life::live(&base, begin, before, &mix.acts(random, 4))
    });
}

#[test]
fn nothing_acknowledged_is_left_in_the_cache() {
    let mix = Mix { keys: 40, largest: 2000, steps: 5, clears: 20, upkeep: 0 };
    let acts = mix.acts(&mut Rng::with_seed(4), 300);
    let life = Life::live(&formatted(1 << 20, 9), Begin::Open, Model::new(), &acts);
    let mut domain = Domain::new(life.base.clone());
    for (position, event) in life.events.iter().enumerate() {
        domain.apply(event);
        if life.acknowledged.iter().any(|(events, _)| *events == position + 1) {
            assert_eq!(domain.dirty_lines(), 0, "after event {position}");
        }
    }
}
