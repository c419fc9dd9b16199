//! A program outside of this repository that depends on `pmem` by path, as its owner would build it: in a workspace of
//! its own, with the features that a program has if it chooses none. Only the versions of the dependencies are those of
//! this workspace, which are here already, so no network is needed.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// The program's source, from this workspace's root.
const SOURCE: &str = "pmem/tests/outside/program.rs";
/// Its name.
const NAME: &str = "outside";

/// Builds it, and returns where it is.
///
/// # Errors
/// When it cannot be written, or does not build.
pub(super) fn build() -> Result<PathBuf> {
    let package = package();
    let built = write(&package).context("cannot write the program outside").and_then(|()| run_cargo(&package));
    // What is left there is built from anew the next time.
    let _ = fs::remove_dir_all(&package);
    built
}

/// Its folder: not below this workspace's, whose settings it is not to have; and the same each time, for to cargo it
/// would be another package elsewhere.
fn package() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    workspace::root().hash(&mut hasher);
    std::env::temp_dir().join(format!("holdfast-{NAME}-{:016x}", hasher.finish()))
}

fn write(package: &Path) -> Result<()> {
    let root = workspace::root();
    fs::create_dir_all(package.join("src"))?;
    fs::write(package.join("Cargo.toml"), manifest(&root.join("pmem")))?;
    // Cargo takes out what the program does not need.
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock"))?;
    fs::copy(root.join(SOURCE), package.join("src/main.rs"))?;
    Ok(())
}

fn manifest(pmem: &Path) -> String {
    format!(
        "[workspace]\n\n[package]\nname = \"{NAME}\"\nedition = \"2024\"\n\n[dependencies]\npmem = {{ path = {pmem:?} }}\n"
    )
}

fn run_cargo(package: &Path) -> Result<PathBuf> {
    let target = workspace::target_directory();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(package).args(["build", "--offline", "--quiet"]).env("CARGO_TARGET_DIR", &target);
    if !cargo.status().context("cannot run cargo")?.success() {
        bail!("a program that depends on pmem by path does not build (cargo's messages are above)");
    }
    Ok(target.join("debug").join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_outside_names_pmem_and_chooses_nothing() {
        let manifest = manifest(Path::new("/a b/pmem"));
        assert!(manifest.starts_with("[workspace]\n"));
        assert!(manifest.ends_with("[dependencies]\npmem = { path = \"/a b/pmem\" }\n"), "{manifest}");
        assert!(!package().starts_with(workspace::root()));
    }
}
