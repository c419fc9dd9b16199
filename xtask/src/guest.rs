//! Builds guest images: one cargo build each, std included.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::setup::toolchain::Toolchain;
use crate::workspace;

/// The variable that tells the tests where the guest images are.
pub const IMAGES_VARIABLE: &str = "HOLDFAST_IMAGES";

/// Builds the guest programs of `packages` and returns the directory that their images are in, each under the name of
/// its binary. Cargo's own progress and errors are shown as they come; with nothing changed this takes a second.
///
/// # Errors
/// When cargo cannot be run or the build fails.
pub fn build(toolchain: &Toolchain, packages: &[&str]) -> Result<PathBuf> {
    let mut command = toolchain.guest_cargo("build");
    command.arg("--release");
    for package in packages {
        command.args(["--package", package]);
    }
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !status.success() {
        bail!("the guest did not build (cargo's messages are above)");
    }
    Ok(workspace::guest_image_directory())
}

/// The image of the guest program `name`, for a test that boots it.
///
/// # Errors
/// When `HOLDFAST_IMAGES` does not name a directory with that image: the test was not started by `cargo xtask test`.
pub fn image(name: &str) -> Result<PathBuf> {
    let directory = std::env::var_os(IMAGES_VARIABLE).with_context(|| {
        format!(
            "{IMAGES_VARIABLE} is not set: run the tests that boot images by `cargo xtask test`, \
             which builds the images first"
        )
    })?;
    let image = PathBuf::from(directory).join(name);
    if !image.is_file() {
        bail!("there is no guest image {}: `cargo xtask test` builds them all", image.display());
    }
    Ok(image)
}
