//! The archive in which the host hands files in: cpio's "newc" format, which the boot loader puts into memory as
//! Linux's initial RAM file system.
//!
//! A boot loader that knows PVH has loaded it before the first instruction, so no driver is needed, there is no limit
//! of names or of their lengths as with QEMU's fw_cfg, and the bytes are used where they are.

use core::fmt;

/// A file or a directory in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its path.
    pub path: &'a [u8],
    /// Whether it is a directory.
    pub is_directory: bool,
    /// When the host wrote it, in seconds since 1970.
    pub modified: u32,
    /// A file's bytes.
    pub bytes: &'a [u8],
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveError {
    /// There is no header of this format at this offset.
    NoHeader(usize),
    /// The entry at this offset goes on after the end.
    Truncated(usize),
    /// The name of the entry at this offset does not end with a zero byte.
    BadName(usize),
    /// The entry at this offset is neither a file nor a directory.
    BadKind(usize),
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader(at) => write!(f, "at offset {at} is no header of a cpio archive (newc)"),
            Self::Truncated(at) => write!(f, "the entry at offset {at} goes on after the archive's end"),
            Self::BadName(at) => write!(f, "the name of the entry at offset {at} does not end"),
            Self::BadKind(at) => write!(f, "the entry at offset {at} is neither a file nor a directory"),
        }
    }
}

const MAGIC: &[u8] = b"070701";
/// The header: the magic, and 13 numbers of 8 hexadecimal digits.
const HEADER: usize = 6 + 13 * 8;
/// Places among the numbers.
const MODE: usize = 1;
const MODIFIED: usize = 5;
const SIZE: usize = 6;
const NAME_SIZE: usize = 11;
/// The name of what comes after the last entry.
const TRAILER: &[u8] = b"TRAILER!!!";

/// The entries of an archive, in order; the last one is an error if the archive is damaged. No bytes are an archive of
/// nothing.
pub fn entries(archive: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, ArchiveError>> {
    let mut at = (!archive.is_empty()).then_some(0);
    core::iter::from_fn(move || {
        let begin = at.take()?;
        match entry(archive, begin) {
            Ok(Some((entry, next))) => {
                at = Some(next);
                Some(Ok(entry))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    })
}

/// The entry at an offset and where the next one begins; `None` at the archive's end.
fn entry(archive: &[u8], begin: usize) -> Result<Option<(Entry<'_>, usize)>, ArchiveError> {
    let part = |from: usize, length: usize| {
        from.checked_add(length).and_then(|end| archive.get(from..end)).ok_or(ArchiveError::Truncated(begin))
    };
    let header = part(begin, HEADER).map_err(|_| ArchiveError::NoHeader(begin))?;
    let number = |place: usize| {
        let digits = str::from_utf8(&header[6 + place * 8..][..8]).ok().filter(|digits| !digits.starts_with('+'));
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(ArchiveError::NoHeader(begin))
    };
    if !header.starts_with(MAGIC) {
        return Err(ArchiveError::NoHeader(begin));
    }
    let (mode, size, name_size) = (number(MODE)?, number(SIZE)? as usize, number(NAME_SIZE)? as usize);
    let name = part(begin + HEADER, name_size)?;
    let [path @ .., 0] = name else { return Err(ArchiveError::BadName(begin)) };
    if path == TRAILER {
        return Ok(None);
    }
    // Names and contents are filled up to a multiple of four bytes.
    let data = (begin + HEADER + name_size).next_multiple_of(4);
    let bytes = part(data, size)?;
    let is_directory = match mode & hermit_abi::S_IFMT {
        hermit_abi::S_IFREG => false,
        hermit_abi::S_IFDIR => true,
        _ => return Err(ArchiveError::BadKind(begin)),
    };
    Ok(Some((Entry { path, is_directory, modified: number(MODIFIED)?, bytes }, (data + size).next_multiple_of(4))))
}
