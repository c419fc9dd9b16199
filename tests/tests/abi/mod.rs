//! The functions that programs for this target call: what the documentation lists, what the library exports, and what
//! `std` and its neighbours call are the same set.

mod exports;
mod sources;

use std::collections::BTreeSet;

use holdfast_tests::machine::{machine, run};
use libos::abi::table::{Caller, FUNCTIONS, LEFT_OUT};

/// The names of the functions in the table that these callers are said to call.
fn listed(callers: &[Caller]) -> BTreeSet<String> {
    let by = |&function: &&libos::abi::table::Function| function.callers.iter().any(|caller| callers.contains(caller));
    FUNCTIONS.iter().filter(by).map(|function| function.name.to_owned()).collect()
}

fn all() -> BTreeSet<String> {
    FUNCTIONS.iter().map(|function| function.name.to_owned()).collect()
}

#[test]
fn every_function_of_the_table_links_and_does_what_std_expects() {
    for processors in [1, 2] {
        let mut options = machine("abi", &[]);
        options.smp = processors;
        let outcome = run(options);
        outcome.expect_exit(0).expect_line(&format!("abi: {} functions", FUNCTIONS.len()));
        assert_eq!(outcome.count("ok "), 12, "{outcome}");
    }
}

#[test]
fn the_library_exports_the_functions_of_the_table_and_no_others() {
    assert_eq!(exports::of_the_library(), all());
}

#[test]
fn what_hermit_abi_and_libc_declare_is_in_the_table_or_left_out_for_a_reason() {
    let hermit_abi = sources::declared("hermit-abi");
    let libc = sources::declared("libc");
    assert_eq!(libc, listed(&[Caller::Libc]), "libc's declarations, and who is said to declare them");
    let left_out: BTreeSet<String> =
        LEFT_OUT.iter().flat_map(|(_, names)| names.iter().map(|&name| name.to_owned())).collect();
    let mut known: BTreeSet<String> = &all() | &left_out;
    // The version after the one that the workspace is pinned to declares it.
    known.remove("sys_fsync");
    assert_eq!(hermit_abi, known);
}

#[test]
fn what_std_calls_is_said_to_be_called_by_it() {
    let Some(called) = sources::called_by_std() else {
        println!("the library's source is not installed: nothing to compare with");
        return;
    };
    assert_eq!(called, listed(&[Caller::Std]));
}

#[test]
fn what_mio_polling_and_num_cpus_call_is_said_to_be_called_by_them() {
    assert_eq!(sources::called_by_mio(), listed(&[Caller::Mio]));
    assert_eq!(sources::called_by_polling(), listed(&[Caller::Polling]));
    assert_eq!(sources::called_by_num_cpus(), listed(&[Caller::NumCpus]));
}

#[test]
fn polling_finds_what_it_calls_to_do_what_it_expects() {
    for processors in [1, 2] {
        let mut options = machine("poller", &[]);
        options.smp = processors;
        let outcome = run(options);
        outcome.expect_exit(0);
        assert_eq!(outcome.count("ok "), 4, "{outcome}");
    }
}
