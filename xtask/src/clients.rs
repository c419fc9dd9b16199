//! Other people's client libraries, for the stage `clients` of the tests: from where their users have them, in versions
//! that `tests/clients` names, into `target/clients`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::host_cargo;
use crate::output::{say, warn};
use crate::setup::apt;
use crate::setup::toolchain::find_program;
use crate::workspace;

/// The variable that tells the tests where the libraries are.
pub const CLIENTS_VARIABLE: &str = "HOLDFAST_CLIENTS";

/// Installs the libraries of every language, and returns where they are. Of a language that cannot be had it says why:
/// the tests of its clients find nothing to run, and fail.
pub(crate) fn install() -> PathBuf {
    let (from, to) = (workspace::root().join("tests/clients"), workspace::target_directory().join("clients"));
    say("setup: client libraries, as tests/clients names them");
    for (language, outcome) in [
        ("Python", install_python(&from, &to)),
        ("JavaScript", install_node(&from, &to)),
        ("Rust", build_rust(&from, &to)),
    ] {
        if let Err(error) = outcome {
            warn(format_args!("error: no client libraries of {language}: {error:#}"));
        }
    }
    to
}

fn install_python(from: &Path, to: &Path) -> Result<()> {
    // Debian has the module that makes virtual environments in a package of its own.
    let has_venv = succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]));
    need(if has_venv { &[] } else { &["python3", "python3-venv"] })?;
    let environment = to.join("python");
    let python = environment.join("bin/python");
    if !succeeds(Command::new(&python).args(["-c", "import pip"])) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(pip).arg(from.join("requirements.txt")))
}

fn install_node(from: &Path, to: &Path) -> Result<()> {
    let missing: Vec<&str> = [("node", "nodejs"), ("npm", "npm")]
        .into_iter()
        .filter(|(name, _)| find_program(name).is_none())
        .map(|it| it.1)
        .collect();
    need(&missing)?;
    let directory = to.join("node");
    fs::create_dir_all(&directory)?;
    fs::copy(from.join("package.json"), directory.join("package.json"))?;
    let npm = ["install", "--silent", "--no-package-lock", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(npm).current_dir(directory))
}

fn build_rust(from: &Path, to: &Path) -> Result<()> {
    let mut cargo = host_cargo("build");
    cargo.args(["--quiet", "--locked", "--manifest-path"]).arg(from.join("redis-rs/Cargo.toml"));
    run(cargo.arg("--target-dir").arg(to.join("redis-rs")))
}

/// Installs Debian's packages.
fn need(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if let Err(reason) = apt::may_install() {
        bail!("{reason}; type this, and start again:\n\n    {}\n", apt::command_to_type(packages));
    }
    apt::install(packages)
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|it| it.success())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed (its messages are above)");
    }
    Ok(())
}
