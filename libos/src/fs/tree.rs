//! The tree of directories and files.

use alloc::vec::Vec;

use super::Error;
use super::budget::Budget;
use super::content::{Chunks, Content, reserve};
use super::device::{Device, Entropy};
use super::directory::{Directory, NodeId};
use super::listing::FileType;
use super::path::{Component, Path};
use crate::unix_time::UnixTime;

/// The root directory.
const ROOT: NodeId = NodeId(0);

/// A file or a directory.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) data: Data,
    /// Its number for programs, never used again.
    inode: u64,
    /// The permission bits.
    mode: u32,
    /// Whether it has a name, or is the root; if not, it lives until nobody has it open.
    named: bool,
    /// How often it is open.
    opened: usize,
    created: UnixTime,
    pub(super) modified: UnixTime,
    pub(super) accessed: UnixTime,
}

#[derive(Debug)]
pub(super) enum Data {
    File(Content),
    Directory(Directory),
    Device(Device),
}

/// What programs are told about a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// A number of its own.
    pub inode: u64,
    /// What it is.
    pub file_type: FileType,
    /// The permission bits.
    pub mode: u32,
    /// How many names it has: a directory's `.` and its children's `..` count.
    pub links: u64,
    /// How many bytes a file has.
    pub size: u64,
    /// How many bytes of RAM a file takes.
    pub allocated: u64,
    /// When it was made.
    pub created: UnixTime,
    /// When it was written last.
    pub modified: UnixTime,
    /// When it was read last.
    pub accessed: UnixTime,
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Option<Node>>,
    /// Every node below this one is in use.
    lowest_free: usize,
    next_inode: u64,
    pub(super) budget: Budget,
}

/// Where a path leads.
struct Place<'a> {
    directory: NodeId,
    /// The last name; `None` if the path names a directory otherwise: by `/`, `.` or `..`.
    name: Option<&'a [u8]>,
    last: Option<Component<'a>>,
    node: Option<NodeId>,
}

impl About {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.file_type == FileType::Directory
    }
}

impl Tree {
    /// A tree whose files may take so many bytes of RAM.
    pub fn new(limit: usize, now: UnixTime) -> Self {
        let mut tree = Self { nodes: Vec::new(), lowest_free: 0, next_inode: 1, budget: Budget::new(limit) };
        // Without room for even that, every operation says that nothing is there.
        if tree.add(Data::Directory(Directory::new(ROOT)), 0o777, now).is_ok() {
            tree.nodes.iter_mut().flatten().for_each(|root| root.named = true);
        }
        tree
    }

    /// How many bytes of RAM files take.
    pub fn used(&self) -> usize {
        self.budget.used()
    }

    pub(super) fn node(&self, id: NodeId) -> Result<&Node, Error> {
        self.nodes.get(id.0).and_then(Option::as_ref).ok_or(Error::NotFound)
    }

    /// The node and the budget that changes of it go by.
    pub(super) fn node_mut(&mut self, id: NodeId) -> Result<(&mut Node, &mut Budget), Error> {
        let node = self.nodes.get_mut(id.0).and_then(Option::as_mut).ok_or(Error::NotFound)?;
        Ok((node, &mut self.budget))
    }

    fn directory(&self, id: NodeId) -> Result<&Directory, Error> {
        match &self.node(id)?.data {
            Data::Directory(directory) => Ok(directory),
            _ => Err(Error::NotADirectory),
        }
    }

    fn directory_mut(&mut self, id: NodeId) -> Result<(&mut Directory, &mut Budget), Error> {
        let (node, budget) = self.node_mut(id)?;
        match &mut node.data {
            Data::Directory(directory) => Ok((directory, budget)),
            _ => Err(Error::NotADirectory),
        }
    }

