//! The target `operations`: any operations in any order, with power cuts between and within them.

use std::sync::OnceLock;

use pmem::sim::{Domain, Memory};
use pmem::{Error, FormatOptions, Pool};

use super::input::Input;
use super::life::{Act, Begin, Life, Model, Step, contents, summary, take_turn};

/// The smallest pool there is, and a little more.
const LEN: u64 = (64 << 10) + 9 * (64 << 10) + 4096;
/// How many lives follow one another, each in what a power cut left of the one before.
const LIVES: u32 = 4;
/// The most that one life does.
const ACTS: u32 = 24;
/// Images of which the input chooses one at each cut.
const IMAGES: usize = 12;

/// Lives through what the input says and cuts the power where it says, keeping of the stores that were not yet durable
/// what it says. What was acknowledged must be there, what was not is wholly there or not at all, and nothing else may
/// be.
pub fn operations(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut memory, mut begin, mut model) = if input.byte() & 1 == 0 {
        (Memory::new(LEN), Begin::Format(options()), Model::new())
    } else {
        let (image, model) = worn();
        (Memory::from(image.clone()), Begin::Open, model.clone())
    };
    for _ in 0..LIVES {
        let mut acts = Vec::new();
        while (acts.len() as u32) < ACTS && !input.is_empty() {
            match act(&mut input) {
                Some(act) => acts.push(act),
                None => break,
            }
        }
        let life = Life::live(&memory, begin, model, &acts);
        let Some((image, state)) = cut(&life, &mut input) else { return };
        memory = Memory::from(image);
        model = life.states[state].clone();
        begin = Begin::Open;
        if input.is_empty() {
            return;
        }
    }
}

fn options() -> FormatOptions {
    FormatOptions::new(*b"holdfast fuzzing")
}

/// A pool with little left to write to, so that it is cleaned soon, and what it holds.
fn worn() -> &'static (Vec<u8>, Model) {
    static WORN: OnceLock<(Vec<u8>, Model)> = OnceLock::new();
    WORN.get_or_init(|| {
        let memory = Memory::new(LEN);
        let mut pool = Pool::format(&memory, &options()).unwrap();
        let mut model = Model::new();
        for turn in 0u8.. {
            let steps = (0..6).map(|step| Step::Put(vec![turn % 13, step], vec![turn; 500 + usize::from(turn)], None));
            take_turn(&mut pool, &steps.collect::<Vec<_>>(), &mut model, |_| {});
            if pool.stats().free_bytes < 5 * (64 << 10) {
                break;
            }
        }
        drop(pool);
        (memory.image(), model)
    })
}

/// Cuts the power in a life. Returns the image and which state of the life it holds, or `None` if the pool was not yet
/// made.
fn cut(life: &Life, input: &mut Input<'_>) -> Option<(Vec<u8>, usize)> {
    // From the end: most of what a life does was the beginning of another input.
    let position = life.events.len() - input.below(life.events.len() as u64 + 1) as usize;
    let mut domain = Domain::new(life.base.clone());
    for event in &life.events[..position] {
        domain.apply(event);
    }
    let images = domain.images(IMAGES, &mut |below| input.below(below));
    let image = domain.image(&images[input.below(images.len() as u64) as usize]);
    let (acknowledged, begun) = life.bounds(position);
    let memory = Memory::from(image.clone());
    let mut pool = match Pool::open(&memory) {
        Ok(pool) => pool,
        Err(error) => {
            let expected = matches!(error, Error::Blank | Error::FormatInterrupted);
            assert!(
                expected && acknowledged == 0 && matches!(life.begin, Begin::Format(_)),
                "event {position}: {error}"
            );
            return None;
        }
    };
    let report = pool.report().clone();
    assert!(report.damage.is_empty(), "event {position}: a power cut was taken for damage: {report:?}");
    let found = contents(&mut pool);
    let state = (acknowledged..=begun).rev().find(|state| life.states[*state] == found);
    let state = state.unwrap_or_else(|| {
        panic!(
            "event {position} of {}: found{}\nacknowledged{}\nbegun{}\n{report:?}",
            life.events.len(),
            summary(&found),
            summary(&life.states[acknowledged]),
            summary(&life.states[begun]),
        )
    });
    // The pool was recovered from this image; whether that is itself cut short is the next life's affair.
    Some((image, state))
}

/// One act, or `None` for the cut.
fn act(input: &mut Input<'_>) -> Option<Act> {
    match input.byte() {
        0..=15 => None,
        16..=31 => Some(Act::Reopen),
        32..=47 => Some(Act::Restart),
        steps => Some(Act::Turn((0..1 + steps % 4).map(|_| step(input)).collect())),
    }
}

fn step(input: &mut Input<'_>) -> Step {
    match input.byte() % 16 {
        0..=7 => {
            let expiry = (input.byte() & 1 == 1).then(|| u64::from(input.byte()));
            Step::Put(key(input), value(input), expiry)
        }
        8..=10 => Step::Remove(key(input)),
        11..=13 => {
            let count = 2 + input.byte() % 4;
            let op = |input: &mut Input<'_>| (key(input), (input.byte() & 3 != 0).then(|| value(input)));
            Step::Atomic((0..count).map(|_| op(input)).collect())
        }
        14 => match input.byte() % 4 {
            0 => Step::Settle,
            1 => Step::Append(key(input), value(input)),
            _ => Step::Range(key(input), input.number(2) as usize % 25_000, value(input)),
        },
        _ if input.byte() & 3 == 0 => Step::Clear,
        _ => Step::Settle,
    }
}

/// Five of the longest still fit into one atomic record.
fn key(input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() {
        0 => Vec::new(),
        255 => vec![b'k'; 3000],
        byte => vec![byte % 12; 1 + usize::from(byte % 16)],
    }
}

fn value(input: &mut Input<'_>) -> Vec<u8> {
    let kind = input.byte();
    let len = match kind % 16 {
        0 | 1 => 0,
        2..=9 => usize::from(input.byte()),
        10..=13 => input.number(2) as usize % 3000,
        // In chunks: a chunk has 4 KiB in so small a pool.
        14 => input.number(2) as usize % 9000,
        _ => input.number(2) as usize % 25_000,
    };
    vec![kind; len]
}
