//! Mutants of the pool: its code with one defect each, which the test that the defect's patch names must find.
//!
//! As many copies of the package as there are processors, in cargo's output directory, have one defect after the other
//! put in, with the program of the test built anew. A mutant that passes its test is a failure of the test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread::{self, available_parallelism, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cargo::host_cargo;
use crate::defects::{self, Defect};
use crate::output::say;
use crate::workspace;

/// Where the patches are, from the workspace's root.
const FOLDER: &str = "pmem/tests/mutants";
/// What of the workspace is copied.
const MEMBERS: [&str; 2] = ["libos", "pmem"];
/// The program of the library's own tests.
const LIBRARY: &str = "pmem";
/// How many images the crash tests open for each mutant at most.
const IMAGES: &str = "20000";
/// Names parts of the names of the mutants that are to run, separated by commas. Unset or empty: all of them.
pub const PART_VARIABLE: &str = "HOLDFAST_MUTANTS";
/// A test that takes longer than this hangs.
const LONGEST: Duration = Duration::from_secs(60);

/// What the mutants came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Mutants that their test failed on.
    pub killed: u64,
    /// Mutants that their test passed with.
    pub survived: u64,
}

/// Builds the mutants whose names contain one of `parts`, has each meet its test, and prints the fate of each.
///
/// # Errors
/// When a defect does not fit the sources any more, a copy does not build, no mutant has such a name, or a test fails
/// without any mutant.
pub fn run(parts: &str) -> Result<Score> {
    let mut mutants = Defect::all(&workspace::root().join(FOLDER))?;
    mutants.retain(|mutant| parts.split(',').any(|part| mutant.name.contains(part) || mutant.breaks.contains(part)));
    if mutants.is_empty() {
        bail!("no mutant's name contains one of `{parts}` ({PART_VARIABLE})");
    }
    let sources = defects::sources(&MEMBERS)?;
    let jobs = available_parallelism().map_or(1, usize::from).min(mutants.len());
    let directory = workspace::target_directory().join("mutants");
    let copies: Vec<_> = (0..jobs).map(|number| Copy { directory: directory.join(number.to_string()) }).collect();
    copies[0].pass_without_defects(&sources, &mutants)?;
    let (queue, score) = (Mutex::new(mutants.iter()), Mutex::new(Score::default()));
    let work = |copy: &Copy| -> Result<()> {
        while let Some(mutant) = queue.lock().ok().and_then(|mut queue| queue.next()) {
            let killed = copy.kill(&sources, mutant)?;
            let mut score = score.lock().expect("no thread panics with it");
            *(if killed { &mut score.killed } else { &mut score.survived }) += 1;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = copies.iter().map(|copy| scope.spawn(|| work(copy))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    let score = score.into_inner().expect("no worker panics");
    say(format_args!("{} of {} mutants killed", score.killed, mutants.len()));
    Ok(score)
}

/// A copy of the package, for one mutant at a time.
struct Copy {
    directory: PathBuf,
}

impl Copy {
    fn sources(&self) -> PathBuf {
        self.directory.join("sources")
    }

    /// Has the sources as they are pass the tests that these mutants have to fail.
    fn pass_without_defects(&self, sources: &[(PathBuf, String)], mutants: &[Defect]) -> Result<()> {
        defects::copy(sources, &self.sources())?;
        let programs: BTreeSet<_> = mutants.iter().map(|mutant| mutant.program.as_str()).collect();
        let programs: Vec<_> = programs.into_iter().collect();
        let built = self.build(&programs)?;
        let tests: BTreeSet<_> = mutants.iter().map(|mutant| (&mutant.program, &mutant.test)).collect();
        for (program, test) in tests {
            let executable = programs.iter().zip(&built).find(|(name, _)| *name == program);
            let (_, executable) = executable.context("a program of a test was not built")?;
            let list =
                Command::new(executable).args(["--list", "--format=terse"]).output().context("cannot list tests")?;
            if !String::from_utf8_lossy(&list.stdout).lines().any(|line| line.strip_suffix(": test") == Some(test)) {
                bail!("there is no test {program}: {test}");
            }
            if let Some(how) = failure(executable, test)? {
                bail!("without any mutant the test {program}: {test} {how}");
            }
        }
        Ok(())
    }

    /// Whether the test of a mutant fails on it.
    fn kill(&self, sources: &[(PathBuf, String)], mutant: &Defect) -> Result<bool> {
        let began = Instant::now();
        defects::copy(sources, &self.sources())?;
        mutant.put_into(&self.sources())?;
        let executable = self.build(&[&mutant.program]).with_context(|| format!("the mutant `{}`", mutant.name))?;
        let fate = failure(&executable[0], &mutant.test)?;
        let said = fate.map_or("SURVIVED".into(), |how| format!("killed: {}: {} {how}", mutant.program, mutant.test));
        say(format_args!("{:64} {said} ({:.1} s)", mutant.breaks, began.elapsed().as_secs_f64()));
        Ok(fate.is_some())
    }

    /// Builds these test programs, in their order. Optimised a little, since images are opened by the ten thousand, and
    /// no more, since there is a build for each mutant.
    fn build(&self, programs: &[&str]) -> Result<Vec<PathBuf>> {
        let mut cargo = host_cargo("test");
        cargo.current_dir(self.sources()).args(["--profile=quick", "--no-run", "--offline", "--package", LIBRARY]);
        cargo.arg("--message-format=json-render-diagnostics");
        for program in programs {
            match *program {
                LIBRARY => cargo.arg("--lib"),
                name => cargo.args(["--test", name]),
            };
        }
        cargo.env("CARGO_PROFILE_QUICK_OPT_LEVEL", "1").env("CARGO_PROFILE_QUICK_DEBUG", "0");
        // Not the original's directory: cargo would take the two packages for the same, for they have the same place in
        // their workspaces.
        cargo.env("CARGO_INCREMENTAL", "1").env("CARGO_TARGET_DIR", self.directory.join("target"));
        let output = cargo.output().context("cannot run cargo")?;
        if !output.status.success() {
            // Warnings about the copy are of no interest, what keeps it from being built is.
            bail!("a copy of pmem does not build:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let messages: Vec<serde_json::Value> =
            messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let executable = |name: &&str| {
            let of_name = messages.iter().filter(|message| message["target"]["name"] == **name);
            let path = of_name.filter_map(|message| message["executable"].as_str()).next();
            path.map(PathBuf::from).with_context(|| format!("cargo built no test program {name}"))
        };
        programs.iter().map(executable).collect()
    }
}

/// How a test fails, if it does.
fn failure(program: &Path, test: &str) -> Result<Option<&'static str>> {
    let mut command = Command::new(program);
    command.args(["--exact", test, "--test-threads=1"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("HOLDFAST_CRASH_IMAGES", IMAGES).env("RUST_BACKTRACE", "0");
    // The images of the fixtures are in no copy.
    command.env("CARGO_MANIFEST_DIR", workspace::root().join(LIBRARY));
    let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let began = Instant::now();
    while began.elapsed() < LONGEST {
        if let Some(status) = child.try_wait()? {
            return Ok((!status.success()).then_some("failed"));
        }
        sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    Ok(Some("hung"))
}
