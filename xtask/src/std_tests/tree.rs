//! A workspace around the installed tests.
//!
//! The tests stay where they are: the workspace is made of links to them. Four things are added, and nothing else:
//!
//! 1. The root of each program is a copy, with one more line that links libos into it.
//! 2. A root that uses unstable features which only the library's own build allows says so in one line
//!    ([`table::FEATURES`]).
//! 3. The unit tests of std's modules lie inside std, and say `crate` for it. `template/std_units.rs` is a crate in
//!    which `crate` has all that std has, with the modules that have tests in their places. So what they test is the
//!    std that every program links, not a second one built for testing.
//! 4. Where such a test reaches into what is private to std, it is put in other words ([`table::REWRITES`]).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::table;
use crate::setup::toolchain::Toolchain;
use crate::workspace;

/// What is added to a root.
const LINK_LIBOS: &str = "\nextern crate libos as _;\n";
/// The root of the unit tests of std's modules.
const STD_UNITS: &str = include_str!("template/std_units.rs");
/// The beginning of the manifest; the programs follow.
const MANIFEST: &str = include_str!("template/manifest.toml");
/// The versions of what the tests need beside libos.
const LOCK: &str = include_str!("template/lock.toml");

/// A test program's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// The name of the program.
    pub(super) name: String,
    /// Whether it tests std, not core or alloc.
    pub(super) of_std: bool,
    /// Its root, in the tree.
    root: PathBuf,
}

/// Where the tree is.
pub(super) fn directory() -> PathBuf {
    workspace::guest_test_directory().join("library")
}

/// Makes the tree for this toolchain's library, or brings it up to date, and returns the programs in it.
pub(super) fn make(toolchain: &Toolchain) -> Result<Vec<Source>> {
    let library = toolchain.library();
    let sources = sources(library).with_context(|| {
        format!(
            "the library source of {} has no tests: {} is not complete. rustup's component rust-src has them, and so has Debian's \
             rust-web-src",
            toolchain.description(),
            library.display()
        )
    })?;
    let tree = directory();
    let mut files = adapted(library, &sources)?;
    files.insert("Cargo.toml".into(), manifest(&sources));
    files.insert("Cargo.lock".into(), lock()?);
    files
        .insert(PathBuf::from("nothing.rs"), "//! A package has a library; the tests are the rest of it.\n".to_owned());
    fs::create_dir_all(&tree)?;
    mirror(library, &tree, Path::new(""), &files)?;
    for (name, text) in &files {
        write(&tree.join(name), text)?;
    }
    Ok(sources)
}

/// The programs that this library has the sources of.
fn sources(library: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (root, name) in table::ROOTS {
        if !library.join(root).is_file() {
            bail!("there is no {root}");
        }
        sources.push(Source { name: name.to_owned(), of_std: false, root: root.into() });
    }
    let units = PathBuf::from("std/units.rs");
    sources.push(Source { name: table::STD_UNITS.to_owned(), of_std: true, root: units });
    let folder = Path::new(table::STD_TESTS);
    let mut files = Vec::new();
    for entry in fs::read_dir(library.join(folder)).with_context(|| format!("there is no {}", folder.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        let root = if path.is_dir() { folder.join(name).join("lib.rs") } else { folder.join(format!("{name}.rs")) };
        let elsewhere = table::OTHER_FILES.iter().any(|(other, _)| *other == name);
        if library.join(&root).is_file() && !elsewhere {
            files.push(Source { name: name.to_owned(), of_std: true, root });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    sources.extend(files);
    Ok(sources)
}

/// The files of the tree that are not the installed ones, and their texts.
fn adapted(library: &Path, sources: &[Source]) -> Result<BTreeMap<PathBuf, String>> {
    let read = |name: &Path| {
        fs::read_to_string(library.join(name)).with_context(|| format!("cannot read {}", library.join(name).display()))
    };
    let mut files = BTreeMap::new();
    for source in sources {
        if source.name == table::STD_UNITS {
            files.insert(source.root.clone(), STD_UNITS.to_owned());
            continue;
        }
        let mut text = read(&source.root)?;
        for (_, feature) in table::FEATURES.iter().filter(|(root, _)| Path::new(root) == source.root) {
            if !text.contains(&format!("#![feature({feature})]")) {
                text.insert_str(0, &format!("#![feature({feature})]\n"));
            }
        }
        text.push_str(LINK_LIBOS);
        files.insert(source.root.clone(), text);
    }
    for (name, from, to) in table::REWRITES {
        files.insert(name.into(), read(Path::new(name))?.replace(from, to));
    }
    Ok(files)
}

/// Links everything in `from`, which is the folder `name` of the library, to `to`, but for what `files` has.
fn mirror(from: &Path, to: &Path, name: &Path, files: &BTreeMap<PathBuf, String>) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (name, place) = (name.join(entry.file_name()), to.join(entry.file_name()));
        if files.contains_key(&name) || entry.file_name() == "Cargo.toml" {
            continue;
        }
        if entry.path().is_dir() && files.keys().any(|file| file.starts_with(&name)) {
            if place.is_symlink() {
                fs::remove_file(&place)?;
            }
            mirror(&entry.path(), &place, &name, files)?;
        } else if fs::read_link(&place).ok() != Some(entry.path()) {
            match fs::remove_file(&place) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot replace {}", place.display()));
                }
                _ => symlink(entry.path(), &place)?,
            }
        }
    }
    Ok(())
}

