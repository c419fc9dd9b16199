//! `cargo xtask test native`: the tests of pmem on Linux, under hardware keys.
//!
//! They run on Debian's kernel in QEMU ([`crate::linux`]), the same programs at the same places, all in one boot: its
//! emulated processor has protection keys, and the machine has all that pmem can be kept on, NVDIMMs among it
//! (`places.sh`). What is durable, and by what, is tried once more where a power failure flushes caches ([`EADR`]).
//! Where this computer's processor has keys and its kernel uses them, the tests run here too. Either way
//! [`REQUIRE_KEYS`] is set, by which a test that finds no keys fails instead of being skipped. Where there are neither
//! keys nor such a kernel, the tests run here without. Where there are keys, tests must fail on [`planted`] defects,
//! which is tried when the stage is named.

mod outside;
mod planted;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::host_cargo;
use crate::defects::Defect;
use crate::keys;
use crate::linux::{self, Hardware, Initrd, Machine, NAMESPACE};
use crate::output::say;
use crate::workspace;

/// Whose tests these are: arguments of `cargo test`, for each call of it.
const TESTS: [&[&str]; 2] =
    [&["--package", "pmem-linux"], &["--package", "pmem", "--test", "device", "--test", "outside"]];
/// Bytes of each of the machine's NVDIMMs, in MiB.
const NVDIMM: u64 = 128;
/// Makes the places that the tests use there.
const PLACES: &str = include_str!("places.sh");
/// The program of the tests about what survives a loss of power.
const DURABILITY: &str = "durability";
/// The variable by which tests are told that there have to be keys.
const REQUIRE_KEYS: &str = "HOLDFAST_REQUIRE_KEYS";
/// The variable by which tests are told where the program [`outside`] is.
const OUTSIDE: &str = "HOLDFAST_OUTSIDE";

/// Where the persistence domain of a machine's NVDIMMs begins.
struct Domain {
    /// QEMU's word.
    qemu: &'static str,
    /// The kernel's.
    kernel: &'static str,
}

/// At the memory controller.
const ADR: Domain = Domain { qemu: "mem-ctrl", kernel: "memory_controller" };
/// At the processor's caches.
const EADR: Domain = Domain { qemu: "cpu", kernel: "cpu_cache" };

/// A program, and what it is started with.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file on this computer, and in the machine.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Other programs that it may run, and the variables that tell it where they are.
    pub others: Vec<(&'static str, PathBuf)>,
}

/// Where the tests can run.
#[derive(Debug)]
struct Places {
    /// Whether this computer has keys.
    keys: bool,
    /// Why there is no machine with Linux, if there is none.
    no_machine: Option<anyhow::Error>,
}

/// Builds the tests, runs those with `only` in their names, or all, and hands every line that they print to `line`.
/// Returns whether all programs succeeded; with `planted`, whether each planted defect was found, too.
///
/// # Errors
/// When the tests do not build, or the machine in which they run fails.
pub fn run(only: Option<&str>, planted: bool, mut line: impl FnMut(&str)) -> Result<bool> {
    let mut arguments = vec!["--color=never".to_owned()];
    arguments.extend(only.map(str::to_owned));
    let others = vec![(OUTSIDE, outside::build()?)];
    let program = |path| Program { path, arguments: arguments.clone(), others: others.clone() };
    let programs: Vec<_> = build()?.into_iter().map(program).collect();
    let places = places();
    let mut succeeded = true;
    if places.keys {
        say("on this computer: its processor has protection keys, and its kernel uses them");
        succeeded = run_here(&programs, true, &mut line)?;
    }
    match &places.no_machine {
        None => {
            let why = if places.keys { "NVDIMMs" } else { "protection keys, which this computer lacks, and NVDIMMs" };
            say(format_args!("on Debian's kernel in QEMU, for {why}"));
            succeeded &= run_in_places(&programs, &ADR, &mut line)?;
            say("the same, where a power failure flushes the processor's caches");
            let durability: Vec<_> = programs.into_iter().filter(is_about_durability).collect();
            succeeded &= run_in_places(&durability, &EADR, &mut line)?;
        }
        Some(reason) if places.keys => {
            say(format_args!("not on Debian's kernel in QEMU: what needs NVDIMMs was skipped. {reason:#}"));
        }
        Some(reason) => {
            say("on this computer WITHOUT KEYS, which it lacks: what needs them, or NVDIMMs, is skipped");
            say(format_args!("not on Debian's kernel in QEMU: {reason:#}"));
            succeeded = run_here(&programs, false, line)?;
        }
    }
    if planted {
        succeeded &= find_planted(&places)?;
    }
    Ok(succeeded)
}

