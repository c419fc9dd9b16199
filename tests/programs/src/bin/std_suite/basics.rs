//! Printing, arguments, environment, hashing, and what there is not: files.

use std::collections::HashMap;
use std::env;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};

use crate::Check;

pub(super) const CHECKS: &[Check] = &[
    ("print", print),
    ("arguments", arguments),
    ("environment", environment),
    ("hashing-is-random", hashing_is_random),
    ("a-processor-is-available", parallelism),
    ("files-that-are-not-there-are-refused", missing_files),
];

fn print() {
    println!("to the standard output");
    eprintln!("to the standard error");
    // Whole lines arrive whole, however they were written.
    let mut out = io::stdout().lock();
    for part in ["written ", "in ", "parts\n"] {
        out.write_all(part.as_bytes()).unwrap();
    }
    out.flush().unwrap();
    print!("without a newline, then flushed");
    drop(out);
    io::stdout().flush().unwrap();
    println!();
    println!("{}", "long ".repeat(1000));
}

fn arguments() {
    let arguments: Vec<String> = env::args().collect();
    assert_eq!(arguments[1..], ["basics"]);
    assert_eq!(env::args_os().len(), 2);
}

fn environment() {
    assert!(env::var("HOLDFAST_ABSENT").is_err());
    if let Ok(given) = env::var("HOLDFAST_GIVEN") {
        println!("the environment has {given}");
    }
}

fn hashing_is_random() {
    let (first, second) = (RandomState::new(), RandomState::new());
    assert_ne!(first.hash_one(1u64), second.hash_one(1u64));
    // The test compares this line of two boots.
    println!("hashed: {:#018x}", first.hash_one(1u64));
    let squares: HashMap<u64, u64> = (0..10_000).map(|n| (n, n * n)).collect();
    assert!((0..10_000).all(|n| squares[&n] == n * n));
}

fn parallelism() {
    assert!(std::thread::available_parallelism().unwrap().get() >= 1);
}

fn missing_files() {
    assert!(File::open("/no/such/file").is_err());
    assert!(std::fs::create_dir("/no/such/directory").is_err());
}
