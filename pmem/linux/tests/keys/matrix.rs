//! Every access from every context.

use libos_contract::protection::Protection;
use pmem_linux::OpenOptions;

use crate::attempt::{self, OFFSET, STORED};
use crate::child::{self, End};
use crate::contexts::{CONTEXTS, Open};
use crate::devices;

const LOAD: &str = "load";
const STORE: &str = "store";

#[test]
fn from_each_context_keys_let_through_what_its_grants_permit_and_no_more() {
    if devices::keys_are_here() {
        check(Protection::Pku, |open, access| match (open, access) {
            (Open::LoadsAndStores, _) | (Open::Loads, LOAD) => End::Reached,
            (Open::Loads | Open::Nothing, _) => End::Stopped,
        });
    }
}

#[test]
fn from_each_context_everything_goes_through_where_nothing_protects() {
    check(Protection::None, |_, _| End::Reached);
}

/// Makes all accesses under `protection`, each in a process of its own, and compares what becomes of them.
fn check(protection: Protection, expected: impl Fn(Open, &str) -> End) {
    let mut wrong = Vec::new();
    for (index, &(context, open, _)) in CONTEXTS.iter().enumerate() {
        for access in [LOAD, STORE] {
            let (file, other) = (devices::file(), devices::file());
            let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
            let words = [&index.to_string(), access, &protection.to_string(), &path(&file), &path(&other)];
            let end = child::run("matrix::attempts", &words);
            let expected = expected(open, access);
            let stored = if (access, expected) == (STORE, End::Reached) { STORED } else { devices::BEFORE };
            let byte = devices::byte(file.path(), OFFSET);
            if (&end, byte) != (&Ok(expected), stored) {
                wrong.push(format!("{context}: {access}: {end:?}, not {expected:?}; the byte is {byte:#04x}"));
            }
        }
    }
    assert!(wrong.is_empty(), "under {protection}:\n{}", wrong.join("\n"));
}

#[test]
#[ignore = "one access, which the tests of this file make in a process of its own"]
fn attempts() {
    let [index, access, protection, file, other] = child::words().try_into().unwrap();
    let options = OpenOptions::new().protection(protection.parse().unwrap());
    let [device, other] = [file, other].map(|path| options.open(path).unwrap());
    attempt::prepare(&device, access == STORE);
    let (_, _, enter) = CONTEXTS[index.parse::<usize>().unwrap()];
    enter(&device, &other);
    child::end();
}
