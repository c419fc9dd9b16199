//! Processes of their own for tests: this program again, told to run one test that is ignored otherwise.

use std::env;
use std::process::{Child, Command, Stdio, exit};

/// The words that the parent has for its child.
const WORDS: &str = "HOLDFAST_TEST_WORDS";
/// How a process ends that came to its end. A run of no test at all ends with 0, one of a test that fails with 101.
const ENDED: i32 = 42;
/// How one ends that SIGSEGV stopped where nobody expected it.
pub const STRAYED: i32 = 43;

/// Runs a test with these words in a process of its own, which is to come to its end.
pub fn run(test: &str, words: &[&str]) -> Result<(), String> {
    let output = command(test, words).output().unwrap();
    match output.status.code() {
        Some(ENDED) => Ok(()),
        _ => Err(format!(
            "{}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// Starts a test with these words in a process of its own, to talk to.
pub fn spawn(test: &str, words: &[&str]) -> Child {
    command(test, words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn command(test: &str, words: &[&str]) -> Command {
    let mut program = Command::new(env::current_exe().unwrap());
    program.args(arguments(test)).env(WORDS, words.join(" "));
    program
}

/// The arguments by which this program runs one test that is ignored otherwise.
pub fn arguments(test: &str) -> [&str; 5] {
    ["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]
}

/// The words, in the child.
pub fn words() -> Vec<String> {
    env::var(WORDS).unwrap().split(' ').map(str::to_owned).collect()
}

/// Ends the child: it has come to its end.
pub fn end() -> ! {
    exit(ENDED)
}