    /// A new node without a name.
    fn add(&mut self, data: Data, mode: u32, now: UnixTime) -> Result<NodeId, Error> {
        let used = self.nodes.iter().skip(self.lowest_free).take_while(|node| node.is_some()).count();
        let id = self.lowest_free + used;
        self.lowest_free = id;
        if id == self.nodes.len() && id == self.nodes.capacity() {
            let more = self.nodes.len().max(16);
            reserve(&mut self.nodes, more, &mut self.budget)
                .or_else(|_| reserve(&mut self.nodes, 1, &mut self.budget))?;
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        let mode = mode & 0o777;
        let node = Node { data, inode, mode, named: false, opened: 0, created: now, modified: now, accessed: now };
        match self.nodes.get_mut(id) {
            Some(place) => *place = Some(node),
            None => self.nodes.push(Some(node)),
        }
        Ok(NodeId(id))
    }

    /// Frees a node that has no name and is not open.
    fn drop_unused(&mut self, id: NodeId) {
        let Ok((node, budget)) = self.node_mut(id) else { return };
        if node.named || node.opened > 0 {
            return;
        }
        match &mut node.data {
            Data::File(Content::Own(chunks)) => chunks.clear(budget),
            Data::File(Content::Host(_)) | Data::Device(_) => {}
            Data::Directory(directory) => directory.clear(budget),
        }
        self.nodes[id.0] = None;
        self.lowest_free = self.lowest_free.min(id.0);
    }

    /// Makes a new node in a directory.
    fn create(
        &mut self,
        directory: NodeId,
        name: &[u8],
        data: Data,
        mode: u32,
        now: UnixTime,
    ) -> Result<NodeId, Error> {
        self.writable_directory(directory)?;
        let id = self.add(data, mode, now)?;
        let (parent, budget) = self.directory_mut(directory)?;
        if let Err(error) = parent.insert(name, id, budget) {
            self.drop_unused(id);
            return Err(error);
        }
        self.node_mut(id)?.0.named = true;
        self.node_mut(directory)?.0.modified = now;
        Ok(id)
    }

    /// Takes a node's name away.
    fn remove(&mut self, directory: NodeId, name: &[u8], id: NodeId, now: UnixTime) -> Result<(), Error> {
        self.writable_directory(directory)?;
        let (parent, budget) = self.directory_mut(directory)?;
        parent.remove(name, budget);
        self.node_mut(directory)?.0.modified = now;
        self.node_mut(id)?.0.named = false;
        self.drop_unused(id);
        Ok(())
    }

    fn writable_directory(&self, id: NodeId) -> Result<(), Error> {
        if self.node(id)?.may_be_written() { Ok(()) } else { Err(Error::Denied) }
    }

    /// Follows a path. What it names need not exist, but all that leads there.
    fn walk<'a>(&self, path: Path<'a>) -> Result<Place<'a>, Error> {
        let mut place = Place { directory: ROOT, name: None, last: None, node: Some(ROOT) };
        for component in path.components() {
            let component = component?;
            let here = place.node.ok_or(Error::NotFound)?;
            let directory = self.directory(here)?;
            place = match component {
                Component::Current => Place { directory: here, name: None, last: None, node: Some(here) },
                Component::Parent => Place { directory: here, name: None, last: None, node: Some(directory.parent) },
                Component::Name(name) => {
                    Place { directory: here, name: Some(name), last: None, node: directory.get(name) }
                }
            };
            place.last = Some(component);
        }
        Ok(place)
    }

    /// What a path names, which has to exist.
    pub(super) fn find(&self, path: &[u8]) -> Result<NodeId, Error> {
        let path = Path::new(path)?;
        let node = self.walk(path)?.node.ok_or(Error::NotFound)?;
        if path.ends_with_slash() {
            self.directory(node)?;
        }
        Ok(node)
    }

    /// What a path names, made as an empty file with this mode if it does not exist; whether it was made.
    pub(super) fn find_or_create(&mut self, path: &[u8], mode: u32, now: UnixTime) -> Result<(NodeId, bool), Error> {
        let path = Path::new(path)?;
        let place = self.walk(path)?;
        match (place.node, place.name) {
            // A file is to be made, and this would be a directory's name.
            (_, Some(_)) if path.ends_with_slash() => Err(Error::IsADirectory),
            (Some(node), _) => Ok((node, false)),
            (None, Some(name)) => {
                let data = Data::File(Content::Own(Chunks::default()));
                Ok((self.create(place.directory, name, data, mode, now)?, true))
            }
            (None, None) => Err(Error::NotFound),
        }
    }

    /// Describes what a path names.
    pub fn about(&self, path: &[u8]) -> Result<About, Error> {
        self.about_node(self.find(path)?)
    }

    pub(super) fn about_node(&self, id: NodeId) -> Result<About, Error> {
        let node = self.node(id)?;
        let children =
            |directory: &Directory| directory.iter().filter(|&(_, child)| self.directory(child).is_ok()).count() as u64;
        let (links, size, allocated) = match &node.data {
            Data::File(content) => {
                let allocated = if let Content::Own(chunks) = content { chunks.allocated() } else { content.length() };
                (u64::from(node.named), content.length(), allocated)
            }
            Data::Device(_) => (u64::from(node.named), 0, 0),
            Data::Directory(_) if !node.named => (0, 0, 0),
            Data::Directory(directory) => (2 + children(directory), 0, 0),
        };
        Ok(About {
            inode: node.inode,
            file_type: node.file_type(),
            mode: node.mode,
            links,
            size,
            allocated,
            created: node.created,
            modified: node.modified,
            accessed: node.accessed,
        })
    }

    /// What a listing says of a node.
    pub(super) fn entry(&self, id: NodeId) -> Option<(u64, FileType)> {
        let node = self.node(id).ok()?;
        Some((node.inode, node.file_type()))
    }

    /// Makes a directory.
    pub fn make_directory(&mut self, path: &[u8], mode: u32, now: UnixTime) -> Result<(), Error> {
        let place = self.walk(Path::new(path)?)?;
        match (place.node, place.name) {
            (None, Some(name)) => {
                let data = Data::Directory(Directory::new(place.directory));
                self.create(place.directory, name, data, mode, now).map(drop)
            }
            _ => Err(Error::Exists),
        }
    }

    /// Removes an empty directory.
    pub fn remove_directory(&mut self, path: &[u8], now: UnixTime) -> Result<(), Error> {
        let place = self.walk(Path::new(path)?)?;
        let node = place.node.ok_or(Error::NotFound)?;
        match (self.directory(node)?, place.name) {
            (directory, Some(name)) => {
                if !directory.is_empty() {
                    return Err(Error::NotEmpty);
                }
                self.remove(place.directory, name, node, now)
            }
            _ if place.last == Some(Component::Current) => Err(Error::Invalid),
            _ if node == ROOT => Err(Error::Busy),
            _ => Err(Error::NotEmpty),
        }
    }

    /// Removes a file's name. The file lives until nobody has it open.
    pub fn unlink(&mut self, path: &[u8], now: UnixTime) -> Result<(), Error> {
        let path = Path::new(path)?;
        let place = self.walk(path)?;
        let node = place.node.ok_or(Error::NotFound)?;
        match (self.directory(node), place.name) {
            (Ok(_), _) | (Err(_), None) => Err(Error::IsADirectory),
            (Err(_), Some(_)) if path.ends_with_slash() => Err(Error::NotADirectory),
            (Err(_), Some(name)) => self.remove(place.directory, name, node, now),
        }
    }

    /// Adds a file of the host's, which cannot be written to, and the directories on the way. The host wrote it at
    /// `modified`.
    pub fn add_host_file(
        &mut self,
        path: &[u8],
        bytes: &'static [u8],
        modified: UnixTime,
        now: UnixTime,
    ) -> Result<(), Error> {
        let path = Path::new(path)?;
        if path.ends_with_slash() {
            return Err(Error::IsADirectory);
        }
        let mut here = ROOT;
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            let Component::Name(name) = component? else { return Err(Error::Invalid) };
            let found = self.directory(here)?.get(name);
            let is_last = components.peek().is_none();
            here = match found {
                Some(_) if is_last => return Err(Error::Exists),
                Some(node) => node,
                None if is_last => self.create(here, name, Data::File(Content::Host(bytes)), 0o444, now)?,
                None => self.create(here, name, Data::Directory(Directory::new(here)), 0o777, now)?,
            };
        }
        if here == ROOT {
            return Err(Error::IsADirectory);
        }
        self.node_mut(here)?.0.modified = modified;
        Ok(())
    }

    /// Adds the devices that programs expect in `/dev`, unless there is something of that name,
    /// or a file of the host's that is named `/dev` itself.
    pub fn add_devices(&mut self, entropy: Entropy, now: UnixTime) -> Result<(), Error> {
        let random = Device::Random(entropy);
        let devices: [(&[u8], _); 4] =
            [(b"null", Device::Null), (b"zero", Device::Zero), (b"random", random), (b"urandom", random)];
        match self.make_directory(b"/dev", 0o777, now) {
            Ok(()) | Err(Error::Exists) => {}
            Err(error) => return Err(error),
        }
        let folder = self.find(b"/dev")?;
        if self.directory(folder).is_err() {
            return Ok(());
        }
        for (name, device) in devices {
            if self.directory(folder)?.get(name).is_none() {
                self.create(folder, name, Data::Device(device), 0o666, now)?;
            }
        }
        Ok(())
    }

    /// Notes that a node is open once more.
    pub(super) fn opened(&mut self, id: NodeId) {
        if let Ok((node, _)) = self.node_mut(id) {
            node.opened += 1;
        }
    }

    /// Notes that a node is open once less.
    pub(super) fn closed(&mut self, id: NodeId) {
        if let Ok((node, _)) = self.node_mut(id) {
            node.opened -= 1;
        }
        self.drop_unused(id);
    }
}

impl Node {
    fn file_type(&self) -> FileType {
        match self.data {
            Data::File(_) => FileType::File,
            Data::Directory(_) => FileType::Directory,
            Data::Device(_) => FileType::Device,
        }
    }

    /// Whether any of the permission bits for writing is set; there is only one user.
    pub(super) fn may_be_written(&self) -> bool {
        self.mode & 0o222 != 0
    }

    /// Whether any of the permission bits for reading is set.
    pub(super) fn may_be_read(&self) -> bool {
        self.mode & 0o444 != 0
    }
}
