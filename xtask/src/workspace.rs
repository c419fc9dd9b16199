//! Where things are: the checkout, cargo's output, the default images.

use std::path::{Path, PathBuf};

/// The target triple of every guest image.
pub const GUEST_TARGET: &str = "x86_64-unknown-hermit";

/// The root of the checkout that this xtask was built from.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Cargo's output directory for the host: `CARGO_TARGET_DIR`, or `target/` in the checkout.
pub fn target_directory() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // Cargo takes a relative value from its working directory, which is the root in every command of xtask.
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
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
