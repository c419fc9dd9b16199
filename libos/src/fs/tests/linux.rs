//! The same operations on the tree and on the host's own file system: the same outcomes, errors included.

use std::fs::{self, File, OpenOptions as HostOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::string::String;

use hermit_abi::{O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_TRUNC, errno};
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    Open(String, i32, bool, bool),
    Close(usize),
    Read(usize, usize),
    Write(usize, usize, u8),
    Seek(usize, i64, u8),
    MakeDirectory(String),
    RemoveDirectory(String),
    Unlink(String),
    Look(String),
    List(String),
}

/// Short paths over few names, so that they meet; none that leads out of the host's test directory.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![6 => Just("a"), 6 => Just("b"), 2 => Just("c"), 1 => Just("."), 1 => Just("..")];
    let joined =
        (prop::collection::vec(part, 1..4), prop_oneof![4 => Just("/"), 1 => Just("//")], prop::bool::weighted(0.1));
    joined
        .prop_map(|(parts, separator, slash)| (parts.join(separator) + if slash { "/" } else { "" }, parts))
        .prop_filter("it stays inside", |(_, parts)| {
            let mut depth = 0;
            parts.iter().all(|part| {
                depth += match *part {
                    "." => 0,
                    ".." => -1,
                    _ => 1,
                };
                depth >= 0
            })
        })
        .prop_map(|(path, _)| path)
}

fn operation() -> impl Strategy<Value = Operation> {
    let flag = |flag: i32, chance: f64| prop::bool::weighted(chance).prop_map(move |on| if on { flag } else { 0 });
    let flags =
        (flag(O_CREAT, 0.6), flag(O_EXCL, 0.2), flag(O_TRUNC, 0.2), flag(O_APPEND, 0.2), flag(O_DIRECTORY, 0.1))
            .prop_map(|(create, exclusive, truncate, append, directory)| {
                // What Linux does with both has changed, and so has what O_EXCL means alone.
                let directory = if create != 0 { 0 } else { directory };
                let exclusive = if create == 0 { 0 } else { exclusive };
                create | exclusive | truncate | append | directory
            });
    prop_oneof![
        4 => (path(), flags, any::<bool>(), any::<bool>()).prop_map(|(path, flags, r, w)| Operation::Open(path, flags, r, w)),
        1 => (0usize..8).prop_map(Operation::Close),
        2 => (0usize..8, 0usize..100_000).prop_map(|(open, count)| Operation::Read(open, count)),
        3 => (0usize..8, 0usize..100_000, any::<u8>()).prop_map(|(open, count, byte)| Operation::Write(open, count, byte)),
        2 => (0usize..8, -70_000i64..140_000, 0u8..3).prop_map(|(open, offset, whence)| Operation::Seek(open, offset, whence)),
        2 => path().prop_map(Operation::MakeDirectory),
        1 => path().prop_map(Operation::RemoveDirectory),
        1 => path().prop_map(Operation::Unlink),
        2 => path().prop_map(Operation::Look),
        1 => path().prop_map(Operation::List),
    ]
}

fn number(error: Error) -> i32 {
    match error {
        Error::NotFound => errno::ENOENT,
        Error::NotADirectory => errno::ENOTDIR,
        Error::IsADirectory => errno::EISDIR,
        Error::Exists => errno::EEXIST,
        Error::Denied => errno::EACCES,
        Error::NotEmpty => errno::ENOTEMPTY,
        Error::Busy => errno::EBUSY,
        Error::NameTooLong => errno::ENAMETOOLONG,
        Error::NoSpace => errno::ENOSPC,
        Error::TooLarge => errno::EFBIG,
        Error::Invalid => errno::EINVAL,
        Error::BadDescriptor => errno::EBADF,
    }
}

fn ours<T>(outcome: Result<T, Error>) -> Result<T, i32> {
    outcome.map_err(number)
}

fn theirs<T>(outcome: io::Result<T>) -> Result<T, i32> {
    outcome.map_err(|error| error.raw_os_error().unwrap_or(-1))
}

/// Both file systems, and what is open in both.
struct Both {
    tree: Tree,
    host: PathBuf,
    open: Vec<(Open, File)>,
}

