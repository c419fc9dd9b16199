//! The machine's first file system, which is in RAM: a shell, programs of this computer, and the script to run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::packages::{kernel, unpacked};
use crate::cpio::Archive;

/// The shell and all small programs.
const SHELL: &str = "busybox-static";
/// The first process: it runs the script, and then the machine ends. Closing the ports waits until all is sent.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /tmp
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
[ ! -d /modules ] || for module in /modules/*; do insmod $module; done
ip link set lo up
sh /script </dev/null >/dev/ttyS1 2>&1
echo $? >/dev/ttyS2
poweroff -f
";

/// A file system being put together.
#[derive(Debug, Default)]
pub struct Initrd {
    trees: Vec<PathBuf>,
    files: BTreeMap<PathBuf, Content>,
}

/// Where a file's bytes come from.
#[derive(Debug)]
enum Content {
    /// Nowhere: it is a directory.
    Directory,
    /// A file of this computer.
    Of(PathBuf),
    /// Here.
    Bytes(Vec<u8>),
}

impl Initrd {
    /// One with a shell.
    ///
    /// # Errors
    /// When the shell cannot be fetched.
    pub fn new() -> Result<Self> {
        let mut initrd = Self::default();
        initrd.tree(unpacked("busybox", &[SHELL])?);
        initrd.bytes("/init", INIT.into());
        Ok(initrd)
    }

    /// Adds all below a directory of this computer, under the same names in the root.
    pub fn tree(&mut self, directory: PathBuf) {
        self.trees.push(directory);
    }

    /// Adds the kernel's modules, which are loaded before the script runs.
    ///
    /// # Errors
    /// When the kernel cannot be fetched, or a module not be read.
    pub fn modules(&mut self) -> Result<()> {
        for entry in fs::read_dir(kernel()?.modules)? {
            let file = entry?.path();
            self.put(&Path::new("/modules").join(file.file_name().unwrap_or_default()), Content::Of(file));
        }
        Ok(())
    }

    /// Adds a file, which may be run.
    pub fn bytes(&mut self, path: impl AsRef<Path>, bytes: Vec<u8>) {
        self.put(path.as_ref(), Content::Bytes(bytes));
    }

    /// Adds a program of this computer at its own place, and the shared libraries that it needs at theirs.
    ///
    /// # Errors
    /// When it cannot be said which libraries those are.
    pub fn program(&mut self, path: &Path) -> Result<()> {
        let path = path.canonicalize().with_context(|| format!("there is no {}", path.display()))?;
        for library in libraries(&path)? {
            self.put(&library, Content::Of(library.clone()));
        }
        self.put(&path, Content::Of(path.clone()));
        Ok(())
    }

    fn put(&mut self, path: &Path, content: Content) {
        for directory in path.ancestors().skip(1) {
            self.files.entry(directory.to_owned()).or_insert(Content::Directory);
        }
        self.files.insert(path.to_owned(), content);
    }

    /// Writes the archive that a kernel unpacks, with this script to run.
    ///
    /// # Errors
    /// When a file cannot be read or the archive not be written.
    pub fn write(&self, archive: &Path, script: &str) -> Result<()> {
        let mut out = Archive::new(BufWriter::new(File::create(archive)?));
        for tree in &self.trees {
            out.tree(tree, Path::new(""))?;
        }
        out.program("script", script.as_bytes())?;
        // A directory sorts before what is in it, and has to be there first.
        for (path, content) in &self.files {
            let Ok(name) = path.strip_prefix("/") else { bail!("{} is not below the root", path.display()) };
            let name = name.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
            match content {
                Content::Directory if name.is_empty() => {}
                Content::Directory => out.directory(name)?,
                Content::Of(file) => {
                    out.program(name, &fs::read(file).with_context(|| format!("cannot read {}", file.display()))?)?;
                }
                Content::Bytes(bytes) => out.program(name, bytes)?,
            }
        }
        out.finish()?.flush()?;
        Ok(())
    }
}

/// The shared libraries, the loader among them, of a program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        // This is how ldd calls one that needs none.
        if error.contains("not a dynamic executable") {
            return Ok(Vec::new());
        }
        bail!("ldd {} failed: {}", program.display(), error.trim());
    }
    if let Some(line) = text.lines().find(|line| line.contains("not found")) {
        bail!("{} needs {}", program.display(), line.trim());
    }
    Ok(parse_libraries(&text))
}

/// The paths in what ldd prints, as `libc.so.6 => /lib/libc.so.6 (0x7f…)` or `/lib64/ld-linux-x86-64.so.2 (0x7f…)`.
fn parse_libraries(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let path = line.split_once(" => ").map_or(line, |(_, path)| path).trim();
        path.split(" (").next().filter(|path| path.starts_with('/')).map(PathBuf::from)
    };
    text.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_that_ldd_prints_are_read() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1e)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f1e)\n\tstatically linked\n";
        let paths = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(parse_libraries(text), paths.map(PathBuf::from));
    }

    #[test]
    fn a_program_is_there_with_its_libraries_behind_their_directories() {
        let itself = std::env::current_exe().unwrap().canonicalize().unwrap();
        let mut initrd = Initrd::default();
        initrd.program(&itself).unwrap();
        assert!(initrd.files.keys().any(|path| path.to_string_lossy().contains("/libc.so")), "{initrd:?}");
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("initrd");
        initrd.write(&archive, "exit 3").unwrap();
        let bytes = fs::read(archive).unwrap();
        let find = |name: &Path| {
            let name = format!("{}\0", name.strip_prefix("/").unwrap().display());
            bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap()
        };
        assert!(find(itself.parent().unwrap()) < find(&itself));
        assert!(bytes.windows(6).any(|window| window == b"exit 3"));
    }

    #[test]
    fn what_is_no_program_is_told() {
        let error = Initrd::default().program(Path::new("/nowhere/to/be/found")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/to/be/found"), "{error}");
    }
}