/// Writes a file unless it is as it should be: cargo goes by times.
fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) && !path.is_symlink() {
        return Ok(());
    }
    // Never through a link, into the installed library.
    if path.is_symlink() {
        fs::remove_file(path)?;
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The tree's manifest.
fn manifest(sources: &[Source]) -> String {
    let libos = workspace::root().join("libos");
    let mut manifest = MANIFEST.replace("{libos}", &libos.display().to_string());
    for source in sources {
        manifest.push_str(&format!("\n[[test]]\nname = \"{}\"\npath = \"{}\"\n", source.name, source.root.display()));
    }
    manifest
}

/// The tree's lock file: the checkout's, and what only these tests need. Cargo leaves out what is not needed here.
fn lock() -> Result<String> {
    Ok(fs::read_to_string(workspace::root().join("Cargo.lock"))? + LOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library with a file of each kind.
    fn library() -> tempfile::TempDir {
        let library = tempfile::tempdir().unwrap();
        let roots = table::ROOTS.iter().map(|(root, _)| *root);
        let others = ["std/tests/env.rs", "std/tests/sync/lib.rs", "std/tests/sync/once.rs", "std/tests/common/mod.rs"];
        for name in
            roots.chain(others).chain(["std/tests/process_spawning.rs", "std/src/net/udp/tests.rs", "alloc/src/a.rs"])
        {
            let path = library.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("// {name} {}\n", table::REWRITES[0].1)).unwrap();
        }
        library
    }

    #[test]
    fn roots_are_copies_that_link_libos_and_all_else_is_linked_to() {
        let (library, tree) = (library(), tempfile::tempdir().unwrap());
        let sources = sources(library.path()).unwrap();
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names[4..], ["std_units", "env", "sync"]);
        let files = adapted(library.path(), &sources).unwrap();
        // A second time over the first changes nothing, in the tree or in the library.
        for _ in 0..2 {
            mirror(library.path(), tree.path(), Path::new(""), &files).unwrap();
            files.iter().for_each(|(name, text)| write(&tree.path().join(name), text).unwrap());
            let read = |name: &str| fs::read_to_string(tree.path().join(name)).unwrap();
            assert_eq!(
                read("std/tests/env.rs"),
                format!("// std/tests/env.rs udpsock.0.socket().as_raw()\n{LINK_LIBOS}")
            );
            assert!(read("std/tests/sync/lib.rs").starts_with("#![feature(sync_poison_mod)]\n"));
            assert_eq!(read("std/src/net/udp/tests.rs"), "// std/src/net/udp/tests.rs udpsock.as_raw_fd()\n");
            assert!(tree.path().join("alloc").is_symlink() && tree.path().join("std/tests/sync/once.rs").is_symlink());
            let installed = fs::read_to_string(library.path().join("std/tests/sync/lib.rs")).unwrap();
            assert_eq!(installed, "// std/tests/sync/lib.rs udpsock.0.socket().as_raw()\n");
        }
    }

    #[test]
    fn a_library_without_tests_is_an_error_that_says_what_is_missing() {
        let library = tempfile::tempdir().unwrap();
        let error = sources(library.path()).unwrap_err().to_string();
        assert_eq!(error, "there is no coretests/tests/lib.rs");
    }
}
