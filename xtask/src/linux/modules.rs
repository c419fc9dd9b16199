//! The kernel's modules: those that are asked for, in the order in which they can be loaded.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

use crate::output::warn;

/// Copies these modules, and before each those that it depends on, to the directory `to`, with names that sort in this
/// order. One that a kernel does not have may be built in, and is left out.
pub(super) fn copy(unpacked: &Path, names: &[&str], to: &Path) -> Result<()> {
    let mut files = HashMap::new();
    for directory in ["lib/modules", "usr/lib/modules"] {
        find(&unpacked.join(directory), &mut files)?;
    }
    let mut order = Vec::new();
    for name in names {
        add(name, &files, &mut order)?;
    }
    fs::create_dir(to)?;
    for (number, (name, bytes)) in order.iter().enumerate() {
        fs::write(to.join(format!("{number:02}-{name}.ko")), bytes)?;
    }
    Ok(())
}

/// Finds all modules below a directory, by the names that the kernel has for them.
fn find(directory: &Path, files: &mut HashMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            find(&path, files)?;
        } else if let Some((name, "ko" | "ko.xz")) = name.split_once('.') {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// Adds a module behind those that it depends on.
fn add(name: &str, files: &HashMap<String, PathBuf>, order: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    if order.iter().any(|(added, _)| added == name) {
        return Ok(());
    }
    let Some(file) = files.get(name) else {
        warn(format_args!("this kernel has no module {name}"));
        return Ok(());
    };
    let bytes = read(file).with_context(|| format!("cannot read {}", file.display()))?;
    for needed in dependencies(&bytes)? {
        add(&needed, files, order)?;
    }
    order.push((name.to_owned(), bytes));
    Ok(())
}

/// A module's bytes, unpacked.
fn read(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return Ok(fs::read(file)?);
    }
    let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(file).output().context("cannot run xz")?;
    if !output.status.success() {
        bail!("xz: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// What a module says that it depends on.
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(module).context("this is no module")?;
    let section = file.section_by_name(".modinfo").context("the module says nothing of itself")?;
    Ok(parse_dependencies(section.data()?))
}

/// The names in a module's description of itself, `key=value` with a zero behind each.
fn parse_dependencies(text: &[u8]) -> Vec<String> {
    let entries = text.split(|&byte| byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    let names = entries.filter_map(|entry| entry.strip_prefix("depends=")).flat_map(|names| names.split(','));
    names.filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_depends_on_is_read() {
        let text = b"license=GPL\0depends=libnvdimm,nd-btt\0retpoline=Y\0";
        assert_eq!(parse_dependencies(text), ["libnvdimm", "nd_btt"]);
        assert_eq!(parse_dependencies(b"depends=\0name=jbd2\0"), [""; 0]);
    }

    #[test]
    fn modules_are_found_by_the_kernels_names() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("md")).unwrap();
        for name in ["md/dm-mod.ko", "loop.ko.xz", "modules.order"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let mut files = HashMap::new();
        find(directory.path(), &mut files).unwrap();
        let mut names: Vec<_> = files.into_keys().collect();
        names.sort();
        assert_eq!(names, ["dm_mod", "loop"]);
    }
}
