//! The machine's tree of files.

use core::fmt;

use super::archive::{ArchiveError, entries};
use super::{Error, Tree};
use crate::drivers::entropy;
use crate::sync::class;
use crate::task::Mutex;
use crate::unix_time::UnixTime;
use crate::{mm, time};

/// `None` only before [`init`], when nobody asks yet.
static TREE: Mutex<Option<Tree>, class::Files> = Mutex::new(None);

/// What `std::env::temp_dir` names on this target, and no program makes for itself.
const TEMPORARY: &[u8] = b"/tmp";
const DEVICES: &[u8] = b"/dev";

/// Why the host's files cannot be used.
#[derive(Debug)]
pub enum InitError<'a> {
    /// The archive is damaged.
    Archive(ArchiveError),
    /// This one cannot be added.
    File(&'a [u8], Error),
}

impl fmt::Display for InitError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(error) => write!(f, "the boot loader's module is no archive of files: {error}"),
            Self::File(path, error) => write!(f, "the host's file {}: {error}", path.escape_ascii()),
        }
    }
}

/// Makes the tree, with a directory for temporary files, the usual devices and the files in the host's archive. What
/// the program writes may take half of the RAM that is free now, as on Linux's tmpfs.
pub fn init(archive: &'static [u8]) -> Result<(), InitError<'static>> {
    let now = time::wall_clock();
    let mut tree = Tree::new(usize::try_from(mm::free_bytes() / 2).unwrap_or(usize::MAX), now);
    for entry in entries(archive) {
        let entry = entry.map_err(InitError::Archive)?;
        if !entry.is_directory {
            let modified = UnixTime::from_secs(entry.modified.into());
            let added = tree.add_host_file(entry.path, entry.bytes, modified, now);
            added.map_err(|error| InitError::File(entry.path, error))?;
        }
    }
    match tree.make_directory(TEMPORARY, 0o777, now) {
        // The host may have put its own there.
        Ok(()) | Err(Error::Exists) => {}
        Err(error) => return Err(InitError::File(TEMPORARY, error)),
    }
    tree.add_devices(entropy::fill, now).map_err(|error| InitError::File(DEVICES, error))?;
    *TREE.lock() = Some(tree);
    Ok(())
}

/// Works on the tree; the second argument is what the wall clock shows.
pub fn with<R>(work: impl FnOnce(&mut Tree, UnixTime) -> R) -> R {
    let now = time::wall_clock();
    let mut tree = TREE.lock();
    work(tree.get_or_insert_with(|| Tree::new(0, now)), now)
}
