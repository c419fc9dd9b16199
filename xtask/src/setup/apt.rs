//! Debian's packages.

use std::path::Path;
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

/// Fetches `packages` into a directory without installing them, after fetching the package lists when that helps.
///
/// # Errors
/// When they cannot be fetched; the message says why.
pub fn download(packages: &[&str], directory: &Path) -> Result<()> {
    with_lists(|| {
        let mut apt_get = Command::new("apt-get");
        apt_get.args(["--quiet", "download"]).args(packages).current_dir(directory);
        output(&mut apt_get).map(drop)
    })
}

/// The package that `package` depends on and whose name starts with `prefix`.
///
/// # Errors
/// When apt knows none.
pub fn dependency(package: &str, prefix: &str) -> Result<String> {
    with_lists(|| {
        let text = output(Command::new("apt-cache").args(["depends", package]))?;
        parse_dependency(&text, prefix).with_context(|| format!("{package} depends on no {prefix}"))
    })
}

/// Runs `ask`, and once more with new package lists if it fails and those can be fetched.
fn with_lists<T>(ask: impl Fn() -> Result<T>) -> Result<T> {
    ask().or_else(|error| match may_install() {
        Ok(()) => {
            say("setup: apt-get update, and once more");
            apt_get(&["update"])?;
            ask()
        }
        Err(reason) => Err(error.context(format!("cannot fetch package lists either: {reason}"))),
    })
}

/// The dependency with this prefix in what `apt-cache depends` prints.
fn parse_dependency(text: &str, prefix: &str) -> Option<String> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.filter(|name| name.starts_with(prefix)).map(str::to_owned).next()
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
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

    #[test]
    fn a_dependency_is_found_by_how_its_name_begins() {
        let text = "linux-image-amd64\n  Depends: firmware\n  Depends: linux-image-6.1.0-56-amd64\n";
        assert_eq!(parse_dependency(text, "linux-image-").as_deref(), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(parse_dependency("linux-image-amd64\n", "linux-image-"), None);
    }
}
