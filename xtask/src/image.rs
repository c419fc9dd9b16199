//! The file behind an NVDIMM: made sparse, checked, and locked as long as anyone uses it.
//!
//! The lock is a `flock` on the open file. QEMU inherits that open file (see [`crate::qemu`]), so the image stays
//! locked until the last of both is gone, even if xtask is killed. The kvstore that runs on the host takes the same
//! lock.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use pmem::device::Shortage;

use crate::output::say;
use crate::size::{self, MIB};
use crate::workspace;

/// Sizes are multiples of this: libos maps pmem by pages of 2 MiB or more.
pub const ALIGNMENT: u64 = 2 * MIB;
/// The smallest image: a pool of 31 segments.
pub const SMALLEST: u64 = ALIGNMENT;

/// The largest image: with RAM and what QEMU needs, addresses keep to the 46 bits of page tables of four levels.
const LARGEST: u64 = 32 << 40;

/// An image that this process has locked.
#[derive(Debug)]
pub struct PmemImage {
    path: PathBuf,
    length: u64,
    lock: File,
    is_new: bool,
}

/// An image that has just been made, and is removed again unless something comes to use it.
#[derive(Debug)]
pub struct Provisional(Option<(PathBuf, Identity)>);

/// A file's device and its number there.
type Identity = (u64, u64);