/// Whether the tests fail on all planted defects. Where there are no keys nobody can tell, and it says so.
fn find_planted(places: &Places) -> Result<bool> {
    if places.no_machine.is_none() {
        return planted::run(|_| true, |programs, line| run_in_places(programs, &ADR, line).map(drop));
    }
    if places.keys {
        say("planted defects that show only on NVDIMMs are not looked for");
        let needs_none = |defect: &Defect| defect.program != DURABILITY;
        return planted::run(needs_none, |programs, line| run_here(programs, true, line).map(drop));
    }
    say("without keys, planted defects are not looked for");
    Ok(true)
}

/// Whether a program is the one of the tests about what survives a loss of power.
fn is_about_durability(program: &Program) -> bool {
    name(&program.path).split_once('-').is_some_and(|(name, _)| name == DURABILITY)
}

/// Runs all programs in one machine that has all places. Returns whether all succeeded.
fn run_in_places(programs: &[Program], domain: &Domain, line: impl FnMut(&str)) -> Result<bool> {
    let first = format!("{NAMESPACE}\n{PLACES}\nexport HOLDFAST_PLACES=1 HOLDFAST_DOMAIN={}", domain.kernel);
    Ok(run_in_machine(programs, &hardware(domain), &first, line)? == 0)
}

/// Gets what the tests need and this computer lacks, and says what they will be without.
pub fn prepare() {
    let places = places();
    if let Some(reason) = places.no_machine {
        let without = if places.keys { "NVDIMMs" } else { "protection keys and NVDIMMs" };
        say(format_args!("setup: the tests on Linux will be without {without}. {reason:#}"));
    }
}

/// Looks where the tests can run.
fn places() -> Places {
    // All packages of the machine are needed.
    Places { keys: keys::are_here(), no_machine: linux::kernel().and_then(|_| Initrd::new()).err() }
}

/// A machine with two NVDIMMs. Each is a region of its own to Linux.
fn hardware(domain: &Domain) -> Hardware {
    let nvdimm = |name: &str| {
        let backend = format!("memory-backend-ram,id={name},size={NVDIMM}M");
        ["-object".into(), backend.into(), "-device".into(), format!("nvdimm,memdev={name}").into()]
    };
    let persistence = ["-machine".into(), format!("nvdimm-persistence={}", domain.qemu).into()];
    let arguments = persistence.into_iter().chain(nvdimm("first")).chain(nvdimm("second")).collect();
    Hardware { arguments, ..Hardware::default() }
}

/// Builds the tests and returns their programs.
fn build() -> Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    for arguments in TESTS {
        programs.extend(build_in(workspace::root(), &workspace::target_directory(), arguments)?);
    }
    Ok(programs)
}

/// Builds tests of the workspace in `sources`, with these arguments of `cargo test`, and returns their programs.
fn build_in(sources: &Path, target: &Path, arguments: &[&str]) -> Result<Vec<PathBuf>> {
    let mut cargo = host_cargo("test");
    cargo.current_dir(sources).env("CARGO_TARGET_DIR", target);
    cargo.args(["--no-run", "--message-format=json-render-diagnostics"]).args(arguments);
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the tests do not build (cargo's messages are above)");
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse_program).collect())
}

/// The test program in a line of cargo's messages.
fn parse_program(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    message["executable"].as_str().filter(|_| is_test).map(PathBuf::from)
}

