//! Defects that tests have to find, as patch files, and the copies of the sources that they are put into.
//!
//! The product's own sources know nothing of them, so no switch can ever be left on; and a defect goes through the
//! compiler and the machine as a programmer's would. `pmem/tests/mutants/README.md` says how a patch is made, and made
//! anew when the sources have changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo::metadata;
use crate::workspace;

/// A defect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// Its name: the patch file's.
    pub name: String,
    /// What it breaks.
    pub breaks: String,
    /// The test program that finds it.
    pub program: String,
    /// The test in that program.
    pub test: String,
    /// The patch, for `git apply`.
    pub patch: PathBuf,
}

impl Defect {
    /// All those in a folder, in the order of their names.
    ///
    /// # Errors
    /// When there is none, or one cannot be read.
    pub fn all(folder: &Path) -> Result<Vec<Self>> {
        let mut patches = files(folder)?;
        patches.retain(|file| file.extension().is_some_and(|extension| extension == "patch"));
        patches.sort();
        if patches.is_empty() {
            bail!("there is no patch in {}", folder.display());
        }
        patches.into_iter().map(Self::read).collect()
    }

    fn read(patch: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&patch).with_context(|| format!("cannot read {}", patch.display()))?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .with_context(|| format!("{} has no line `{name}…`", patch.display()))
        };
        let (program, test) = field("Found by: ")?.split_once(": ").context("`Found by` takes PROGRAM: TEST")?;
        let name = patch.file_stem().context("a patch has a name")?.to_string_lossy().into_owned();
        let (breaks, program, test) = (field("Breaks: ")?.to_owned(), program.to_owned(), test.to_owned());
        Ok(Self { name, breaks, program, test, patch })
    }

    /// Puts it into a copy of the sources.
    ///
    /// # Errors
    /// When it does not fit them.
    pub fn put_into(&self, copy: &Path) -> Result<()> {
        self.apply(copy, &[])
    }

    fn apply(&self, sources: &Path, options: &[&str]) -> Result<()> {
        let mut git = Command::new("git");
        git.current_dir(sources).arg("apply").args(options).arg(&self.patch);
        // In a repository git would take the names in the patch for those of the repository's files.
        let output = git
            .env("GIT_DIR", "/nonexistent")
            .output()
            .context("cannot run git, which puts defects into copies of the sources")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("the defect {} does not fit the sources any more; make its patch anew:\n{said}", self.name);
        }
        Ok(())
    }
}

/// The files that the packages in these folders of the workspace are built from, and those that these depend on; the
/// documents, which tests compare with the code; and a workspace's manifest that names no other members. Their names
/// and texts.
///
/// # Errors
/// When one cannot be read.
pub fn sources(members: &[&str]) -> Result<Vec<(PathBuf, String)>> {
    let root = workspace::root();
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let mut sources = vec![
        (PathBuf::from("Cargo.toml"), reduce(&manifest, members)),
        (PathBuf::from("Cargo.lock"), fs::read_to_string(root.join("Cargo.lock"))?),
    ];
    for folder in needed(root, members)?.into_iter().chain([PathBuf::from("docs")]) {
        let copied = |file: &PathBuf| {
            file.extension().is_some_and(|extension| ["rs", "toml", "ld", "md"].iter().any(|known| extension == *known))
        };
        for file in files(&root.join(folder))?.into_iter().filter(copied) {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            sources.push((file.strip_prefix(root)?.to_owned(), text));
        }
    }
    sources.sort();
    Ok(sources)
}

/// These folders of the workspace, and those of the packages that what is in them depends on, for its tests too.
fn needed(root: &Path, members: &[&str]) -> Result<Vec<PathBuf>> {
    let metadata = metadata()?;
    let packages: Vec<_> = metadata["packages"].as_array().into_iter().flatten().collect();
    let mut folders: Vec<PathBuf> = members.iter().map(PathBuf::from).collect();
    let mut at = 0;
    while let Some(folder) = folders.get(at).cloned() {
        at += 1;
        let is_in =
            |manifest: &Value| manifest.as_str().is_some_and(|it| Path::new(it).starts_with(root.join(&folder)));
        let of_folder = packages.iter().filter(|package| is_in(&package["manifest_path"]));
        let dependencies = of_folder.flat_map(|package| package["dependencies"].as_array()).flatten();
        for path in dependencies.filter_map(|dependency| dependency["path"].as_str()) {
            let path = Path::new(path).strip_prefix(root)?;
            if !folders.iter().any(|folder| path.starts_with(folder)) {
                folders.push(path.to_owned());
            }
        }
    }
    Ok(folders)
}

