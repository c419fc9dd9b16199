//! Tests of the tree: by hand, against the host's own file system, and with little RAM.

use std::vec::Vec;

use super::*;
use crate::io::{IoSlices, IoSlicesMut};
use crate::unix_time::UnixTime;

mod hostile;
mod linux;
mod memory;

const MIB: usize = 1 << 20;
const READ: OpenOptions = OpenOptions {
    read: true,
    write: false,
    append: false,
    create: false,
    exclusive: false,
    truncate: false,
    directory: false,
    mode: 0o777,
};
const CREATE: OpenOptions = OpenOptions { write: true, create: true, ..READ };

fn at(nanoseconds: i128) -> UnixTime {
    UnixTime::from_nanos(nanoseconds)
}

fn write(tree: &mut Tree, open: &Open, bytes: &[u8]) -> Result<usize, Error> {
    tree.write(open, &IoSlices::one(bytes), at(7))
}

fn read(tree: &mut Tree, open: &Open, count: usize) -> Result<Vec<u8>, Error> {
    let mut buffer = std::vec![0xaa; count];
    let read = tree.read(open, &mut IoSlicesMut::one(&mut buffer), at(9))?;
    buffer.truncate(read);
    Ok(buffer)
}

/// Makes a file with these bytes.
fn file(tree: &mut Tree, path: &str, bytes: &[u8]) {
    let open = tree.open(path.as_bytes(), &CREATE, at(5)).unwrap();
    assert_eq!(write(tree, &open, bytes), Ok(bytes.len()));
    tree.close(&open);
}

/// The names and kinds that `std` would find in a directory.
fn list(tree: &mut Tree, path: &str) -> Result<Vec<(Vec<u8>, u8)>, Error> {
    let open = tree.open(path.as_bytes(), &OpenOptions { directory: true, ..READ }, at(5))?;
    let mut buffer = std::vec![0; 512];
    let length = loop {
        match tree.list(&open, &mut buffer, at(5))? {
            Some(length) => break length,
            None => buffer.resize(buffer.len() * 2, 0),
        }
    };
    assert_eq!(tree.list(&open, &mut buffer, at(5)), Ok(Some(0)), "the second list is the end");
    tree.close(&open);
    let mut rest = &buffer[..length];
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let record = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
        let name = rest[19..record].split(|&byte| byte == 0).next().unwrap();
        entries.push((name.to_vec(), rest[18]));
        rest = &rest[record..];
    }
    Ok(entries)
}

#[test]
fn what_was_written_is_read_and_described() {
    let mut tree = Tree::new(MIB, at(1));
    tree.make_directory(b"d", 0o777, at(2)).unwrap();
    file(&mut tree, "/d/f", b"hello");
    let open = tree.open(b"d/../d/./f", &READ, at(6)).unwrap();
    assert_eq!(read(&mut tree, &open, 100), Ok(b"hello".to_vec()));
    assert_eq!(read(&mut tree, &open, 100), Ok(Vec::new()));
    assert_eq!(write(&mut tree, &open, b"x"), Err(Error::BadDescriptor));
    let about = tree.about(b"d/f").unwrap();
    assert_eq!((about.size, about.is_directory(), about.mode, about.links), (5, false, 0o777, 1));
    assert_eq!((about.created, about.modified, about.accessed), (at(5), at(7), at(9)));
    let about = tree.about(b"/").unwrap();
    assert_eq!((about.is_directory(), about.links, about.modified), (true, 3, at(2)));
}

#[test]
fn a_directory_lists_its_names_and_an_empty_one_says_so_in_the_only_way_that_std_understands() {
    let mut tree = Tree::new(MIB, at(1));
    assert_eq!(list(&mut tree, "/"), Ok(std::vec![(b".".to_vec(), hermit_abi::DT_UNKNOWN)]));
    tree.make_directory(b"b", 0o777, at(1)).unwrap();
    file(&mut tree, "a", b"");
    let both = std::vec![(b"a".to_vec(), hermit_abi::DT_REG), (b"b".to_vec(), hermit_abi::DT_DIR)];
    assert_eq!(list(&mut tree, "/"), Ok(both));
    for number in 0..1000 {
        file(&mut tree, &std::format!("b/file-{number}"), b"");
    }
    assert_eq!(list(&mut tree, "b").unwrap().len(), 1000);
    assert_eq!(list(&mut tree, "a"), Err(Error::NotADirectory));
}

#[test]
fn a_removed_file_lives_while_it_is_open() {
    let mut tree = Tree::new(MIB, at(1));
    file(&mut tree, "f", b"still");
    let open = tree.open(b"f", &READ, at(5)).unwrap();
    tree.unlink(b"f", at(6)).unwrap();
    assert_eq!(tree.about(b"f"), Err(Error::NotFound));
    file(&mut tree, "f", b"another");
    assert_eq!(read(&mut tree, &open, 100), Ok(b"still".to_vec()));
    assert_eq!(tree.about_open(&open).unwrap().links, 0);
    tree.close(&open);
}

