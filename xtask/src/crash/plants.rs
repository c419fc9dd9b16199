//! Planted defects: images of the programs that do what the tests of durability have to find.
//!
//! Each is built from a copy of the sources, with a small change, in a directory of its own under cargo's output. The
//! product's own sources know nothing of it, so no switch can ever be left on; and the defect goes through the compiler
//! and the machine as a programmer's would. (To leave events out of a trace would be cheaper, and show less: neither
//! that the plugin sees the difference nor that a reply that overtakes its fence is noticed.)

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::pool::mutants::{Edit, files, find, write};
use crate::setup::toolchain::Toolchain;
use crate::{guest, workspace};

/// The variable that tells where the images with planted defects are, each in a directory with the defect's name.
pub const PLANTED_VARIABLE: &str = "HOLDFAST_PLANTED_IMAGES";

/// What of the workspace the programs are made of.
const MEMBERS: [&str; 4] = ["libos", "pmem", "apps/kvstore", "apps/ledger"];

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// A cache line is not written back.
    WriteBack,
    /// A fence is missing.
    Fence,
    /// A reply overtakes the fence.
    Reply,
    /// The ledger acknowledges an entry before its last step. Not for the exploration, which knows only the store.
    #[value(skip)]
    Acknowledgement,
    /// The ledger stores to a wrong place inside a write grant. What that leads to is not the exploration's business.
    #[value(skip)]
    Astray,
    /// The same, and the ledger write-protects nothing: the control.
    #[value(skip)]
    AstrayUnprotected,
}

/// A store into the middle of the first entry, in the write grant that is to add the hundred and fiftieth.
const ASTRAY: Edit = Edit {
    file: "apps/ledger/src/log.rs",
    after: "",
    code: "commit(grant, self.end + WORD, &body)?;\n",
    instead: "commit(grant, self.end + WORD, &body)?;
            if number == 150 {
                grant.store(FIRST + 2 * WORD, &[0x66; 8])?;
            }\n",
};

/// The ledger write-protects nothing.
const UNPROTECTED: Edit = Edit {
    file: "apps/ledger/src/log.rs",
    after: "",
    code: "self.medium.set_writable(self.writable_from..page, false)",
    instead: "Ok(())",
};

impl Plant {
    /// Those of the store, which crash exploration finds.
    pub const STORE: [Self; 3] = [Self::WriteBack, Self::Fence, Self::Reply];
    /// Those of the ledger.
    pub const LEDGER: [Self; 3] = [Self::Acknowledgement, Self::Astray, Self::AstrayUnprotected];

