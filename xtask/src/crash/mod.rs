//! `cargo xtask crash`: builds the guest programs, with a planted defect if one is asked for, and hands over to the
//! program that boots, records and explores.

mod plants;

use anyhow::{Context, Result};

pub use plants::{PLANTED_VARIABLE, Plant, build as build_plants};

use crate::apps;
use crate::cargo::{BOOTING_TESTS, host_cargo};
use crate::guest::{self, IMAGES_VARIABLE, Profile};
use crate::setup::{self, toolchain::Choice};

/// The program, a binary of the package that boots images.
const PROGRAM: &str = "crash";

/// Runs the exploration that `arguments` ask for and returns its exit status: 0 if nothing was found, 1 if something
/// was.
///
/// # Errors
/// When something is missing that cannot be installed from here, or the programs do not build.
pub fn crash(arguments: &[String], choice: Choice) -> Result<u8> {
    let toolchain = setup::ensure(choice, &[setup::QEMU])?;
    let images = guest::build(&toolchain, &apps::image_packages()?, Profile::Quick)?;
    let mut cargo = host_cargo("run");
    // Images are opened by the ten thousand: optimised code pays at once.
    cargo.args(["--quiet", "--profile=quick", "--package", BOOTING_TESTS, "--bin", PROGRAM, "--"]);
    if let Some(plant) = planted(arguments)? {
        cargo.env(PLANTED_VARIABLE, plants::build(&toolchain, &[plant])?);
    }
    let status = cargo.args(arguments).env(IMAGES_VARIABLE, images).status().context("cannot run cargo")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The defect that the arguments ask for. What else is wrong with them, the program says.
fn planted(arguments: &[String]) -> Result<Option<Plant>> {
    let mut arguments = arguments.iter().map(String::as_str);
    let argument = arguments.find(|argument| *argument == "--plant" || argument.starts_with("--plant="));
    let name = argument.and_then(|argument| argument.strip_prefix("--plant=").or_else(|| arguments.next()));
    name.map(|name| Plant::find("kvstore", name)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_planted_defect_is_found_among_the_arguments() {
        let planted = |line: &str| {
            let plant = planted(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
            plant.map(|plant| plant.map(|plant| plant.defect.name)).map_err(|error| error.to_string())
        };
        assert_eq!(planted("--seed 1 --plant fence --images 7"), Ok(Some("fence".into())));
        assert_eq!(planted("--plant=write-back"), Ok(Some("write-back".into())));
        assert_eq!(planted("--seed 1"), Ok(None));
        assert_eq!(planted("--plant"), Ok(None));
        let error = "kvstore has no defect `all`; there are: fence, reply, write-back";
        assert_eq!(planted("--plant all"), Err(error.into()));
    }
}
