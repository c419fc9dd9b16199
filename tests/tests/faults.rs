//! The campaign of `cargo xtask faults`, in small.

use holdfast_tests::faults::windows;
use xtask::qemu::Protection;

#[test]
fn each_batch_of_commands_is_stored_in_one_window() {
    let [single, pipeline] = &windows::measure(Protection::Pks).unwrap()[..] else { panic!("two counts") };
    println!("{single}\n{pipeline}");
    assert_eq!((single.instructions.len(), pipeline.instructions.len()), (1, 1));
    // A window that is over at once, or in which the whole command was executed, was not what is counted.
    assert!((100..10_000).contains(&single.instructions[0]), "{single}");
    assert!((single.instructions[0] + 1..100_000).contains(&pipeline.instructions[0]), "{pipeline}");
}