#[test]
fn appending_goes_to_the_end_wherever_the_position_is() {
    let mut tree = Tree::new(MIB, at(1));
    file(&mut tree, "log", b"one ");
    let open = tree.open(b"log", &OpenOptions { write: true, append: true, ..READ }, at(5)).unwrap();
    tree.seek(&open, 0, Whence::Start).unwrap();
    write(&mut tree, &open, b"two").unwrap();
    tree.seek(&open, 0, Whence::Start).unwrap();
    assert_eq!(read(&mut tree, &open, 100), Ok(b"one two".to_vec()));
}

#[test]
fn the_hosts_files_are_read_and_not_written() {
    let mut tree = Tree::new(MIB, at(1));
    let before = tree.used();
    tree.add_host_file(b"etc/app/config", b"host", at(4), at(5)).unwrap();
    assert!(tree.used() - before < 2000, "the bytes stay where they are");
    assert_eq!(tree.about(b"/etc/app/config").unwrap().modified, at(4));
    let open = tree.open(b"etc/app/config", &READ, at(6)).unwrap();
    assert_eq!(read(&mut tree, &open, 3), Ok(b"hos".to_vec()));
    for options in [
        OpenOptions { write: true, ..READ },
        OpenOptions { write: true, append: true, ..READ },
        OpenOptions { write: true, truncate: true, ..READ },
        OpenOptions { truncate: true, ..READ },
        CREATE,
    ] {
        assert_eq!(tree.open(b"etc/app/config", &options, at(6)).err(), Some(Error::Denied), "{options:?}");
    }
    assert_eq!(read(&mut tree, &open, 100), Ok(b"t".to_vec()));
    for (path, error) in [
        ("etc/app/config", Error::Exists),
        ("etc/app/config/x", Error::NotADirectory),
        ("etc/app", Error::Exists),
        ("etc/../x", Error::Invalid),
        ("x/", Error::IsADirectory),
        ("/", Error::IsADirectory),
        ("", Error::NotFound),
    ] {
        assert_eq!(tree.add_host_file(path.as_bytes(), b"", at(0), at(0)), Err(error), "{path}");
    }
    // The name is the directory's, which can be changed.
    assert_eq!(tree.unlink(b"etc/app/config", at(7)), Ok(()));
}

#[test]
fn who_makes_a_read_only_file_may_write_it_and_nobody_else() {
    let mut tree = Tree::new(MIB, at(1));
    let open = tree.open(b"f", &OpenOptions { mode: 0o444, ..CREATE }, at(1)).unwrap();
    assert_eq!(write(&mut tree, &open, b"x"), Ok(1));
    assert_eq!(tree.open(b"f", &CREATE, at(1)).err(), Some(Error::Denied));
    tree.make_directory(b"d", 0o555, at(1)).unwrap();
    assert_eq!(tree.open(b"d/f", &CREATE, at(1)).err(), Some(Error::Denied));
    assert_eq!(tree.make_directory(b"d/e", 0o777, at(1)), Err(Error::Denied));
}

#[test]
fn the_root_cannot_be_removed() {
    let mut tree = Tree::new(MIB, at(1));
    for (path, error) in [("/", Error::Busy), ("..", Error::Busy), (".", Error::Invalid), ("/.", Error::Invalid)] {
        assert_eq!(tree.remove_directory(path.as_bytes(), at(1)), Err(error), "{path}");
    }
    assert_eq!(tree.about(b"../../..").unwrap().inode, tree.about(b"/").unwrap().inode);
}

#[test]
fn a_file_of_the_hosts_named_dev_stays_and_there_are_no_devices() {
    let mut tree = Tree::new(MIB, at(0));
    tree.add_host_file(b"dev", b"the host's", at(0), at(0)).unwrap();
    assert_eq!(tree.add_devices(|bytes| bytes.fill(0x5a), at(0)), Ok(()));
    let file = tree.open(b"/dev", &READ, at(0)).unwrap();
    assert_eq!(read(&mut tree, &file, 100), Ok(b"the host's".to_vec()));
}

#[test]
fn devices_give_and_take_as_elsewhere() {
    let mut tree = Tree::new(MIB, at(0));
    tree.add_host_file(b"dev/zero", b"the host's", at(0), at(0)).unwrap();
    tree.add_devices(|bytes| bytes.fill(0x5a), at(0)).unwrap();
    let open = |tree: &mut Tree, path: &[u8]| tree.open(path, &OpenOptions { write: true, ..READ }, at(0));
    let null = open(&mut tree, b"/dev/null").unwrap();
    assert_eq!((read(&mut tree, &null, 5), write(&mut tree, &null, b"gone")), (Ok(std::vec![]), Ok(4)));
    let random = open(&mut tree, b"/dev/urandom").unwrap();
    assert_eq!(read(&mut tree, &random, 3), Ok(std::vec![0x5a; 3]));
    assert_eq!(tree.seek(&random, 100, Whence::End), Ok(0));
    assert_eq!(open(&mut tree, b"/dev/null/x").unwrap_err(), Error::NotADirectory);
    assert_eq!(open(&mut tree, b"/dev/zero").unwrap_err(), Error::Denied, "what the host has put there stays");
    assert_eq!(tree.about(b"/dev/random").unwrap().file_type, FileType::Device);
    tree.unlink(b"/dev/random", at(0)).unwrap();
    assert_eq!(tree.about(b"/dev/random"), Err(Error::NotFound));
}