impl Both {
    fn perform(&mut self, operation: &Operation) {
        let Self { tree, host, open } = self;
        let on_host = |path: &str| host.join(path);
        match operation {
            Operation::Open(path, flags, read, write) => {
                let (read, write) = (*read || !write, *write);
                let options = OpenOptions {
                    read,
                    write,
                    append: flags & O_APPEND != 0,
                    create: flags & O_CREAT != 0,
                    exclusive: flags & O_EXCL != 0,
                    truncate: flags & O_TRUNC != 0,
                    directory: flags & O_DIRECTORY != 0,
                    mode: 0o777,
                };
                let mine = ours(tree.open(path.as_bytes(), &options, at(1)));
                let host = HostOptions::new().read(read).write(write).custom_flags(*flags).open(on_host(path));
                match (mine, theirs(host)) {
                    (Ok(mine), Ok(host)) => open.push((mine, host)),
                    (mine, host) => assert_eq!(mine.map(drop), host.map(drop), "{operation:?}"),
                }
            }
            Operation::Close(which) => {
                if !open.is_empty() {
                    let (mine, _) = open.swap_remove(which % open.len());
                    tree.close(&mine);
                }
            }
            Operation::Read(which, count) => {
                let Some((mine, host)) = pick(open, *which) else { return };
                let mut buffer = std::vec![0; *count];
                let from_host = theirs(host.read(&mut buffer)).map(|count| buffer[..count].to_vec());
                assert!(ours(read(tree, mine, *count)) == from_host, "{operation:?}: other bytes than {from_host:?}");
            }
            Operation::Write(which, count, byte) => {
                let Some((mine, host)) = pick(open, *which) else { return };
                let bytes = std::vec![*byte; *count];
                assert_eq!(ours(write(tree, mine, &bytes)), theirs(host.write(&bytes)), "{operation:?}");
            }
            Operation::Seek(which, offset, whence) => {
                let Some((mine, host)) = pick(open, *which) else { return };
                if host.metadata().unwrap().is_dir() {
                    return;
                }
                let (whence, from) = match whence {
                    0 => (Whence::Start, SeekFrom::Start(*offset as u64)),
                    1 => (Whence::Current, SeekFrom::Current(*offset)),
                    _ => (Whence::End, SeekFrom::End(*offset)),
                };
                assert_eq!(ours(tree.seek(mine, *offset, whence)), theirs(host.seek(from)), "{operation:?}");
            }
            Operation::MakeDirectory(path) => {
                let mine = ours(tree.make_directory(path.as_bytes(), 0o777, at(1)));
                assert_eq!(mine, theirs(fs::create_dir(on_host(path))), "{operation:?}");
            }
            Operation::RemoveDirectory(path) => {
                // The root is no root on the host.
                if tree.about(path.as_bytes()).is_ok_and(|about| about.inode == tree.about(b"/").unwrap().inode) {
                    return;
                }
                let mine = ours(tree.remove_directory(path.as_bytes(), at(1)));
                assert_eq!(mine, theirs(fs::remove_dir(on_host(path))), "{operation:?}");
            }
            Operation::Unlink(path) => {
                let mine = ours(tree.unlink(path.as_bytes(), at(1)));
                assert_eq!(mine, theirs(fs::remove_file(on_host(path))), "{operation:?}");
            }
            Operation::Look(path) => {
                let mine = ours(tree.about(path.as_bytes()));
                let mine = mine
                    .map(|about| (about.is_directory(), (!about.is_directory()).then_some((about.size, about.links))));
                let host = theirs(fs::metadata(on_host(path)));
                let host =
                    host.map(|about| (about.is_dir(), (!about.is_dir()).then_some((about.len(), about.nlink()))));
                assert_eq!(mine, host, "{operation:?}");
            }
            Operation::List(path) => {
                let mine =
                    ours(list(tree, path)).map(|names| names.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
                let host = theirs(fs::read_dir(on_host(path))).map(sorted);
                assert_eq!(mine, host, "{operation:?}");
            }
        }
    }
}

fn pick(open: &mut [(Open, File)], which: usize) -> Option<(&Open, &mut File)> {
    let count = open.len();
    let (mine, host) = open.get_mut(which.checked_rem(count)?)?;
    Some((mine, host))
}

/// The names on the host, in order; the one entry that an empty directory has here.
fn sorted(names: fs::ReadDir) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = names.map(|name| name.unwrap().file_name().as_bytes().to_vec()).collect();
    names.sort();
    if names.is_empty() { std::vec![b".".to_vec()] } else { names }
}

proptest! {
    #[test]
    #[cfg_attr(miri, ignore = "the host's file system is too far away")]
    fn it_behaves_as_the_hosts_file_system(operations in prop::collection::vec(operation(), 1..80)) {
        static NEXT: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        let host = std::env::temp_dir().join(std::format!("holdfast-files-{}-{number}", std::process::id()));
        fs::create_dir(&host).unwrap();
        let mut both = Both { tree: Tree::new(64 * MIB, at(1)), host: host.clone(), open: Vec::new() };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            operations.iter().for_each(|operation| both.perform(operation));
        }));
        fs::remove_dir_all(&host).unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }
}
