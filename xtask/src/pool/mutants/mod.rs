//! Mutants of the pool: copies of its code with one defect each, which the tests must find.
//!
//! All defects are built into one copy of the package `pmem` in cargo's output directory, each behind a switch; the
//! product's own sources know nothing of it. Every test program of the copy that looks for lost data then runs once as
//! it is, and once for each mutant until a test fails. A mutant that no test fails on is a failure of the tests.

mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
pub(crate) use table::Edit;
use table::MUTANTS;

use crate::output::say;
use crate::test::host_cargo;
use crate::workspace;

/// The test programs that mutants meet, in this order: errors of the medium and scrubbing (which are quick), power
/// cuts, the library's own, damage, checkpoints, a model, the pool's promises, DRAM that is not there, old copies.
const PROGRAMS: [&str; 10] =
    ["media", "scrub", "crash", "pmem", "damage", "checkpoint", "model", "pool", "dram", "outdated"];
/// How many images the crash tests open for each mutant at most.
const IMAGES: &str = "20000";
/// Names parts of the names of the mutants that are to run, separated by commas. Unset or empty: all of them.
pub const PART_VARIABLE: &str = "HOLDFAST_MUTANTS";
/// A test that takes longer than this hangs.
const LONGEST: Duration = Duration::from_secs(60);

/// What the mutants came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    /// Mutants that a test failed on.
    pub killed: u64,
    /// Mutants that all tests passed with.
    pub survived: u64,
}

/// Builds the mutants, runs the tests on those whose names contain one of `parts`, and prints the fate of each.
///
/// # Errors
/// When an edit does not fit the sources any more, the copy does not build, no mutant has such a name, or a test fails
/// without any mutant.
pub fn run(parts: &str) -> Result<Score> {
    let named = |name: &str| parts.split(',').any(|part| name.contains(part));
    let chosen: Vec<_> = MUTANTS.iter().enumerate().filter(|(_, mutant)| named(mutant.name)).collect();
    if chosen.is_empty() {
        bail!("no mutant's name contains one of `{parts}` ({PART_VARIABLE})");
    }
    let directory = workspace::target_directory().join("mutants");
    copy(&directory).context("cannot make the copy of pmem that mutants live in")?;
    let programs = build(&directory)?;
    if let Some((test, how)) = first_failure(&programs, 0)? {
        bail!("without any mutant the test {test} {how}");
    }
    let mut score = Score { killed: 0, survived: 0 };
    for (position, mutant) in &chosen {
        let began = Instant::now();
        let fate = match first_failure(&programs, *position + 1)? {
            Some((test, how)) => {
                score.killed += 1;
                format!("killed: {test} {how}")
            }
            None => {
                score.survived += 1;
                "SURVIVED".into()
            }
        };
        say(format_args!("{:64} {fate} ({:.1} s)", mutant.name, began.elapsed().as_secs_f64()));
    }
    say(format_args!("{} of {} mutants killed", score.killed, chosen.len()));
    Ok(score)
}

/// Makes a workspace of the one package `pmem`, with every mutant in it.
fn copy(directory: &Path) -> Result<()> {
    let root = workspace::root();
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    write(&directory.join("Cargo.toml"), &reduce_manifest(&manifest, root))?;
    write(&directory.join("Cargo.lock"), &fs::read_to_string(root.join("Cargo.lock"))?)?;
    let from = root.join("pmem");
    let sources = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "rs" || extension == "toml");
    for file in files(&from)?.into_iter().filter(sources) {
        let mut text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(&from)?;
        if let Ok(name) = name.strip_prefix("src/pool") {
            text = mutate(&name.display().to_string(), &text)?;
        } else if name == Path::new("src/lib.rs") {
            text.push_str(SWITCH);
        }
        write(&directory.join("pmem").join(name), &text)?;
    }
    Ok(())
}

