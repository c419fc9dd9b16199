//! Archives in cpio's "newc" format, which Linux unpacks into its first file system, and in which guests get files of
//! the host's.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// An archive being written.
pub struct Archive<W: Write> {
    out: W,
    inode: u32,
}

const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

impl<W: Write> Archive<W> {
    /// An empty archive.
    pub fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    /// Adds all below a directory, under the same names.
    ///
    /// # Errors
    /// When a file cannot be read or the archive not be written.
    pub fn tree(&mut self, root: &Path, below: &Path) -> io::Result<()> {
        let mut entries: Vec<_> = fs::read_dir(root.join(below))?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = below.join(entry.file_name());
            let metadata = entry.path().symlink_metadata()?;
            let mode = metadata.permissions().mode() & 0o777;
            if metadata.is_dir() {
                self.entry(&name, DIRECTORY | mode, &[])?;
                self.tree(root, &name)?;
            } else if metadata.is_symlink() {
                let to = fs::read_link(entry.path())?;
                self.entry(&name, LINK | 0o777, to.to_string_lossy().as_bytes())?;
            } else {
                self.entry(&name, FILE | mode, &fs::read(entry.path())?)?;
            }
        }
        Ok(())
    }

    /// Adds a program or a script.
    ///
    /// # Errors
    /// When the archive cannot be written.
    pub fn program(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.entry(Path::new(name), FILE | 0o755, content)
    }

    /// Adds an empty directory.
    ///
    /// # Errors
    /// When the archive cannot be written.
    pub fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(Path::new(name), DIRECTORY | 0o755, &[])
    }

    /// Adds a file with these bytes, written at `modified` in seconds since 1970.
    ///
    /// # Errors
    /// When the bytes cannot be read, are not so many, or the archive cannot be written.
    pub fn file(&mut self, name: &str, modified: u32, length: u64, content: &mut impl Read) -> io::Result<()> {
        let size = u32::try_from(length).map_err(io::Error::other)?;
        self.header(name, FILE | 0o444, modified, size)?;
        // It may be written to while it is read: the header says how much of it there is.
        let copied = io::copy(&mut content.take(length), &mut self.out)?;
        if copied != length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter"));
        }
        self.pad(length as usize)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry(Path::new("TRAILER!!!"), 0, &[])?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        self.header(&name.to_string_lossy(), mode, 0, size)?;
        self.out.write_all(content)?;
        self.pad(content.len())
    }

    fn header(&mut self, name: &str, mode: u32, modified: u32, size: u32) -> io::Result<()> {
        self.inode += 1;
        let links = 1;
        let fields = [self.inode, mode, 0, 0, links, modified, size, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        write!(self.out, "070701")?;
        fields.iter().try_for_each(|field| write!(self.out, "{field:08x}"))?;
        write!(self.out, "{name}\0")?;
        self.pad(110 + name.len() + 1)
    }

    /// Fills up to a multiple of four.
    fn pad(&mut self, len: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..len.next_multiple_of(4) - len])
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn an_entry_is_a_header_a_name_and_its_bytes_all_padded() {
        let mut archive = Archive::new(Vec::new());
        archive.program("init", b"12345").unwrap();
        let bytes = archive.finish().unwrap();
        assert!(bytes.starts_with(b"070701" as &[u8]) && bytes.len().is_multiple_of(4));
        assert_eq!(&bytes[110..116], b"init\0\0");
        assert_eq!(&bytes[116..124], b"12345\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
        assert!(bytes.windows(10).any(|window| window == b"TRAILER!!!"));
    }
}
