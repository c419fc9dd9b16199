//! What a program asks for without end is an error in the end, and the machine goes on.

use holdfast_tests::machine::{machine, run};

#[test]
fn everything_that_a_program_can_ask_for_ends_with_an_error_also_in_a_full_heap() {
    for processors in [1, 2] {
        let mut options = machine("exhaust", &[]);
        options.smp = processors;
        let outcome = run(options);
        outcome.expect_exit(0).expect_line("exhaust: the machine is still there");
        assert_eq!(outcome.count("ok "), 3 * 10, "{outcome}");
    }
}
