//! The programs of `examples/`, each killed and started again: they go on where they were.
#![cfg(not(target_os = "hermit"))]

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// Builds all examples as this test is built, and returns their directory.
fn examples() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Beside the directory of this program, in cargo's output directory.
        let program = std::env::current_exe().unwrap();
        let profile = program.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).args([
            "build",
            "--offline",
            "--package",
            "pmem",
            "--examples",
        ]);
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the examples do not build");
        profile.join("examples")
    })
}

/// An example that runs, with its input and its output.
struct Example {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &str, file: &Path) -> Example {
        let mut command = Command::new(examples().join(name));
        let mut child = command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Example { child, input, output: BufReader::new(output).lines() }
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        self.next()
    }

    fn next(&mut self) -> String {
        self.output.next().expect("the example has ended").unwrap()
    }

    /// What it says first of all of how far it is, without its protection.
    fn so_far(&mut self) -> String {
        let line = self.next();
        line.split_once("; protection ").unwrap_or_else(|| panic!("{line:?}")).0.to_owned()
    }

    /// Ends it at once. It is waiting for input, or was when it was asked last.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A place for a file that is not there yet. Another run has another process number.
fn place(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("pmem-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// What the example says of a file that is another example's, which it has to leave alone.
fn refusal(name: &str, file: &Path) -> String {
    let before = std::fs::read(file).unwrap();
    let output = Command::new(examples().join(name)).arg(file).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(std::fs::read(file).unwrap(), before);
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_counter_goes_on_with_its_count() {
    let file = place("counter");
    for run in 0..3 {
        let mut counter = Example::start("counter", &file);
        assert_eq!(counter.so_far(), format!("{} so far", 2 * run));
        assert_eq!(counter.ask(""), (2 * run + 1).to_string());
        assert_eq!(counter.ask(""), (2 * run + 2).to_string());
        counter.kill();
    }
    assert!(refusal("log", &file).contains("is no log"));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_log_has_all_lines_that_it_numbered() {
    let file = place("log");
    let lines = ["one", "", "a line that is longer than a few words of eight bytes, and than a cache line too"];
    for run in 0..lines.len() {
        let mut log = Example::start("log", &file);
        for (number, line) in lines[..run].iter().enumerate() {
            assert_eq!(log.next(), format!("{}: {line}", number + 1));
        }
        assert_eq!(log.so_far(), format!("{run} so far"));
        assert_eq!(log.ask(lines[run]), (run + 1).to_string());
        log.kill();
    }
    assert!(refusal("counter", &file).contains("is no counter"));
    assert!(refusal("cache", &file).contains("Foreign"));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_log_writes_over_a_record_that_is_torn() {
    let file = place("torn");
    let mut log = Example::start("log", &file);
    assert_eq!(log.so_far(), "0 so far");
    assert_eq!(log.ask("kept"), "1");
    assert_eq!(log.ask("torn in its middle, as by a power cut"), "2");
    log.kill();
    // The second record begins behind the magic and the first one, which takes two words.
    let mut image = std::fs::read(&file).unwrap();
    image[8 + 16 + 8 + 16..][..8].fill(0);
    std::fs::write(&file, image).unwrap();
    for (run, line) in ["kept", "new"].into_iter().enumerate() {
        let mut log = Example::start("log", &file);
        let there: Vec<_> = (0..=run).map(|_| log.next()).collect();
        assert_eq!(there[run], format!("{}: {line}", run + 1));
        assert_eq!(log.so_far(), format!("{} so far", run + 1));
        assert_eq!(log.ask("new"), (run + 2).to_string());
        log.kill();
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_cache_finds_what_it_computed_before_and_begins_anew_when_it_is_full() {
    let file = place("cache");
    // Room for about fifty lists of ten thousand numbers.
    std::fs::File::create(&file).unwrap().set_len(2 << 20).unwrap();
    let mut cache = Example::start("cache", &file);
    assert_eq!(cache.so_far(), "0 so far");
    assert_eq!(cache.ask("100000"), "9592 primes up to 100000, computed");
    assert_eq!(cache.ask("100000"), "9592 primes up to 100000, found");
    assert_eq!(cache.ask("2"), "1 primes up to 2, computed");
    assert_eq!(cache.ask("1"), "0 primes up to 1, computed");
    cache.kill();
    let mut cache = Example::start("cache", &file);
    assert_eq!(cache.so_far(), "3 so far");
    assert_eq!(cache.ask("100000"), "9592 primes up to 100000, found");
    for number in 100_001..100_060 {
        assert!(cache.ask(&number.to_string()).ends_with(&format!("up to {number}, computed")));
    }
    cache.kill();
    let mut cache = Example::start("cache", &file);
    assert_ne!(cache.so_far(), "62 so far");
    assert_eq!(cache.ask("100059"), "9597 primes up to 100059, found");
    assert_eq!(cache.ask("100000"), "9592 primes up to 100000, computed");
    cache.kill();
    std::fs::remove_file(file).unwrap();
}
