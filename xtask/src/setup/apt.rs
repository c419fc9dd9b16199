//! Debian's packages.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::toolchain::find_program;

use crate::output::say;

/// Whether this process may install packages.
///
/// # Errors
/// The reason why it may not, for people.
pub fn may_install() -> Result<(), &'static str> {
    if find_program("apt-get").is_none() {
        return Err("this system has no apt-get");
    }
    if !rustix::process::geteuid().is_root() {
        return Err("only root may install packages");
    }
    Ok(())
}

/// The command that a person types to install `packages`.
pub fn command_to_type(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Installs `packages`, after fetching the package lists when apt does not know them all.
///
/// # Errors
/// When apt-get fails; its messages have been shown.
pub fn install(packages: &[&str]) -> Result<()> {
    if !packages.iter().all(|package| has_candidate(package)) {
        say("setup: apt-get update");
        apt_get(&["update"])?;
    }
    say(format_args!("setup: apt-get install {}", packages.join(" ")));
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&arguments).or_else(|_| {
        // The lists may be older than the archive: what they name is gone then.
        say("setup: apt-get update, and once more");
        apt_get(&["update"])?;
        apt_get(&arguments)
    })
}

/// Whether apt knows a version of `package` that it could fetch.
fn has_candidate(package: &str) -> bool {
    let shown = Command::new("apt-cache").args(["show", package]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    shown.is_ok_and(|status| status.success())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(["--quiet", "--option", "DPkg::Lock::Timeout=120"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("cannot run apt-get")?;
    if !status.success() {
        bail!("`apt-get {}` failed (its messages are above)", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_type_is_one_line_with_every_package() {
        let command = command_to_type(&["qemu-system-x86", "lld"]);
        assert_eq!(command, "sudo apt-get install --no-install-recommends qemu-system-x86 lld");
    }
}
