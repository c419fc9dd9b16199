//! The functions that std and its neighbours call on this target.

use holdfast_tests::machine::{machine, run};

#[test]
fn every_function_that_std_calls_is_there() {
    run(machine("abi", &[])).expect_exit(0).expect_line("abi: 49 functions for std, 7 for others");
}
