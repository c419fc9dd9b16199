//! Where things are: the checkout, cargo's output, the default images; and how guest code is compiled.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};

/// The target triple of every guest image.
pub const GUEST_TARGET: &str = "x86_64-unknown-hermit";

/// Files that together only a checkout's root has.
const LANDMARKS: [&str; 3] = ["Cargo.toml", "xtask/Cargo.toml", "libos/image.ld"];

/// Where this process runs, not where it was compiled: a checkout that was copied with its times has a program that
/// cargo takes for up to date, and that was compiled in the original.
static ROOT: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    // Cargo says whose package it runs; a person may have started the program by its path.
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    [package, env::current_dir().ok(), env::current_exe().ok()].into_iter().flatten().find_map(|place| find(&place))
});

/// The root of the checkout that this process works on: the one that cargo runs in, else the one that it was started
/// in; in none, the current directory. [`check_root`] tells.
pub fn root() -> &'static Path {
    ROOT.as_deref().unwrap_or(Path::new("."))
}

/// Looks whether there is a checkout to work on.
///
/// # Errors
/// When this process runs in none.
pub fn check_root() -> Result<()> {
    ROOT.as_ref().map(drop).context("this is no checkout of Holdfast; change to one, and call cargo xtask there")
}

/// The root of the checkout that `place` is in.
fn find(place: &Path) -> Option<PathBuf> {
    let is_root = |directory: &&Path| LANDMARKS.iter().all(|name| directory.join(name).is_file());
    place.ancestors().find(is_root).map(Path::to_owned)
}

/// Cargo's output directory for the host: `CARGO_TARGET_DIR`, or `target/` in the checkout.
pub fn target_directory() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        // Cargo takes a relative value from its working directory, which is the root in every command of xtask.
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// Where the sources that get planted defects are copied to. What is built there has its files' paths from there.
pub fn planted_source() -> PathBuf {
    target_directory().join("planted/source")
}

/// Cargo's output directory for the guest. It is one of its own, so that a guest build never waits for the lock of a
/// host build, and the other way round.
pub fn guest_target_directory() -> PathBuf {
    target_directory().join("guest")
}

/// Cargo's output directory for tests that run in the guest: other flags, other files.
pub fn guest_test_directory() -> PathBuf {
    target_directory().join("guest-tests")
}

/// The directory that a finished guest build with this profile leaves its images in.
pub fn guest_image_directory(profile: &str) -> PathBuf {
    guest_target_directory().join(GUEST_TARGET).join(profile)
}

/// The guest's flags for rustc, from the workspace's configuration: for a build that cannot take them from there.
pub(crate) fn guest_rustflags() -> Result<Vec<String>> {
    let text = fs::read_to_string(root().join(".cargo/config.toml"))?;
    let flags = text.split_once("rustflags = [").and_then(|(_, rest)| rest.split_once(']'));
    let (flags, _) = flags.context("there are no rustflags in .cargo/config.toml")?;
    Ok(flags.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Where the programs are that `run` runs.
pub fn apps_directory() -> PathBuf {
    root().join("apps")
}

/// The image of this name that `run` uses when the command line names none. It is outside `target/`, so `cargo clean`
/// never deletes data.
pub fn default_image(name: &str) -> PathBuf {
    root().join("var").join(name)
}

/// `path` as a person would write it: relative to the checkout where it lies inside.
pub fn display(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_flags_are_found() {
        let flags = guest_rustflags().unwrap();
        assert!(flags.contains(&"-Crelocation-model=static".to_owned()) && flags.len() >= 5, "{flags:?}");
    }
}
