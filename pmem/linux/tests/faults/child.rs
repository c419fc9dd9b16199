//! Running a case in a process of its own, and what came of it.

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use crate::cases;

/// The variable that says which case a child is to run.
const CASE: &str = "PMEM_LINUX_CASE";
/// The variable that says which file it has.
const FILE: &str = "PMEM_LINUX_FILE";

/// How long a device is, and what it is full of.
pub const LEN: usize = 1 << 16;
pub const FILLING: u8 = 0x5a;

/// What a child leaves.
pub struct Outcome {
    pub status: ExitStatus,
    /// What it has printed, on both outputs.
    pub text: String,
    /// What its file holds.
    pub bytes: Vec<u8>,
    /// The file's path.
    pub file: PathBuf,
}

impl Outcome {
    /// Whether the child has come to its end.
    #[track_caller]
    pub fn assert_survived(&self) {
        assert!(self.status.success() && self.text.contains("case: survived"), "{}: {}", self.status, self.text);
    }

    /// Whether this signal has ended it.
    #[track_caller]
    pub fn assert_ended_by(&self, signal: i32) {
        assert_eq!(self.status.signal(), Some(signal), "{}: {}", self.status, self.text);
        assert!(!self.text.contains("case: survived"), "{}", self.text);
    }

    /// The lines of the report, which there is.
    #[track_caller]
    pub fn report(&self) -> Vec<&str> {
        let lines = self.text.lines().skip_while(|line| !line.starts_with("holdfast: FAULT "));
        let report: Vec<_> = lines.collect();
        assert!(!report.is_empty(), "no report: {}", self.text);
        report
    }

    /// Whether the file is as it was.
    #[track_caller]
    pub fn assert_unchanged(&self) {
        assert!(self.bytes.iter().all(|&byte| byte == FILLING), "the file has changed");
    }
}

/// Runs the case with this name in a process of its own, with a file of its own.
pub fn run(case: &str) -> Outcome {
    let directory = env::temp_dir().join(format!("pmem-linux-faults-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join(case);
    fs::write(&file, [FILLING; LEN]).unwrap();
    let outcome = run_with(case, file.clone());
    fs::remove_file(file).unwrap();
    // The last one removes it.
    let _ = fs::remove_dir(directory);
    outcome
}

/// The same, with this file.
pub fn run_with(case: &str, file: PathBuf) -> Outcome {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "child::the_case", "--nocapture", "--test-threads=1"]);
    let output = child.env(CASE, case).env(FILE, &file).output().unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    Outcome { status: output.status, text: format!("{stdout}\n{stderr}"), bytes: fs::read(&file).unwrap(), file }
}

/// Whether this machine has no keys, which is an error where it has to have some.
pub fn lacks_keys() -> bool {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap();
    let has_keys = flags.split_whitespace().any(|flag| flag == "ospke");
    assert!(has_keys || env::var_os("HOLDFAST_REQUIRE_KEYS").is_none(), "no protection keys here");
    if !has_keys {
        println!("skipped: no protection keys here");
    }
    !has_keys
}

/// What a child runs; nothing among the tests.
#[test]
fn the_case() {
    if let (Ok(case), Some(file)) = (env::var(CASE), env::var_os(FILE)) {
        cases::run(&case, file.into());
        println!("case: survived");
    }
}