/// What the copy has to tell which mutant it is to be.
const SWITCH: &str = r#"
/// Which mutant this process is.
pub mod mutants {
    /// Whether this process is the mutant of that number.
    pub fn is(number: u32) -> bool {
        static NUMBER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        *NUMBER.get_or_init(|| std::env::var("HOLDFAST_MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0))
            == number
    }
}
"#;

/// The workspace's manifest with `pmem` as the only member.
fn reduce_manifest(manifest: &str, root: &Path) -> String {
    let mut reduced = String::new();
    for line in manifest.lines() {
        if line.starts_with("members") {
            reduced.push_str("members = [\"pmem\"]");
        } else if !line.starts_with("default-members") {
            reduced.push_str(&line.replace("path = \"libos\"", &format!("path = {:?}", root.join("libos"))));
        }
        reduced.push('\n');
    }
    reduced
}

/// Builds the mutants of one file into its text.
fn mutate(file: &str, text: &str) -> Result<String> {
    let edits = MUTANTS.iter().enumerate().flat_map(|(position, mutant)| {
        let number = position + 1;
        mutant.edits.iter().filter(|edit| edit.file == file).map(move |edit| (number, mutant.name, edit))
    });
    // By place: the code that is to stand there.
    let mut places: Vec<(usize, usize, String)> = Vec::new();
    for (number, name, edit) in edits {
        let (from, to) = find(text, edit).with_context(|| format!("the mutant `{name}` does not fit {file}"))?;
        let position = match places.iter().position(|place| place.0 < to && from < place.1) {
            Some(position) if (places[position].0, places[position].1) == (from, to) => {
                if !edit.instead.contains("CODE") {
                    bail!("the mutant `{name}` would undo another one in {file}: it has to keep CODE");
                }
                position
            }
            Some(_) => bail!("the mutant `{name}` overlaps another one in {file}"),
            None => {
                places.push((from, to, text[from..to].to_owned()));
                places.len() - 1
            }
        };
        let code = &mut places[position].2;
        *code = edit.instead.replace("MUTANT", &format!("crate::mutants::is({number})")).replace("CODE", code);
    }
    places.sort();
    let mut mutated = text.to_owned();
    for (from, to, code) in places.into_iter().rev() {
        mutated.replace_range(from..to, &code);
    }
    Ok(mutated)
}

/// Where the code of an edit is.
pub(crate) fn find(text: &str, edit: &Edit) -> Result<(usize, usize)> {
    let whole = format!("{}{}", edit.after, edit.code);
    let mut found = None;
    for (start, _) in text.char_indices() {
        let Some(end) = match_at(text, start, &whole) else { continue };
        if found.replace((start, end)).is_some() {
            bail!("`{whole}` is there more than once");
        }
    }
    let (start, end) = found.with_context(|| format!("`{whole}` is not there"))?;
    let code = match_at(text, start, edit.after).unwrap_or(start);
    Ok((code, end))
}

/// Where the text from `start` on ends to match `pattern`, in which a line's end stands for the next line's
/// indentation, too.
fn match_at(text: &str, start: usize, pattern: &str) -> Option<usize> {
    let mut at = start;
    for (number, line) in pattern.split('\n').enumerate() {
        if number > 0 {
            at += text[at..].strip_prefix('\n').map(|rest| 1 + rest.len() - rest.trim_start_matches(' ').len())?;
        }
        at += line.len();
        if !text.get(at - line.len()..)?.starts_with(line) {
            return None;
        }
    }
    Some(at)
}

/// Builds the test programs of the copy. Returns them in the order of [`PROGRAMS`].
fn build(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut cargo = host_cargo("test");
    cargo.current_dir(directory).args([
        "--release",
        "--no-run",
        "--offline",
        "--lib",
        "--tests",
        "--message-format=json",
    ]);
    // Not the original's: cargo would take the two packages for the same, for they have the same place in their
    // workspaces.
    cargo.env("CARGO_TARGET_DIR", directory.join("target"));
    let output = cargo.output().context("cannot run cargo")?;
    if !output.status.success() {
        // Warnings about the copy are of no interest, what keeps it from being built is.
        bail!("the mutants do not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let messages: Vec<serde_json::Value> =
        String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let program = |name: &str| {
        let of_name = messages.iter().filter(|message| message["target"]["name"] == name);
        let path = of_name.filter_map(|message| message["executable"].as_str()).next();
        path.map(PathBuf::from).with_context(|| format!("cargo built no test program {name}"))
    };
    PROGRAMS.iter().map(|name| program(name)).collect()
}

/// Runs test after test as a mutant until one fails. Returns its name and how it failed.
fn first_failure(programs: &[PathBuf], mutant: usize) -> Result<Option<(String, &'static str)>> {
    for (program, name) in programs.iter().zip(PROGRAMS) {
        let list = Command::new(program).args(["--list", "--format=terse"]).output().context("cannot list tests")?;
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        for test in list.lines().filter_map(|line| line.strip_suffix(": test")) {
            let mut command = Command::new(program);
            command.args(["--exact", test, "--test-threads=1"]).env("HOLDFAST_MUTANT", mutant.to_string());
            command.env("HOLDFAST_CRASH_IMAGES", IMAGES).env("RUST_BACKTRACE", "0");
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            let began = Instant::now();
            let status = loop {
                if let Some(status) = child.try_wait()? {
                    break Some(status);
                }
                if began.elapsed() > LONGEST {
                    child.kill()?;
                    child.wait()?;
                    break None;
                }
                sleep(Duration::from_millis(5));
            };
            let how = match status {
                Some(status) if status.success() => continue,
                Some(_) => "failed",
                None => "hung",
            };
            return Ok(Some((format!("{name}: {test}"), how)));
        }
    }
    Ok(None)
}

/// All files below a directory.
pub(crate) fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => found.extend(files(&entry.path())?),
            false => found.push(entry.path()),
        }
    }
    Ok(found)
}

/// Writes a file unless it is there already with the same text, so that cargo builds only what changed.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_fits_the_sources() {
        let sources = workspace::root().join("pmem/src/pool");
        let mut edits = 0;
        for file in files(&sources).unwrap() {
            let name = file.strip_prefix(&sources).unwrap().display().to_string();
            mutate(&name, &fs::read_to_string(&file).unwrap()).unwrap();
            edits += MUTANTS.iter().flat_map(|mutant| mutant.edits).filter(|edit| edit.file == name).count();
        }
        assert_eq!(edits, MUTANTS.iter().map(|mutant| mutant.edits.len()).sum::<usize>());
    }

    #[test]
    fn code_is_found_by_what_is_before_it_or_refused() {
        let edit = |after, code| Edit { file: "", after, code, instead: "" };
        let text = "a();\n    fence();\n    b();\n    fence();\n";
        assert_eq!(find(text, &edit("b();\n", "fence();")).unwrap(), (31, 39));
        assert!(find(text, &edit("", "fence();")).unwrap_err().to_string().contains("more than once"));
        assert!(find(text, &edit("", "flush();")).unwrap_err().to_string().contains("not there"));
    }
}