    /// The program that has it.
    fn program(self) -> &'static str {
        match self {
            Self::WriteBack | Self::Fence | Self::Reply => "kvstore",
            Self::Acknowledgement | Self::Astray | Self::AstrayUnprotected => "ledger",
        }
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::WriteBack => "write-back",
            Self::Fence => "fence",
            Self::Reply => "reply",
            Self::Acknowledgement => "acknowledgement",
            Self::Astray => "astray",
            Self::AstrayUnprotected => "astray-unprotected",
        }
    }

    /// What it is.
    pub fn description(self) -> &'static str {
        match self {
            Self::WriteBack => "of three and more cache lines that are written back together, the last one is left out",
            Self::Fence => "no fence follows the write-back of a batch",
            Self::Reply => {
                "replies leave before the turn that they answer to is committed, under the receipt of an earlier one"
            }
            Self::Acknowledgement => "the head word of an entry is stored only with the next entry",
            Self::Astray => "a store goes astray into the first entry, in the write grant of a later one",
            Self::AstrayUnprotected => "the same store, in a ledger that write-protects nothing",
        }
    }

    /// The image with this defect, for a program that `cargo xtask` has started.
    ///
    /// # Errors
    /// When it was not built.
    pub fn image(self) -> Result<PathBuf> {
        let directory = std::env::var_os(PLANTED_VARIABLE).with_context(|| {
            format!(
                "{PLANTED_VARIABLE} is not set: `cargo xtask crash --plant` and `cargo xtask test` build the images"
            )
        })?;
        Ok(PathBuf::from(directory).join(self.name()).join(self.program()))
    }

    /// The changes, in files of the workspace.
    fn edits(self) -> &'static [Edit] {
        match self {
            Self::WriteBack => &[Edit {
                file: "pmem/src/device/guest.rs",
                after: "",
                code: "self.inner.write_back(range)",
                instead: "self.inner.write_back(start..start + if bytes > 128 { bytes - 64 } else { bytes })",
            }],
            Self::Fence => &[Edit {
                file: "pmem/src/pool/append.rs",
                after: "store.write_back(start..start + padded)?;\n",
                code: "store.fence();",
                instead: "",
            }],
            Self::Acknowledgement => &[
                Edit {
                    file: "apps/ledger/src/log.rs",
                    after: "commit(grant, self.end + WORD, &body)?;\n",
                    code: "commit(grant, self.end, &head.to_le_bytes())",
                    instead: "static LATE: std::sync::Mutex<Option<(u64, u64)>> = std::sync::Mutex::new(None);
            match LATE.lock().unwrap().replace((self.end, head)) {
                Some((at, head)) => commit(grant, at, &head.to_le_bytes()),
                None => Ok(()),
            }",
                },
                // A late head word may belong into a page that is protected by then, and would fault before a client
                // can find anything.
                UNPROTECTED,
            ],
            Self::Astray => &[ASTRAY],
            Self::AstrayUnprotected => &[ASTRAY, UNPROTECTED],
            Self::Reply => &[
                Edit {
                    file: "apps/kvstore/src/server/event_loop/turn.rs",
                    after: "",
                    code: "fn turn(&mut self) {",
                    instead: "fn turn(&mut self) {
        std::thread_local! {
            static EARLIER: std::cell::RefCell<Option<pmem::Durable>> = const { std::cell::RefCell::new(None) };
        }
        let earlier = EARLIER.take();",
                },
                Edit {
                    file: "apps/kvstore/src/server/event_loop/turn.rs",
                    after: "",
                    code: "serve(turn, connections, state, index, &mut share, now);",
                    instead: "serve(turn, connections, state, index, &mut share, now);
                if let (Some(earlier), Some(connection)) = (&earlier, connections.get_mut(index)) {
                    connection.client.release(earlier);
                    let _ = connection.send(self.poll.registry(), &mut state.counters, now);
                }",
                },
                Edit {
                    file: "apps/kvstore/src/server/event_loop/turn.rs",
                    after: "",
                    code: "return self.for_participants(|client| client.release(&receipt));",
                    instead: "self.for_participants(|client| client.release(&receipt));
                EARLIER.set(Some(receipt));
                return;",
                },
            ],
        }
    }
}

/// Builds programs with each of these defects, and returns the directory to name by [`PLANTED_VARIABLE`].
///
/// # Errors
/// When a defect does not fit the sources any more, or the program does not build with it.
pub fn build(toolchain: &Toolchain, plants: &[Plant]) -> Result<PathBuf> {
    let directory = workspace::target_directory().join("planted");
    let images = directory.join("images");
    // One copy serves all, in turn: to cargo several would be the same packages, for they have the same places in their
    // workspaces.
    let copy = directory.join("source");
    for &plant in plants {
        let sources =
            plant.sources().with_context(|| format!("cannot make the sources with the defect {}", plant.name()))?;
        let mut hasher = DefaultHasher::new();
        (&sources, toolchain.description()).hash(&mut hasher);
        let (built_from, image) =
            (format!("{:016x}", hasher.finish()), images.join(plant.name()).join(plant.program()));
        let stamp = images.join(plant.name()).join("built-from");
        if image.is_file() && fs::read_to_string(&stamp).is_ok_and(|there| there == built_from) {
            continue;
        }
        write_all(&copy, &sources)?;
        let built = guest::build_copy(toolchain, &copy, plant.program())
            .with_context(|| format!("{} does not build with the defect {}", plant.program(), plant.name()))?;
        fs::create_dir_all(images.join(plant.name()))?;
        fs::copy(built, &image)?;
        fs::write(&stamp, built_from)?;
    }
    Ok(images)
}

