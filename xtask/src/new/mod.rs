//! `cargo xtask new NAME`: a program under `apps/` to start from.
//!
//! It is made from `template/`: a server with a number in a pool, a test, and what `cargo xtask run` has to know.
//! Nothing else has to be told of it, for the workspace's members are `apps/*`, and so is what `run`, `test` and
//! `check` look at.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What a program begins with: files under its directory. `{{name}}` stands for its name.
const TEMPLATE: [(&str, &str); 2] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.template")),
    ("src/main.rs", include_str!("template/main.rs.template")),
];
/// The longest name.
const LONGEST_NAME: usize = 32;
/// Names that cargo or the language keep for themselves, or that would be confused with theirs.
const RESERVED: [&str; 16] = [
    "alloc",
    "app",
    "apps",
    "bench",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "new",
    "panic-abort",
    "proc-macro",
    "std",
    "sysroot",
    "target",
    "test",
];

/// Makes the program `name` in the workspace at `root`, and returns its directory.
///
/// # Errors
/// When the name cannot be used, or something cannot be written. Then nothing is left behind.
pub fn create(root: &Path, name: &str) -> Result<PathBuf> {
    check_name(name)?;
    let directory = root.join("apps").join(name);
    if directory.symlink_metadata().is_ok() {
        bail!("apps/{name} exists already; it was left as it is");
    }
    if let Some(what) = taken(root)?.get(name) {
        bail!("`{name}` is the name of a {what} of this workspace; choose another one");
    }
    let made = write(&directory, name).and_then(|()| update_lock_file(root));
    if let Err(error) = made {
        // The first error is the one to tell.
        let _ = fs::remove_dir_all(&directory);
        return Err(error);
    }
    Ok(directory)
}

/// Checks that a name is one for a directory, a package and a program alike.
fn check_name(name: &str) -> Result<()> {
    let ends_well = name.ends_with(|last: char| last.is_ascii_lowercase() || last.is_ascii_digit());
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && ends_well
        && !name.contains("--")
        && name
            .chars()
            .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-');
    if !is_plain {
        bail!(
            "`{name}` cannot be a name: it is made of a-z, 0-9 and single dashes, begins with a letter and does not end with a dash"
        );
    }
    if name.len() > LONGEST_NAME {
        bail!("`{name}` is too long for a name: it may have {LONGEST_NAME} characters");
    }
    if RESERVED.contains(&name) {
        bail!("`{name}` means something to cargo or to Rust; choose another name");
    }
    Ok(())
}

/// The names that cargo would confuse a new package or its program with, and what has them.
fn taken(root: &Path) -> Result<BTreeMap<String, &'static str>> {
    let metadata: Value =
        serde_json::from_slice(&metadata(root, &["--no-deps"])?).context("cargo metadata says no JSON")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.filter_map(|package| package["targets"].as_array()).flatten();
    let is_program =
        |target: &&Value| target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"));
    let programs = targets.filter(is_program).filter_map(|target| target["name"].as_str());
    let lock_file = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let locked = lock_file.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    // To cargo an underscore and a dash are one.
    let mut taken: BTreeMap<_, _> = programs.map(|name| (name.replace('_', "-"), "program")).collect();
    taken.extend(locked.map(|name| (name.replace('_', "-"), "package")));
    Ok(taken)
}

fn write(directory: &Path, name: &str) -> Result<()> {
    for (file, text) in TEMPLATE {
        let path = directory.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        fs::write(&path, text.replace("{{name}}", name)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Lets cargo note the new member. What else is in the lock file stays as it is.
fn update_lock_file(root: &Path) -> Result<()> {
    metadata(root, &[]).map(drop)
}

fn metadata(root: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args(["metadata", "--format-version", "1"])
        .args(arguments)
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo does not understand the workspace: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use crate::workspace;

    use super::*;

    fn refusal(name: &str) -> String {
        let error = create(workspace::root(), name).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")) || error.contains(&format!("apps/{name} ")), "{error}");
        error
    }

    #[test]
    fn names_that_cannot_be_used_are_refused_with_the_reason() {
        for name in ["", "Hello", "1st", "-a", "a-", "a--b", "a_b", "../x", "a/b", "grüße", "a b", "."] {
            assert!(refusal(name).contains("cannot be a name"), "{name}");
        }
        assert!(refusal(&"a".repeat(33)).contains("too long"));
        for name in RESERVED {
            assert!(refusal(name).contains("means something"), "{name}");
        }
        assert!(refusal("hello").contains("exists already"));
        for (name, what) in [
            ("pmem", "package"),
            ("xtask", "package"),
            ("smoltcp", "package"),
            ("stray", "program"),
            ("std-suite", "program"),
        ] {
            assert!(refusal(name).contains(&format!("the name of a {what}")), "{name}");
        }
        assert!(!workspace::apps_directory().join("pmem").exists());
    }

    #[test]
    fn nothing_is_left_behind_where_cargo_does_not_take_it() {
        let root = tempfile::tempdir().unwrap();
        // A workspace without what the template inherits.
        fs::write(root.path().join("Cargo.toml"), "[workspace]\nmembers = [\"apps/*\"]\nresolver = \"3\"\n").unwrap();
        fs::write(root.path().join("Cargo.lock"), "version = 4\n").unwrap();
        let error = create(root.path(), "fresh").unwrap_err().to_string();
        assert!(error.contains("cargo does not understand"), "{error}");
        assert!(!root.path().join("apps/fresh").exists());
    }
}
