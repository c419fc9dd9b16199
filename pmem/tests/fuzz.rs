//! The fuzz targets without a fuzzer: all inputs that were worth keeping, and some thousand made of them at random.
//!
//! `cargo xtask fuzz` looks for new ones.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library there, a module here")]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use fastrand::Rng;

/// Inputs made of each target's corpus, beside the corpus: more where the code is optimised, as in the stage `pool`.
const MADE: u64 = if cfg!(debug_assertions) { 150 } else { 5000 };

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut corpus: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())
        })
        .collect();
    corpus.sort();
    assert!(!corpus.is_empty(), "{} is empty", folder.display());
    corpus
}

/// Runs one input. A failure names it, and shows it as cargo-fuzz takes it.
fn run(target: fn(&[u8]), name: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        panic!("the input {name} fails: {input:02x?}");
    }
}

fn run_all(name: &str, target: fn(&[u8])) {
    let corpus = corpus(name);
    for (file, input) in &corpus {
        run(target, file, input);
    }
    let mut random = Rng::with_seed(1);
    for number in 0..MADE {
        let mut input = corpus[random.usize(..corpus.len())].1.clone();
        let (other, splice) = (&corpus[random.usize(..corpus.len())].1, random.usize(..3) == 0);
        if splice && !input.is_empty() && !other.is_empty() {
            input.truncate(1 + random.usize(..input.len()));
            input.extend_from_slice(&other[random.usize(..other.len())..]);
        }
        for _ in 0..1 + random.usize(..6) {
            if !input.is_empty() {
                let at = random.usize(..input.len());
                input[at] = random.usize(..256) as u8;
            }
        }
        run(target, &format!("number {number}"), &input);
    }
}

#[test]
fn images() {
    run_all("open_image", targets::open_image);
}

#[test]
fn operations() {
    run_all("operations", targets::operations);
}
