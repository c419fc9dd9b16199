//! Files of the host's that the guest finds in its file system, read-only.
//!
//! They travel as an archive that QEMU loads with the image, as Linux's initial RAM file system (`-initrd`): any boot
//! loader for PVH can do that, names may be long, and there may be many. QEMU's fw_cfg takes about a dozen names of 55
//! bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};
use libos_contract::limits::LEAST_RAM;
use rustix::fs::OFlags;

use crate::cpio::Archive;
use crate::size::{self, MIB};
use crate::workspace;

/// What the guest takes for names and paths, as Linux does.
const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4095;

/// A file of the host's, and where the guest finds it: `GUEST=HOST` on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFile {
    /// Its path in the guest, without a slash at the beginning.
    guest: String,
    host: PathBuf,
}

impl HostFile {
    /// The file `host` under the path `guest`.
    ///
    /// # Errors
    /// When that is no path of a file.
    pub fn new(guest: &str, host: &Path) -> Result<Self> {
        let names: Vec<&str> = guest.split('/').filter(|name| !name.is_empty()).collect();
        ensure!(!names.is_empty() && !guest.ends_with('/'), "`{guest}` is no path of a file in the guest");
        for name in &names {
            ensure!(*name != "." && *name != "..", "`{guest}` has `{name}` in it; give the path in the guest as it is");
            ensure!(name.len() <= LONGEST_NAME, "`{name}` is longer than {LONGEST_NAME} bytes");
        }
        let guest = names.join("/");
        ensure!(
            guest.len() <= LONGEST_PATH && !guest.contains('\0'),
            "`{guest}` is no path: too long, or with a zero byte"
        );
        ensure!(guest != "TRAILER!!!", "`{guest}` is the one name that an archive cannot have");
        Ok(Self { guest, host: host.to_owned() })
    }

    /// Opens the file; its length.
    fn open(&self) -> Result<(File, u64)> {
        let name = workspace::display(&self.host);
        // A FIFO would wait for a writer.
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nonblocking)
            .open(&self.host)
            .with_context(|| format!("cannot open {name}, the guest's /{}", self.guest))?;
        let metadata = file.metadata()?;
        ensure!(!metadata.is_dir(), "{name} is a directory; name the files one by one");
        ensure!(metadata.is_file(), "{name} is no regular file");
        ensure!(
            u32::try_from(metadata.len()).is_ok(),
            "{name} has {}, and 4G is too much for an archive",
            size::display(metadata.len())
        );
        Ok((file, metadata.len()))
    }
}

impl FromStr for HostFile {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let Some((guest, host)) = word.split_once('=') else { bail!("`{word}` is not GUEST=HOST") };
        ensure!(!host.is_empty(), "`{word}` names no file of the host");
        Self::new(guest, Path::new(host))
    }
}

impl fmt::Display for HostFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{} = {}", self.guest, workspace::display(&self.host))
    }
}

/// Looks whether these files can be handed to a guest with so much RAM.
///
/// # Errors
/// When one is missing or cannot be read, two have the same path or one lies in another, or RAM does not suffice. What
/// the image takes beside them only the guest knows, and says.
pub fn check(files: &[HostFile], memory: u64) -> Result<()> {
    let mut paths = BTreeMap::new();
    let mut total = 0;
    for file in files {
        total += file.open()?.1;
        if let Some(other) = paths.insert(&file.guest, file) {
            bail!("the guest's /{} is given twice: {other} and {file}", file.guest);
        }
    }
    for file in files {
        let within = file.guest.match_indices('/').find_map(|(at, _)| paths.get(&file.guest[..at].to_owned()));
        if let Some(other) = within {
            bail!("the guest's /{} cannot be in /{}, which is a file too", file.guest, other.guest);
        }
    }
    if !files.is_empty() && total + LEAST_RAM > memory {
        bail!(
            "the guest's files have {}, and its RAM has {}; give it at least {} with --memory",
            size::display(total),
            size::display(memory),
            size::display((total + LEAST_RAM).next_multiple_of(MIB))
        );
    }
    Ok(())
}

/// Writes the archive with these files, which are as [`check`] wants them.
pub(super) fn write(files: &[HostFile], archive: File) -> Result<()> {
    let mut out = Archive::new(BufWriter::new(archive));
    for file in files {
        let (mut content, length) = file.open()?;
        let modified = u32::try_from(content.metadata()?.mtime()).unwrap_or(0);
        out.file(&file.guest, modified, length, &mut content)
            .with_context(|| format!("cannot put {} into the archive", workspace::display(&file.host)))?;
    }
    out.finish()?.flush().context("cannot write the archive of the guest's files")
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_word_is_a_path_in_the_guest_and_a_file_of_the_host() {
        let file: HostFile = "/etc//app/config=a=b".parse().unwrap();
        assert_eq!((file.guest.as_str(), file.host.as_path()), ("etc/app/config", Path::new("a=b")));
    }

    #[test]
    fn words_that_name_no_file_are_refused_with_a_reason() {
        let long = format!("{}=f", "x".repeat(256));
        let deep = format!("{}=f", "x/".repeat(2100) + "y");
        for (word, reason) in [
            ("config", "is not GUEST=HOST"),
            ("config=", "names no file of the host"),
            ("=f", "is no path of a file in the guest"),
            ("/=f", "is no path of a file in the guest"),
            ("etc/=f", "is no path of a file in the guest"),
            ("etc/../x=f", "has `..` in it"),
            ("./x=f", "has `.` in it"),
            (&long, "is longer than 255 bytes"),
            (&deep, "too long"),
            ("TRAILER!!!=f", "the one name that an archive cannot have"),
        ] {
            let error = word.parse::<HostFile>().unwrap_err().to_string();
            assert!(error.contains(reason), "{word}: {error}");
        }
    }

    #[test]
    fn files_that_cannot_be_handed_in_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("there");
        std::fs::write(&there, [7; 1000]).unwrap();
        let missing = directory.path().join("missing");
        let fifo = directory.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let file = |guest: &str, host: &Path| HostFile::new(guest, host).unwrap();
        check(&[file("a", &there), file("b/c", &there), file("b/d", &there)], 64 * MIB).unwrap();
        for (files, memory, reason) in [
            (vec![file("a", &missing)], 64 * MIB, "cannot open"),
            (vec![file("a", directory.path())], 64 * MIB, "is a directory"),
            (vec![file("a", Path::new("/dev/null"))], 64 * MIB, "is no regular file"),
            (vec![file("a", &fifo)], 64 * MIB, "fifo is no regular file"),
            (vec![file("a", &there), file("/a", &there)], 64 * MIB, "/a is given twice"),
            (vec![file("a/b/c", &there), file("a", &there)], 64 * MIB, "/a/b/c cannot be in /a"),
            (vec![file("a", &there)], 14 * MIB, "give it at least 15.0 MiB with --memory"),
        ] {
            let error = format!("{:#}", check(&files, memory).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
    }
}
