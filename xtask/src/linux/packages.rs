//! Debian's packages, fetched and unpacked once, in `target/linux`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::output::say;
use crate::setup::apt;
use crate::workspace;

/// The package that depends on the kernel.
const KERNEL: &str = "linux-image-amd64";

/// Debian's kernel, as QEMU boots it.
///
/// # Errors
/// When it cannot be fetched or unpacked.
pub fn kernel() -> Result<PathBuf> {
    let directory = made_once("kernel", KERNEL, |directory| {
        let image = apt::dependency(KERNEL, "linux-image-")?;
        unpack(&[&image], directory)?;
        let boot: Vec<_> = fs::read_dir(directory.join("boot"))?.collect::<Result<_, _>>()?;
        let found = boot.iter().find(|entry| entry.file_name().to_string_lossy().starts_with("vmlinuz"));
        fs::rename(found.with_context(|| format!("{image} has no kernel"))?.path(), directory.join("vmlinuz"))?;
        for name in ["boot", "lib", "usr"] {
            remove(&directory.join(name))?;
        }
        Ok(())
    })
    .context("cannot get Debian's kernel")?;
    Ok(directory.join("vmlinuz"))
}

/// A directory with what these packages have but documentation and settings; `name` is what people call them together.
///
/// # Errors
/// When they cannot be fetched or unpacked.
pub fn unpacked(name: &str, packages: &[&str]) -> Result<PathBuf> {
    made_once(name, &packages.join(" "), |directory| {
        unpack(packages, directory)?;
        ["usr/share", "var", "etc"].iter().try_for_each(|name| remove(&directory.join(name)))
    })
    .with_context(|| format!("cannot get Debian's packages of {name}"))
}

/// The directory `name` in `target/linux`, which `make` fills if it is not there yet, or was made of something else.
fn made_once(name: &str, of: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let all = workspace::target_directory().join("linux");
    fs::create_dir_all(&all)?;
    // One process at a time; the lock goes with the file.
    let lock = File::create(all.join("lock"))?;
    lock.lock().context("cannot lock target/linux")?;
    let directory = all.join(name);
    let complete = directory.join("complete");
    if !fs::read_to_string(&complete).is_ok_and(|made_of| made_of == of) {
        remove(&directory)?;
        fs::create_dir(&directory)?;
        make(&directory)?;
        fs::write(complete, of)?;
    }
    Ok(directory)
}

/// Fetches packages and unpacks all of them into one directory.
fn unpack(packages: &[&str], directory: &Path) -> Result<()> {
    say(format_args!("fetching Debian's {}", packages.join(", ")));
    let fetched = directory.join("packages");
    fs::create_dir(&fetched)?;
    apt::download(packages, &fetched)?;
    for entry in fs::read_dir(&fetched)? {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg("-x").arg(entry?.path()).arg(directory);
        let output = dpkg.output().context("cannot run dpkg")?;
        if !output.status.success() {
            bail!("{dpkg:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    remove(&fetched)
}

/// Removes a directory, if it is there.
fn remove(directory: &Path) -> Result<()> {
    if directory.is_dir() {
        fs::remove_dir_all(directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(())
}
