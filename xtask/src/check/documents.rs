//! The documents lead somewhere: what they link to exists, and so do the files that they name.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};

use super::tracked_files;
use crate::workspace;

/// Documents that name files of this repository only. Others name those of `std` and of crates, too.
const OF_THE_REPOSITORY: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"];

/// Looks at every Markdown file of the repository.
pub(super) fn check() -> Result<()> {
    let files = tracked_files()?;
    let mut findings = Vec::new();
    for name in files.iter().filter(|name| name.ends_with(".md")) {
        let Ok(text) = fs::read_to_string(workspace::root().join(name)) else { continue };
        look_at(name, &text, &files, &mut findings);
    }
    if !findings.is_empty() {
        bail!("{}", findings.join("\n"));
    }
    Ok(())
}

fn look_at(name: &str, text: &str, files: &[String], findings: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        let mut find = |what: &str| findings.push(format!("{name}:{}: {what}", number + 1));
        for target in links(line).filter(|target| !leads_to(name, target, files)) {
            find(&format!("the link to {target} leads nowhere"));
        }
        if OF_THE_REPOSITORY.contains(&name) {
            for path in named_files(line).filter(|path| !is_file(path, files)) {
                find(&format!("there is no file {path}"));
            }
        }
    }
}

/// The targets of a line's links that are no addresses of the web.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// Whether a link in the document `name` leads to a file or a directory. Headings are not looked for.
fn leads_to(name: &str, target: &str, files: &[String]) -> bool {
    let path = target.split_once('#').map_or(target, |(path, _)| path);
    let mut whole = PathBuf::from(name);
    if path.is_empty() {
        return true;
    }
    whole.pop();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => whole.push(part),
            Component::ParentDir if whole.pop() => {}
            Component::CurDir => {}
            // Out of the repository.
            _ => return false,
        }
    }
    files.iter().any(|file| Path::new(file).starts_with(&whole))
}

/// The Rust files that a line names by a path of two parts or more, as code.
fn named_files(line: &str) -> impl Iterator<Item = &str> {
    let spans = line.split('`').skip(1).step_by(2);
    spans.filter(|span| span.ends_with(".rs") && span.contains('/') && !span.contains(['*', '{', ' ', '<']))
}

/// Whether a file has this path, or one that ends so.
fn is_file(path: &str, files: &[String]) -> bool {
    files.iter().any(|file| Path::new(file).ends_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, text: &str) -> Vec<String> {
        let files = ["docs/faq.md", "libos/src/mm/fault.rs", "README.md"].map(str::to_owned);
        let mut findings = Vec::new();
        look_at(name, text, &files, &mut findings);
        findings
    }

    #[test]
    fn links_that_lead_nowhere_are_found_with_their_line() {
        let text = "see [a](faq.md#why), [b](../README.md), [c](https://example.org/x.md)\nand [d](gone.md)";
        assert_eq!(findings("docs/a.md", text), ["docs/a.md:2: the link to gone.md leads nowhere"]);
        assert!(findings("README.md", "[docs](docs), [there](docs/), [here](#here)").is_empty());
        assert_eq!(findings("README.md", "[out](../other)").len(), 1);
    }

    #[test]
    fn files_that_are_not_there_are_found_in_the_documents_of_the_repository() {
        assert!(findings("README.md", "`mm/fault.rs`, `libos/src/mm/fault.rs`, `x.rs`, `src/*/y.rs`").is_empty());
        assert_eq!(findings("README.md", "`dax/fault.rs`"), ["README.md:1: there is no file dax/fault.rs"]);
        assert!(findings("docs/a.md", "`std/fault.rs`").is_empty());
    }
}