/// Runs all programs on this computer.
fn run_here(programs: &[Program], keys: bool, mut line: impl FnMut(&str)) -> Result<bool> {
    let mut succeeded = true;
    for program in programs {
        let mut command = Command::new(&program.path);
        if keys {
            command.env(REQUIRE_KEYS, "1");
        }
        command.envs(program.others.iter().map(|(variable, path)| (variable, path)));
        let output = command.args(&program.arguments).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot run {}", program.path.display()))?;
        String::from_utf8_lossy(&output.stdout).lines().for_each(&mut line);
        if !output.status.success() {
            line(&format!("{} failed: {}", name(&program.path), output.status));
            succeeded = false;
        }
    }
    Ok(succeeded)
}

/// Runs all programs in one machine with Linux, after these commands of a shell, and hands every line that they print
/// to `line`. The status is 0 if all succeeded.
///
/// # Errors
/// When the machine cannot be started, panics, or gets stuck.
pub fn run_in_machine(
    programs: &[Program],
    hardware: &Hardware,
    first: &str,
    mut line: impl FnMut(&str),
) -> Result<u8> {
    let mut initrd = Initrd::new()?;
    initrd.modules()?;
    for program in programs {
        initrd.program(&program.path)?;
        program.others.iter().try_for_each(|(_, path)| initrd.program(path))?;
    }
    let mut machine = Machine::start(hardware, &initrd, &script(programs, first))?;
    while let Some(text) = machine.next_line()? {
        line(&text);
    }
    machine.status()
}

/// Runs one program after the other, whatever the others did.
fn script(programs: &[Program], first: &str) -> String {
    let mut script = format!("{first}\nexport {REQUIRE_KEYS}=1\nstatus=0\n");
    for program in programs {
        let set = |(variable, path): &(_, PathBuf)| format!("{variable}={} ", quoted(&path.to_string_lossy()));
        let others: String = program.others.iter().map(set).collect();
        let command: Vec<_> = [&*program.path.to_string_lossy()]
            .into_iter()
            .chain(program.arguments.iter().map(String::as_str))
            .map(quoted)
            .collect();
        let (command, name) = (command.join(" "), quoted(&name(&program.path)));
        script += &format!("{others}{command} || {{ echo {name} failed: exit status $?; status=1; }}\n");
    }
    script + "exit $status\n"
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A program's name without its directories.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_found_among_cargos_messages() {
        let test = r#"{"reason":"compiler-artifact","profile":{"test":true},"executable":"/t/deps/device-1"}"#;
        assert_eq!(parse_program(test), Some("/t/deps/device-1".into()));
        for other in [
            r#"{"reason":"compiler-artifact","profile":{"test":false},"executable":"/t/kvstore"}"#,
            r#"{"reason":"compiler-artifact","profile":{"test":true},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "   Compiling pmem",
        ] {
            assert_eq!(parse_program(other), None, "{other}");
        }
    }

    #[test]
    fn what_fails_here_is_told_and_the_others_run() {
        let program = |path: &str, argument: &str| Program {
            path: path.into(),
            arguments: vec![argument.into()],
            others: vec![],
        };
        let mut lines = Vec::new();
        let programs = [program("/bin/false", ""), program("/bin/echo", "it's")];
        assert!(!run_here(&programs, true, |line| lines.push(line.to_owned())).unwrap());
        assert_eq!(lines, ["false failed: exit status: 1", "it's"]);
        assert!(run_here(&programs[1..], true, |_| {}).unwrap());
    }

    #[test]
    fn a_script_has_every_word_as_it_is() {
        let others = vec![("OTHER", "/d e/f".into())];
        let program = Program { path: "/a b/c".into(), arguments: vec!["it's".into()], others };
        let command = r"OTHER='/d e/f' '/a b/c' 'it'\''s' || { echo 'c' failed: exit status $?; status=1; }";
        assert!(script(&[program], "").contains(command));
    }
}
