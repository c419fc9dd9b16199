//! Every shape of stray access from every context.

use libos_contract::protection::Protection;

use crate::attempt;
use crate::child;
use crate::contexts::{CONTEXTS, Context, Open};
use crate::devices;
use crate::neighbours::Neighbours;

#[test]
fn from_each_context_keys_let_through_what_its_grants_permit_and_no_more() {
    if devices::keys_are_here() {
        check(Protection::Pku);
    }
}

#[test]
fn from_each_context_everything_goes_through_where_nothing_protects() {
    check(Protection::None);
}

/// Has a process for each context make all attempts under `protection`.
fn check(protection: Protection) {
    let enter = |(index, &(context, ..)): (usize, &Context)| {
        child::run("matrix::attempts", &[&index.to_string(), &protection.to_string()])
            .err()
            .map(|wrong| format!("{context}: {wrong}"))
    };
    let wrong: Vec<_> = CONTEXTS.iter().enumerate().filter_map(enter).collect();
    assert!(wrong.is_empty(), "under {protection}:\n{}", wrong.join("\n"));
}

#[test]
#[ignore = "the accesses of one context, which the tests of this file have made in a process of its own"]
fn attempts() {
    let [index, protection] = child::words().try_into().unwrap();
    let (_, open, enter) = CONTEXTS[index.parse::<usize>().unwrap()];
    let protection = devices::protection(&protection);
    let open = if protection == Protection::None { Open::LoadsAndStores } else { open };
    attempt::prepare(Neighbours::open(protection), open);
    let [first, second] = &attempt::neighbours().both;
    enter(&first.device, &second.device);
    match attempt::verdict() {
        Ok(0) => panic!("nothing was attempted"),
        Ok(_) => child::end(),
        Err(wrong) => panic!("{wrong}"),
    }
}