fn identity_of(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

impl Provisional {
    /// The image is used, and stays.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Provisional {
    fn drop(&mut self) {
        if let Some((path, identity)) = &self.0
            && path.metadata().is_ok_and(|metadata| identity_of(&metadata) == *identity)
        {
            // It is empty, and there is a more important error to tell.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl PmemImage {
    /// Opens and locks the image at `path`.
    ///
    /// With a `size` a file that does not exist is created with it; one that exists has to be of that size.
    ///
    /// # Errors
    /// When there is no file and no size, the size is contradictory, misaligned or too small, or the image is in use.
    pub fn open(path: &Path, size: Option<u64>) -> Result<Self> {
        if let Some(size) = size {
            check_size(size).and_then(|()| check_largest(size)).context("bad size for the image")?;
        }
        match path.metadata() {
            Ok(metadata) if !metadata.is_file() => {
                bail!("the image {} is not a regular file", workspace::display(path))
            }
            Ok(metadata) => Self::open_existing(path, metadata.len(), size),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => match size {
                Some(size) => Self::create(path, size),
                None => {
                    bail!("there is no image {}; to create it, say how large: --pmem-size 1G", workspace::display(path))
                }
            },
            Err(error) => Err(error).with_context(|| format!("cannot look at the image {}", workspace::display(path))),
        }
    }

    /// Opens the image of this name that `run` uses by default, and creates it with `default_size` when it is not there
    /// yet and no other size is asked for.
    ///
    /// # Errors
    /// As [`PmemImage::open`].
    pub fn open_default(name: &str, size: Option<u64>, default_size: u64) -> Result<Self> {
        let path = workspace::default_image(name);
        let size = if path.exists() { size } else { size.or(Some(default_size)) };
        Self::open(&path, size)
    }

    fn open_existing(path: &Path, length: u64, size: Option<u64>) -> Result<Self> {
        let name = workspace::display(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| format!("cannot open the image {name}"))?;
        lock(&file, &name)?;
        if let Some(size) = size.filter(|&size| size != length) {
            bail!(
                "the image {name} has {} ({length} bytes), but --pmem-size says {} ({size} bytes); \
                 leave --pmem-size out, name another file with --pmem, or make a pool larger with `cargo xtask pool grow`",
                size::display(length),
                size::display(size),
            );
        }
        check_size(length).and_then(|()| check_largest(length)).with_context(|| {
            format!(
                "the image {name} cannot be used as it is; name another file with --pmem, or move it \
                 away to have a new one created"
            )
        })?;
        Ok(Self { path: path.to_owned(), length, lock: file, is_new: false })
    }

    fn create(path: &Path, size: u64) -> Result<Self> {
        let name = workspace::display(path);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot create the directory of the image {name}"))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .with_context(|| format!("cannot create the image {name}"))?;
        lock(&file, &name)?;
        // Sparse: the file takes room on the disk as data comes in.
        if let Err(error) = file.set_len(size) {
            // An image of no size would only be in the way of the next attempt; the first error is the one to tell.
            let _ = std::fs::remove_file(path);
            return Err(error).with_context(|| format!("cannot make the image {name} {} large", size::display(size)));
        }
        say(format_args!("created {name} ({}, sparse)", size::display(size)));
        Ok(Self { path: path.to_owned(), length: size, lock: file, is_new: true })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What removes the image again if it is new and nothing comes to use it.
    pub fn provisional(&self) -> Provisional {
        let identity = self.lock.metadata().ok().filter(|_| self.is_new).map(|metadata| identity_of(&metadata));
        Provisional(identity.map(|identity| (self.path.clone(), identity)))
    }

    /// What the disk under the image lacks, if anything.
    pub fn shortage(&self) -> Option<Shortage> {
        Shortage::of(&self.lock).ok().flatten()
    }

    /// The image's length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The open file that holds the lock.
    pub(crate) fn lock_file(&self) -> &File {
        &self.lock
    }
}

impl Drop for PmemImage {
    /// Gives the lock back. Closing the file alone would not do it at once: a process that another thread has just
    /// forked has a copy of every open file until it executes its program.
    fn drop(&mut self) {
        // Where that fails, the lock goes with the last copy.
        let _ = self.lock.unlock();
    }
}

fn lock(file: &File, name: &str) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "the image {name} is in use by another QEMU or kvstore; stop that one first, or name another file with --pmem"
            )
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock the image {name}")),
    }
}

fn check_largest(size: u64) -> Result<()> {
    if size > LARGEST {
        bail!("{} are too large: a machine takes at most {}", size::display(size), size::display(LARGEST));
    }
    Ok(())
}

/// Checks that a pool's image can be of this size.
pub(crate) fn check_size(size: u64) -> Result<()> {
    if size == 0 {
        bail!("an empty image is too small: at least {} are needed", size::display(SMALLEST));
    }
    if size < SMALLEST {
        bail!("{size} bytes are too small: at least {} are needed", size::display(SMALLEST));
    }
    if !size.is_multiple_of(ALIGNMENT) {
        let less = size / ALIGNMENT * ALIGNMENT;
        bail!(
            "{size} bytes are not a multiple of {}; the next ones are {less} and {}",
            size::display(ALIGNMENT),
            less.saturating_add(ALIGNMENT)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: Result<PmemImage>) -> String {
        format!("{:#}", result.unwrap_err())
    }

    #[test]
    fn a_new_image_is_sparse_and_of_the_size_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/pmem0.img");
        let image = PmemImage::open(&path, Some(64 * MIB)).unwrap();
        assert_eq!(image.length(), 64 * MIB);
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.len(), 64 * MIB);
        assert!(metadata.blocks() * 512 < MIB);
    }

    #[test]
    fn an_existing_image_keeps_its_size_and_a_contradiction_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pmem0.img");
        drop(PmemImage::open(&path, Some(64 * MIB)).unwrap());
        assert_eq!(PmemImage::open(&path, None).unwrap().length(), 64 * MIB);
        assert_eq!(PmemImage::open(&path, Some(64 * MIB)).unwrap().length(), 64 * MIB);
        let error = message(PmemImage::open(&path, Some(128 * MIB)));
        assert!(error.contains("64.0 MiB") && error.contains("--pmem-size"), "{error}");
        assert_eq!(path.metadata().unwrap().len(), 64 * MIB);
    }

    #[test]
    fn a_new_image_that_nothing_came_to_use_is_removed_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pmem0.img");
        let unused = PmemImage::open(&path, Some(SMALLEST)).unwrap().provisional();
        drop(unused);
        assert!(!path.exists());
        PmemImage::open(&path, Some(SMALLEST)).unwrap().provisional().keep();
        drop(PmemImage::open(&path, None).unwrap().provisional());
        assert!(path.exists());
    }

    #[test]
    fn another_file_in_the_place_of_a_new_image_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pmem0.img");
        let unused = PmemImage::open(&path, Some(SMALLEST)).unwrap().provisional();
        std::fs::rename(&path, directory.path().join("moved.img")).unwrap();
        std::fs::write(&path, "another's").unwrap();
        drop(unused);
        assert_eq!(std::fs::read(&path).unwrap(), b"another's");
    }

    #[test]
    fn a_missing_image_without_a_size_is_an_error_that_says_how_to_create_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none.img");
        let error = message(PmemImage::open(&path, None));
        assert!(error.contains("none.img") && error.contains("--pmem-size"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn an_image_in_use_is_refused_and_free_again_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pmem0.img");
        let first = PmemImage::open(&path, Some(SMALLEST)).unwrap();
        let error = message(PmemImage::open(&path, None));
        assert!(error.contains("in use"), "{error}");
        drop(first);
        assert!(PmemImage::open(&path, None).is_ok());
    }

    #[test]
    fn the_lock_goes_with_the_image_even_if_a_fork_still_has_a_copy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pmem0.img");
        let image = PmemImage::open(&path, Some(SMALLEST)).unwrap();
        let _copy = image.lock_file().try_clone().unwrap();
        drop(image);
        assert!(PmemImage::open(&path, None).is_ok());
    }

    #[test]
    fn empty_small_misaligned_and_too_large_images_are_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        for (length, word) in [(0, "empty"), (MIB, "too small"), (SMALLEST + MIB, "multiple")] {
            let path = directory.path().join("odd.img");
            File::create(&path).unwrap().set_len(length).unwrap();
            let error = message(PmemImage::open(&path, None));
            assert!(error.contains(word) && error.contains("--pmem"), "{error}");
            assert_eq!(path.metadata().unwrap().len(), length);
        }
        for (size, word) in [(SMALLEST + 1, "multiple"), (LARGEST + SMALLEST, "a machine takes at most 32.0 TiB")] {
            let error = message(PmemImage::open(&directory.path().join("new.img"), Some(size)));
            assert!(error.contains(word), "{error}");
        }
        assert!(!directory.path().join("new.img").exists());
    }

    #[test]
    fn a_directory_is_no_image() {
        let directory = tempfile::tempdir().unwrap();
        assert!(message(PmemImage::open(directory.path(), None)).contains("regular file"));
    }
}
