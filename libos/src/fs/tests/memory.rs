//! What files take of RAM: no more than they may, and nothing when they are gone.

use proptest::prelude::*;

use super::*;

#[test]
fn a_full_tree_says_so_and_goes_on() {
    let mut tree = Tree::new(256 << 10, at(1));
    let open = tree.open(b"f", &CREATE, at(1)).unwrap();
    let mut written = 0;
    let error = loop {
        match write(&mut tree, &open, &[7; 10_000]) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::NoSpace);
    assert!(written > 128 << 10, "{written}");
    assert_eq!(tree.about(b"f").unwrap().size, written as u64);
    let made =
        (0..10_000).find(|number| tree.make_directory(std::format!("d{number}").as_bytes(), 0o777, at(1)).is_err());
    assert!(made.is_some(), "names take RAM too");
    tree.close(&open);
    tree.unlink(b"f", at(2)).unwrap();
    file(&mut tree, "g", &[1; 100_000]);
}

#[test]
fn a_hole_takes_little_and_reads_as_zero() {
    let mut tree = Tree::new(MIB, at(1));
    let open = tree.open(b"f", &CREATE, at(1)).unwrap();
    tree.seek(&open, 1 << 30, Whence::Start).unwrap();
    assert_eq!(write(&mut tree, &open, b"end"), Ok(3));
    assert!(tree.used() < 600 << 10);
    assert_eq!(tree.about(b"f").unwrap().size, (1 << 30) + 3);
    tree.seek(&open, -5, Whence::End).unwrap();
    assert_eq!(read(&mut tree, &open, 9), Ok(b"\0\0end".to_vec()));
    tree.seek(&open, i64::MAX - 1, Whence::Start).unwrap();
    assert_eq!(write(&mut tree, &open, b"xx"), Err(Error::TooLarge));
    assert_eq!(write(&mut tree, &open, b"x"), Err(Error::NoSpace));
    assert_eq!(tree.seek(&open, i64::MAX, Whence::End), Err(Error::Invalid));
    assert_eq!(tree.seek(&open, -1, Whence::Start), Err(Error::Invalid));
}

proptest! {
    /// Whatever is written under whatever limit, the file holds the bytes that were said to be written, and everything
    /// is given back at the end.
    #[test]
    fn bytes_are_as_written_and_memory_comes_back(
        limit in 20_000usize..600_000,
        writes in prop::collection::vec((0u64..300_000, 1usize..90_000, any::<u8>()), 1..20),
    ) {
        let mut tree = Tree::new(limit, at(1));
        tree.make_directory(b"d", 0o777, at(1)).unwrap();
        let before = tree.used();
        let open = tree.open(b"d/f", &CREATE, at(1)).unwrap();
        let mut model = Vec::new();
        for (position, count, byte) in writes {
            tree.seek(&open, position as i64, Whence::Start).unwrap();
            match write(&mut tree, &open, &std::vec![byte; count]) {
                Ok(written) => {
                    let end = position as usize + written;
                    model.resize(model.len().max(end), 0);
                    model[position as usize..end].fill(byte);
                }
                Err(error) => prop_assert_eq!(error, Error::NoSpace),
            }
            prop_assert!(tree.used() <= limit);
        }
        tree.seek(&open, 0, Whence::Start).unwrap();
        prop_assert!(read(&mut tree, &open, model.len() + 1) == Ok(model));
        tree.unlink(b"d/f", at(1)).unwrap();
        tree.close(&open);
        tree.remove_directory(b"d", at(1)).unwrap();
        // What is left are the root's own tables.
        prop_assert!(tree.used() <= before, "{} of {}", tree.used(), before);
    }
}
