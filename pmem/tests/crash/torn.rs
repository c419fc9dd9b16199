//! What is left of a torn batch stays void: directed, for chance meets these cases too seldom.
//!
//! A batch loses one word of its first frame, so none of it counts. Then two things could bring parts of it back. The
//! mark that recovery writes over the torn frame, itself cut at any word, could put the missing word back. And later
//! batches, of the lengths that end exactly where a second, whole frame of the torn one begins, could lead a walk onto
//! it.

use pmem::Pool;
use pmem::sim::{Event, Memory};

use crate::explore::Explorer;
use crate::formatted;
use crate::life::{Act, Begin, Life, Model, Step, contents, take_turn};

/// Bytes of a frame's header, its operation's header and a key of four bytes.
const OVERHEAD: usize = 16 + 16 + 4;

/// Bytes of the link that the first frame of a batch has.
const LINK: usize = 8;

/// A put whose frame, the first of its batch, has `len` bytes.
fn put(key: &[u8; 4], byte: u8, len: usize) -> Step {
    Step::Put(key.to_vec(), vec![byte; len - LINK - OVERHEAD], None)
}

/// A pool with one acknowledged key, and what a power cut leaves of a batch of a frame of `first` bytes, and perhaps
/// another one: all of it but one word of the first frame. By that word, the images.
fn torn_images(first: usize, another: bool) -> (Model, Vec<Memory>) {
    let memory = formatted(crate::SMALL, 9);
    let mut pool = Pool::open(&memory).unwrap();
    let mut model = Model::new();
    take_turn(&mut pool, &[put(b"kept", 1, 128)], &mut model, |_| {});
    let before = memory.image();
    memory.record();
    let batch = [put(b"torn", 2, first), put(b"tail", 3, 128 + LINK)];
    take_turn(&mut pool, &batch[..1 + usize::from(another)], &mut model.clone(), |_| {});
    drop(pool);
    let start = memory.record().iter().find_map(|event| match event {
        Event::Store { offset, bytes } if bytes.len() == first + 128 * usize::from(another) => Some(*offset as usize),
        _ => None,
    });
    let start = start.expect("the batch is stored in one piece");
    let after = memory.image();
    let words = (start..start + first).step_by(8).filter(|word| before[*word..word + 8] != after[*word..word + 8]);
    let images = words.map(|word| {
        let mut image = after.clone();
        image[word..word + 8].copy_from_slice(&before[word..word + 8]);
        Memory::from(image)
    });
    (model, images.collect())
}

/// The mark has no word in common with the torn frame: cut anywhere, it leaves that void.
#[test]
fn a_cut_in_the_recovery_does_not_complete_a_torn_frame() {
    for (first, another) in [(48, false), (56, true), (64, false), (64, true), (128, false)] {
        let (model, images) = torn_images(first, another);
        for (number, memory) in images.into_iter().enumerate() {
            let mut explorer = Explorer { most: [64, 0, 0], again: 1 << 31, go_on: false, ..Explorer::default() };
            explorer.context = vec![format!("a frame of {first} bytes without its word {number}")];
            explorer.explore(&Life::live(&memory, Begin::Open, model.clone(), &[]));
            assert!(explorer.images > 0);
        }
    }
}

/// Batches of all lengths follow the recovery; whatever frame of the torn batch lies behind one of them does not count.
#[test]
fn later_batches_do_not_uncover_the_rest_of_a_torn_one() {
    let (model, images) = torn_images(128, true);
    for memory in images {
        let torn = memory.image();
        for next in (64..=192).step_by(64) {
            let memory = Memory::from(torn.clone());
            let acts = [
                Act::Turn(vec![put(b"next", 4, next)]),
                Act::Restart,
                Act::Turn(vec![put(b"more", 5, next)]),
                Act::Restart,
            ];
            let life = Life::live(&memory, Begin::Open, model.clone(), &acts);
            assert!(contents(&mut Pool::open(&memory).unwrap()) == *life.states.last().unwrap());
        }
    }
}