/// Makes these files, and these alone, those of a copy: one that has been renamed since would be found under both
/// names. What is there already stays, so that cargo builds only what has changed.
///
/// # Errors
/// When the copy cannot be written.
pub fn copy(sources: &[(PathBuf, String)], copy: &Path) -> Result<()> {
    fs::create_dir_all(copy)?;
    for file in files(copy)? {
        let name = file.strip_prefix(copy)?;
        if !sources.iter().any(|(source, _)| source == name) {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    sources.iter().try_for_each(|(name, text)| write(&copy.join(name), text))
}

/// The workspace's manifest with these members only.
fn reduce(manifest: &str, members: &[&str]) -> String {
    let line = |line: &str| match line {
        line if line.starts_with("members") => format!("members = {members:?}\n"),
        line if line.starts_with("default-members") => "\n".to_owned(),
        line => format!("{line}\n"),
    };
    manifest.lines().map(line).collect()
}

/// All files below a directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => found.extend(files(&entry.path())?),
            false => found.push(entry.path()),
        }
    }
    Ok(found)
}

/// Writes a file unless it is there already with the same text.
fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The folders with defects, and where the programs of the tests that find them are.
    const FOLDERS: [(&str, &[&str]); 3] = [
        ("pmem/tests/mutants", &["pmem/tests", "pmem/src"]),
        ("tests/planted", &["tests/tests"]),
        ("pmem/linux/tests/planted", &["pmem/linux/tests"]),
    ];

    #[test]
    fn every_defect_fits_the_sources_and_is_named_once() {
        let mut names = HashSet::new();
        for (folder, _) in FOLDERS {
            for defect in Defect::all(&workspace::root().join(folder)).unwrap() {
                defect.apply(workspace::root(), &["--check"]).unwrap();
                assert!(names.insert(defect.breaks.clone()), "`{}` is there twice", defect.breaks);
            }
        }
    }

    #[test]
    fn every_defect_names_a_test_that_is_there() {
        for (folder, homes) in FOLDERS {
            let sources: Vec<PathBuf> =
                homes.iter().flat_map(|home| files(&workspace::root().join(home)).unwrap()).collect();
            for defect in Defect::all(&workspace::root().join(folder)).unwrap() {
                let function = format!("fn {}(", defect.test.rsplit("::").next().unwrap());
                let there = |file: &PathBuf| {
                    let of_program =
                        file.iter().any(|part| Path::new(part).file_stem() == Some(defect.program.as_ref()));
                    of_program && fs::read_to_string(file).is_ok_and(|text| text.contains(&function))
                };
                assert!(sources.iter().any(there), "{}: no `{function}` in {}", defect.name, defect.program);
            }
        }
    }

    #[test]
    fn a_defect_that_does_not_fit_is_refused_by_its_name() {
        let copy = tempfile::tempdir().unwrap();
        let patch = copy.path().join("wrong.patch");
        let text = "Breaks: all\nFound by: a: b\n\n--- a/a.rs\n+++ b/a.rs\n@@ -1 +1 @@\n-two\n+three\n";
        fs::write(&patch, text).unwrap();
        fs::write(copy.path().join("a.rs"), "one\n").unwrap();
        let defect = Defect::read(patch).unwrap();
        assert!(defect.put_into(copy.path()).unwrap_err().to_string().contains("the defect wrong does not fit"));
        fs::write(copy.path().join("a.rs"), "two\n").unwrap();
        defect.put_into(copy.path()).unwrap();
        assert_eq!(fs::read_to_string(copy.path().join("a.rs")).unwrap(), "three\n");
    }

    #[test]
    fn a_copy_keeps_no_file_that_has_another_name_now() {
        let folder = tempfile::tempdir().unwrap();
        let sources =
            |names: &[&str]| names.iter().map(|&name| (PathBuf::from(name), name.to_owned())).collect::<Vec<_>>();
        copy(&sources(&["a.rs", "b/c.rs"]), folder.path()).unwrap();
        copy(&sources(&["a/mod.rs", "b/c.rs"]), folder.path()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("a/mod.rs")).unwrap(), "a/mod.rs");
        let mut there = files(folder.path()).unwrap();
        there.sort();
        assert_eq!(there, ["a/mod.rs", "b/c.rs"].map(|name| folder.path().join(name)));
    }

    #[test]
    fn the_copy_has_what_its_members_depend_on() {
        let folders = needed(workspace::root(), &["pmem"]).unwrap();
        for folder in ["pmem", "libos/contract", "tests/strays"] {
            assert!(folders.contains(&PathBuf::from(folder)), "{folder} is not in {folders:?}");
        }
        assert!(!folders.contains(&PathBuf::from("xtask")));
    }

    #[test]
    fn the_copy_has_the_members_that_it_is_made_of() {
        let reduced = reduce("members = [\"a\", \"b\"]\ndefault-members = [\"a\"]\nx = 1\n", &["libos", "pmem"]);
        assert_eq!(reduced, "members = [\"libos\", \"pmem\"]\n\nx = 1\n");
    }
}
