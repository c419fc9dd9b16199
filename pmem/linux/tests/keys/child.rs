//! Processes of their own for tests: this program again, told to run one test that is ignored otherwise.

use std::env;
use std::process::{Command, exit};

/// The words that the parent has for its child.
const WORDS: &str = "HOLDFAST_TEST_WORDS";
/// How a process ends that came to its end. A run of no test at all ends with 0, one of a test that fails with 101.
const ENDED: i32 = 42;
/// How one ends that its key stopped, at the byte that it was after.
pub const STOPPED: i32 = 43;
/// How one ends that SIGSEGV stopped for another reason, or elsewhere.
pub const STRAYED: i32 = 44;

/// What became of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It came to its end.
    Reached,
    /// A key stopped it at the byte that it was after.
    Stopped,
}

/// Runs a test with these words in a process of its own. Whatever else becomes of it is told as an error.
pub fn run(test: &str, words: &[&str]) -> Result<End, String> {
    let mut program = Command::new(env::current_exe().unwrap());
    program.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    let output = program.env(WORDS, words.join(" ")).output().unwrap();
    match output.status.code() {
        Some(ENDED) => Ok(End::Reached),
        Some(STOPPED) => Ok(End::Stopped),
        _ => Err(format!(
            "{}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// The words, in the child.
pub fn words() -> Vec<String> {
    env::var(WORDS).unwrap().split(' ').map(str::to_owned).collect()
}

/// Ends the child: it has come to its end.
pub fn end() -> ! {
    exit(ENDED)
}
