//! Debian's packages, fetched and unpacked once, in `target/linux`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::modules;
use crate::output::say;
use crate::setup::apt;
use crate::workspace;

/// The package that depends on the kernel.
const PACKAGE: &str = "linux-image-amd64";
/// What is not built into the kernel and machines have to be able to: NVDIMMs, as disks and as memory, ext4 on them and
/// on files, and QEMU's network card.
const MODULES: [&str; 9] =
    ["nfit", "nd_pmem", "dax_pmem", "device_dax", "crc32c_generic", "ext4", "loop", "virtio_pci", "virtio_net"];
/// The program that makes file systems, and its libraries but the C library.
const FILE_SYSTEMS: [&str; 6] = ["e2fsprogs", "libblkid1", "libcom-err2", "libext2fs2", "libss2", "libuuid1"];
/// Redis and its libraries, down to the C library: it runs on any Linux.
const REDIS: [&str; 16] = [
    "redis-server",
    "redis-tools",
    "libatomic1",
    "libc6",
    "libcap2",
    "libgcc-s1",
    "libgcrypt20",
    "libgpg-error0",
    "libjemalloc2",
    "liblz4-1",
    "liblzf1",
    "liblzma5",
    "libssl3",
    "libstdc++6",
    "libsystemd0",
    "libzstd1",
];

/// Debian's kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The kernel as QEMU boots it.
    pub image: PathBuf,
    /// A directory with modules, which can be loaded in the order of their names.
    pub modules: PathBuf,
}

/// Debian's kernel.
///
/// # Errors
/// When it cannot be fetched or unpacked.
pub fn kernel() -> Result<Kernel> {
    let directory = made_once("kernel", &format!("{PACKAGE} {}", MODULES.join(" ")), |directory| {
        let package = apt::dependency(PACKAGE, "linux-image-")?;
        unpack(&[&package], directory)?;
        let boot: Vec<_> = fs::read_dir(directory.join("boot"))?.collect::<Result<_, _>>()?;
        let found = boot.iter().find(|entry| entry.file_name().to_string_lossy().starts_with("vmlinuz"));
        fs::rename(found.with_context(|| format!("{package} has no kernel"))?.path(), directory.join("vmlinuz"))?;
        modules::copy(directory, &MODULES, &directory.join("modules"))?;
        ["boot", "lib", "usr"].iter().try_for_each(|name| remove(&directory.join(name)))
    })
    .context("cannot get Debian's kernel")?;
    Ok(Kernel { image: directory.join("vmlinuz"), modules: directory.join("modules") })
}

/// A directory with Debian's Redis and all that it needs.
///
/// # Errors
/// When it cannot be fetched or unpacked.
pub fn redis() -> Result<PathBuf> {
    unpacked("redis", &REDIS)
}

/// A directory with Debian's `mke2fs` and all that it needs but the C library, which [`redis`] has.
///
/// # Errors
/// When it cannot be fetched or unpacked.
pub fn mke2fs() -> Result<PathBuf> {
    unpacked("e2fsprogs", &FILE_SYSTEMS)
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
