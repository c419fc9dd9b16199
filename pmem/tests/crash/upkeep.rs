//! Power cuts in migrations and growths, in what follows them, and in those that are run again.

use fastrand::Rng;
use pmem::sim::Memory;
use pmem::{FormatOptions, Pool};

use crate::life::{Act, Begin, Life, Mix, Model, contents};
use crate::{SEGMENT, SMALL, explore};

/// What precedes the first segment, so many segments, and what follows.
const fn len_of(segments: u64, rest: u64) -> u64 {
    (1 + segments) * SEGMENT + rest
}

/// Some acts, then this one, then others, in an image that was shorter before.
fn life_with(act: Act, mut image: Vec<u8>, len: u64, mix: Mix, random: &mut Rng) -> Life {
    image.resize(len as usize, 0);
    let model = contents(&mut Pool::open(Memory::from(image.clone())).unwrap());
    let mut acts = Mix { upkeep: 0, ..mix }.acts(random, 2);
    acts.push(act);
    acts.extend(mix.acts(random, 2));
    Life::live(&Memory::from(image), Begin::Open, model, &acts)
}

/// The second superblock lies where a new segment begins, where one ends, in the middle of one, or where none is.
#[test]
fn growing_survives_a_power_cut_anywhere() {
    const FROM: [u64; 4] = [len_of(8, 4096), len_of(8, SEGMENT), len_of(8, 40 << 10), SMALL];
    const TO: [u64; 4] = [len_of(8, 56 << 10), len_of(9, 60 << 10), len_of(10, SEGMENT), len_of(12, 4096)];
    let mix = Mix { keys: 12, largest: 3000, steps: 4, clears: 20, upkeep: 150 };
    explore("growing", 15, mix, |random| {
        let from = FROM[random.usize(..FROM.len())];
        let to = TO[random.usize(..TO.len())].max(from + 4096);
        let memory = Pool::format(Memory::new(from), &FormatOptions::new([9; 16])).unwrap().close().unwrap();
        let acts = Mix { upkeep: 0, ..mix }.acts(random, 3);
        Life::live(&memory, Begin::Open, Model::new(), &acts);
        life_with(Act::Grow, memory.image(), to, mix, random)
    });
}

/// Pools that version 1 has written, shut down and not, are migrated, some on a medium that has become longer.
#[test]
fn migrating_survives_a_power_cut_anywhere() {
    let mix = Mix { keys: 12, largest: 3000, steps: 4, clears: 20, upkeep: 150 };
    let package = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let images = ["closed", "torn"].map(|name| {
        let path = package.join(format!("tests/fixtures/v1-{name}.img"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    });
    explore("migrating", 15, mix, |random| {
        let image = images[random.usize(..images.len())].clone();
        let len = image.len() as u64 + [0, 2 * SEGMENT][random.usize(..2)];
        life_with(Act::Migrate, image, len, mix, random)
    });
}
