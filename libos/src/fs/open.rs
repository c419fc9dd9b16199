//! Open files and directories.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::Error;
use super::content::LARGEST;
use super::directory::NodeId;
use super::listing::{FileType, encode};
use super::tree::{About, Data, Tree};
use crate::io::{IoSlices, IoSlicesMut};
use crate::unix_time::UnixTime;

/// How to open.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Each write goes to the end.
    pub append: bool,
    /// Make a file if there is nothing of this name.
    pub create: bool,
    /// With `create`: fail if there is something of this name.
    pub exclusive: bool,
    /// Make the file empty.
    pub truncate: bool,
    /// Fail unless it is a directory.
    pub directory: bool,
    /// The permission bits of a file that is made.
    pub mode: u32,
}

/// From where a position is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// From the file's beginning.
    Start,
    /// From the position now.
    Current,
    /// From the file's end.
    End,
}

/// An open file or directory, perhaps under several descriptors. It has to be given back by [`Tree::close`].
#[derive(Debug)]
pub struct Open {
    node: NodeId,
    read: bool,
    write: bool,
    append: AtomicBool,
    /// The position in a file; in a directory 0, or more once it was listed. Changes only by who has the tree for
    /// himself.
    position: AtomicU64,
}

impl Open {
    /// Whether it was opened for reading, and for writing.
    pub fn access(&self) -> (bool, bool) {
        (self.read, self.write)
    }

    /// Whether each write goes to the end.
    pub fn append(&self) -> bool {
        self.append.load(Relaxed)
    }

    /// Decides whether each write goes to the end.
    pub fn set_append(&self, on: bool) {
        self.append.store(on, Relaxed);
    }
}

impl Tree {
    /// Opens what a path names.
    pub fn open(&mut self, path: &[u8], options: &OpenOptions, now: UnixTime) -> Result<Open, Error> {
        if options.create && options.directory {
            return Err(Error::Invalid);
        }
        let (node, made) =
            if options.create { self.find_or_create(path, options.mode, now)? } else { (self.find(path)?, false) };
        if options.create && options.exclusive && !made {
            return Err(Error::Exists);
        }
        let (there, budget) = self.node_mut(node)?;
        // Who makes a file may write it, whatever its mode says to others.
        if !made && (options.write || options.truncate) && !there.may_be_written()
            || !made && options.read && !there.may_be_read()
        {
            return Err(Error::Denied);
        }
        match &mut there.data {
            Data::Directory(_) if options.write || options.create || options.truncate => {
                return Err(Error::IsADirectory);
            }
            Data::Directory(_) => {}
            Data::File(_) | Data::Device(_) if options.directory => return Err(Error::NotADirectory),
            Data::File(content) if options.truncate => {
                content.own().ok_or(Error::Denied)?.clear(budget);
                there.modified = now;
            }
            Data::File(_) | Data::Device(_) => {}
        }
        self.opened(node);
        Ok(Open {
            node,
            read: options.read,
            write: options.write,
            append: AtomicBool::new(options.append),
            position: AtomicU64::new(0),
        })
    }

    /// Gives an open file or directory back.
    pub fn close(&mut self, open: &Open) {
        self.closed(open.node);
    }

    /// Reads from the position on, which moves; how many bytes, 0 at the end.
    pub fn read(&mut self, open: &Open, into: &mut IoSlicesMut<'_>, now: UnixTime) -> Result<usize, Error> {
        if !open.read {
            return Err(Error::BadDescriptor);
        }
        let (node, _) = self.node_mut(open.node)?;
        let content = match &node.data {
            Data::File(content) => content,
            Data::Device(device) => return Ok(device.read(into)),
            Data::Directory(_) => return Err(Error::IsADirectory),
        };
        let begin = open.position.load(Relaxed);
        let mut read = 0;
        for part in into.iter_mut() {
            let count = content.read(begin + read as u64, part);
            read += count;
            if count < part.len() {
                break;
            }
        }
        open.position.store(begin + read as u64, Relaxed);
        node.accessed = now;
        Ok(read)
    }

    /// Writes at the position, which moves, or at the end; how many bytes.
    pub fn write(&mut self, open: &Open, from: &IoSlices<'_>, now: UnixTime) -> Result<usize, Error> {
        if !open.write {
            return Err(Error::BadDescriptor);
        }
        let (node, budget) = self.node_mut(open.node)?;
        let content = match &mut node.data {
            Data::File(content) => content,
            Data::Device(device) => return Ok(device.write(from)),
            Data::Directory(_) => return Err(Error::IsADirectory),
        };
        let begin = if open.append() { content.length() } else { open.position.load(Relaxed) };
        let chunks = content.own().ok_or(Error::Denied)?;
        let mut written = 0;
        for part in from.iter() {
            match chunks.write(begin + written as u64, part, budget) {
                Ok(count) => {
                    written += count;
                    if count < part.len() {
                        break;
                    }
                }
                Err(error) if written == 0 => return Err(error),
                Err(_) => break,
            }
        }
        open.position.store(begin + written as u64, Relaxed);
        if written > 0 {
            node.modified = now;
        }
        Ok(written)
    }

    /// Moves the position; where it is now. It may be beyond the end; a directory's can only go back to the start.
    pub fn seek(&mut self, open: &Open, offset: i64, whence: Whence) -> Result<u64, Error> {
        let node = self.node(open.node)?;
        let base = match (whence, &node.data) {
            (_, Data::Device(_)) => return Ok(0),
            (Whence::Start, _) => 0,
            (Whence::Current, _) => open.position.load(Relaxed),
            (Whence::End, Data::File(content)) => content.length(),
            (Whence::End, Data::Directory(_)) => return Err(Error::Invalid),
        };
        let position = base.checked_add_signed(offset).filter(|&at| at <= LARGEST).ok_or(Error::Invalid)?;
        if matches!(node.data, Data::Directory(_)) && position != 0 && position != open.position.load(Relaxed) {
            return Err(Error::Invalid);
        }
        open.position.store(position, Relaxed);
        Ok(position)
    }

    /// Describes what is open.
    pub fn about_open(&self, open: &Open) -> Result<About, Error> {
        self.about_node(open.node)
    }

    /// Lists an open directory; how many bytes, 0 once all was listed. `None` if `into` does not hold all of it: `std`
    /// asks once, and takes what it gets for everything.
    ///
    /// An empty directory is listed as one entry, `.`, that is not said to be a directory: `std` takes an empty list
    /// for an error, and passes every entry on.
    pub fn list(&mut self, open: &Open, into: &mut [u8], now: UnixTime) -> Result<Option<usize>, Error> {
        let node = self.node(open.node)?;
        let Data::Directory(directory) = &node.data else { return Err(Error::NotADirectory) };
        if open.position.load(Relaxed) != 0 {
            return Ok(Some(0));
        }
        let (own_inode, _) = self.entry(open.node).ok_or(Error::NotFound)?;
        let end = if directory.is_empty() {
            encode(into, 0, own_inode, FileType::Unknown, b".")
        } else {
            directory.iter().try_fold(0, |at, (name, child)| {
                let (inode, file_type) = self.entry(child)?;
                encode(into, at, inode, file_type, name)
            })
        };
        if let Some(end) = end {
            open.position.store(end as u64, Relaxed);
            self.node_mut(open.node)?.0.accessed = now;
        }
        Ok(end)
    }
}
