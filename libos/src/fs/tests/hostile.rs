//! Paths and archives that nobody would write: errors, never a panic or a loop.

use proptest::prelude::*;

use super::archive::{ArchiveError, entries};
use super::*;

#[test]
fn odd_paths_get_the_errors_that_posix_gives_them() {
    let mut tree = Tree::new(MIB, at(1));
    file(&mut tree, "f", b"");
    let long = [b'x'; 256];
    let longest = std::format!("{}f", "./".repeat(2047));
    let too_long = std::format!("{}f", "./".repeat(2048));
    let cases: &[(&[u8], Error)] = &[
        (b"", Error::NotFound),
        (b"f/", Error::NotADirectory),
        (b"f/.", Error::NotADirectory),
        (b"f/..", Error::NotADirectory),
        (b"x/..", Error::NotFound),
        (b"\xff\xfe", Error::NotFound),
        (b"a\0b", Error::Invalid),
        (&long, Error::NameTooLong),
        (too_long.as_bytes(), Error::NameTooLong),
    ];
    for (path, error) in cases {
        assert_eq!(tree.about(path), Err(*error), "{}", path.escape_ascii());
    }
    assert!(tree.about(longest.as_bytes()).is_ok());
    assert!(tree.about(b"//f").is_ok());
    // A name need not be text.
    tree.make_directory(b"\xff\xfe", 0o777, at(1)).unwrap();
    assert!(tree.about(b"\xff\xfe/").unwrap().is_directory());
    assert!(list(&mut tree, "/").unwrap().contains(&(b"\xff\xfe".to_vec(), hermit_abi::DT_DIR)));
    let name = [b'y'; 255];
    tree.make_directory(&name, 0o777, at(1)).unwrap();
}

fn header(mode: u32, size: u32, name: &[u8]) -> Vec<u8> {
    let fields = [1, mode, 0, 0, 1, 99, size, 0, 0, 0, 0, name.len() as u32, 0];
    let mut bytes = b"070701".to_vec();
    for field in fields {
        bytes.extend(std::format!("{field:08x}").bytes());
    }
    bytes.extend(name);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn an_archive_is_read_to_its_trailer() {
    let mut archive = header(0o040_755, 0, b"etc\0");
    archive.extend(header(0o100_644, 5, b"etc/motd\0"));
    archive.extend(b"hello\0\0\0");
    archive.extend(header(0, 0, b"TRAILER!!!\0"));
    archive.extend(b"padding");
    let all: Vec<_> = entries(&archive).collect::<Result<_, _>>().unwrap();
    assert_eq!((all.len(), all[0].is_directory, all[0].path), (2, true, &b"etc"[..]));
    assert_eq!((all[1].path, all[1].bytes, all[1].modified), (&b"etc/motd"[..], &b"hello"[..], 99));
}

#[test]
fn a_damaged_archive_is_an_error_at_its_place() {
    let last = |archive: &[u8]| entries(archive).last().unwrap().unwrap_err();
    let one = header(0o040_755, 0, b"etc\0");
    assert_eq!(last(&one), ArchiveError::NoHeader(one.len()));
    assert_eq!(entries(b"").count(), 0);
    assert_eq!(last(b"\x1f\x8bgzip"), ArchiveError::NoHeader(0));
    assert_eq!(last(&header(0o100_644, 1 << 31, b"f\0")), ArchiveError::Truncated(0));
    assert_eq!(last(&header(0o100_644, 0, b"f")), ArchiveError::BadName(0));
    assert_eq!(last(&header(0o120_777, 0, b"l\0")), ArchiveError::BadKind(0));
}

proptest! {
    #[test]
    fn any_bytes_are_an_archive_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..200, value: u8) {
        let _ = entries(&bytes).count();
        let mut archive = header(0o040_755, 0, b"etc\0");
        archive.extend(header(0o100_644, 5, b"etc/motd\0"));
        archive.extend(b"hello\0\0\0");
        let at = at % archive.len();
        archive[at] = value;
        prop_assert!(entries(&archive).count() <= 3);
    }

    #[test]
    fn any_bytes_are_a_path_or_an_error(paths in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b'a'), any::<u8>()], 0..12), 1..30)) {
        let mut tree = Tree::new(MIB, at(1));
        let mut open = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            match number % 4 {
                0 => drop(tree.make_directory(path, 0o777, at(1))),
                1 => open.extend(tree.open(path, &CREATE, at(1))),
                2 => drop(tree.unlink(path, at(1))),
                _ => drop(tree.remove_directory(path, at(1))),
            }
            if let Ok(about) = tree.about(path) {
                prop_assert!(about.links > 0);
            }
        }
        open.iter().for_each(|open| tree.close(open));
    }
}