/// Makes these files, and these alone, those of a copy: one that has been renamed since would be found under both
/// names.
fn write_all(copy: &Path, sources: &[(PathBuf, String)]) -> Result<()> {
    fs::create_dir_all(copy)?;
    for file in files(copy)? {
        let name = file.strip_prefix(copy)?;
        if !sources.iter().any(|(source, _)| source == name) {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    sources.iter().try_for_each(|(name, text)| write(&copy.join(name), text))
}

impl Plant {
    /// A workspace of what the programs are made of, with the defect: its files' names and texts.
    fn sources(self) -> Result<Vec<(PathBuf, String)>> {
        let root = workspace::root();
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let mut sources = vec![
            (PathBuf::from("Cargo.toml"), reduce(&manifest)),
            (PathBuf::from("Cargo.lock"), fs::read_to_string(root.join("Cargo.lock"))?),
        ];
        for member in MEMBERS {
            let copied = |file: &PathBuf| {
                file.extension().is_some_and(|extension| ["rs", "toml", "ld"].iter().any(|known| extension == *known))
            };
            for file in files(&root.join(member))?.into_iter().filter(copied) {
                let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
                let name = file.strip_prefix(root)?;
                sources.push((name.to_owned(), self.apply(name, text)?));
            }
        }
        sources.sort();
        Ok(sources)
    }

    /// Puts the defect into the text of a file.
    fn apply(self, file: &Path, mut text: String) -> Result<String> {
        for edit in self.edits().iter().filter(|edit| Path::new(edit.file) == file) {
            let (from, to) = find(&text, edit)
                .with_context(|| format!("the planted defect {} does not fit {}", self.name(), file.display()))?;
            text.replace_range(from..to, edit.instead);
        }
        Ok(text)
    }
}

/// The workspace's manifest with the programs and what they are made of as the only members.
fn reduce(manifest: &str) -> String {
    let line = |line: &str| match line {
        line if line.starts_with("members") => format!("members = {MEMBERS:?}\n"),
        line if line.starts_with("default-members") => "\n".to_owned(),
        line => format!("{line}\n"),
    };
    manifest.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_fits_the_sources() {
        for plant in Plant::STORE.into_iter().chain(Plant::LEDGER) {
            for edit in plant.edits() {
                let text = fs::read_to_string(workspace::root().join(edit.file)).unwrap();
                let changed = plant.apply(Path::new(edit.file), text.clone()).unwrap();
                assert_ne!(changed, text, "{plant:?}");
            }
        }
    }

    #[test]
    fn a_copy_keeps_no_file_that_has_another_name_now() {
        let copy = tempfile::tempdir().unwrap();
        let sources =
            |names: &[&str]| names.iter().map(|&name| (PathBuf::from(name), name.to_owned())).collect::<Vec<_>>();
        write_all(copy.path(), &sources(&["a.rs", "b/c.rs"])).unwrap();
        write_all(copy.path(), &sources(&["a/mod.rs", "b/c.rs"])).unwrap();
        assert_eq!(fs::read_to_string(copy.path().join("a/mod.rs")).unwrap(), "a/mod.rs");
        let mut there = files(copy.path()).unwrap();
        there.sort();
        assert_eq!(there, ["a/mod.rs", "b/c.rs"].map(|name| copy.path().join(name)));
    }

    #[test]
    fn the_copy_has_the_guests_members() {
        let reduced = reduce("members = [\"a\", \"b\"]\ndefault-members = [\"a\"]\nx = 1\n");
        assert_eq!(reduced, "members = [\"libos\", \"pmem\", \"apps/kvstore\", \"apps/ledger\"]\n\nx = 1\n");
    }
}
