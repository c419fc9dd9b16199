//! Directory listings in the form that `getdents64` returns.

/// What an entry is, as a listing says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A character device.
    Device,
    /// Not said: who wants to know asks for the metadata.
    Unknown,
}

impl FileType {
    fn number(self) -> u8 {
        match self {
            Self::File => hermit_abi::DT_REG,
            Self::Directory => hermit_abi::DT_DIR,
            Self::Device => hermit_abi::DT_CHR,
            Self::Unknown => hermit_abi::DT_UNKNOWN,
        }
    }
}

/// The bytes of a `dirent64` before its name: inode, offset, length of the record, type.
const HEADER: usize = core::mem::offset_of!(hermit_abi::dirent64, d_name);

/// Appends an entry to a listing; where the next one goes, or `None` if this one does not fit.
pub fn encode(into: &mut [u8], at: usize, inode: u64, file_type: FileType, name: &[u8]) -> Option<usize> {
    // The name ends with a zero, and the next record is aligned.
    let length = (HEADER + name.len() + 1).next_multiple_of(8);
    let end = at.checked_add(length)?;
    let record = into.get_mut(at..end)?;
    record.fill(0);
    record[..8].copy_from_slice(&inode.to_ne_bytes());
    record[8..16].copy_from_slice(&(end as i64).to_ne_bytes());
    record[16..18].copy_from_slice(&u16::try_from(length).ok()?.to_ne_bytes());
    record[18] = file_type.number();
    record[HEADER..HEADER + name.len()].copy_from_slice(name);
    Some(end)
}
