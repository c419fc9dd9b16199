//! Builds guest images: one cargo build each, std included.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::setup::toolchain::Toolchain;
use crate::workspace;

/// The variable that tells the tests where the guest images are.
pub const IMAGES_VARIABLE: &str = "HOLDFAST_IMAGES";

/// The variable that tells the tests where the guest images of the checked build are.
pub const CHECKED_IMAGES_VARIABLE: &str = "HOLDFAST_CHECKED_IMAGES";

/// How guest programs are built: cargo's profiles of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Profile {
    /// As `run` boots them.
    #[default]
    Release,
    /// With debug assertions: libos checks its own rules (lock order, sleeping and allocating in the wrong place).
    Checked,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Checked => "checked",
        }
    }
}

/// Builds the guest programs of `packages` and returns the directory that their images are in, each under the name of
/// its binary. Cargo's own progress and errors are shown as they come; with nothing changed this takes a second.
///
/// # Errors
/// When cargo cannot be run or the build fails.
pub fn build(toolchain: &Toolchain, packages: &[impl AsRef<str>], profile: Profile) -> Result<PathBuf> {
    let mut command = toolchain.guest_cargo("build");
    command.args(["--profile", profile.name()]);
    for package in packages {
        command.args(["--package", package.as_ref()]);
    }
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !status.success() {
        bail!("the guest did not build (cargo's messages are above)");
    }
    Ok(workspace::guest_image_directory(profile.name()))
}

/// The image of the guest program `name`, for a test that boots it.
///
/// # Errors
/// When `HOLDFAST_IMAGES` does not name a directory with that image: the test was not started by `cargo xtask test`.
pub fn image(name: &str) -> Result<PathBuf> {
    image_of(name, IMAGES_VARIABLE)
}

/// The image of the checked build of the guest program `name`.
///
/// # Errors
/// As [`image`].
pub fn checked_image(name: &str) -> Result<PathBuf> {
    image_of(name, CHECKED_IMAGES_VARIABLE)
}

fn image_of(name: &str, variable: &str) -> Result<PathBuf> {
    let directory = std::env::var_os(variable).with_context(|| {
        format!(
            "{variable} is not set: run the tests that boot images by `cargo xtask test`, \
             which builds the images first"
        )
    })?;
    let image = PathBuf::from(directory).join(name);
    if !image.is_file() {
        bail!("there is no guest image {}: `cargo xtask test` builds them all", image.display());
    }
    Ok(image)
}
