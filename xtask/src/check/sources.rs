//! The form of the repository's files.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use super::tracked_files;
use crate::workspace;

/// A Rust file that is longer than this has more than one purpose.
const LONGEST_FILE: usize = 800;
/// A comment's line is not longer than code's (`rustfmt.toml`); rustfmt leaves comments alone.
const LONGEST_COMMENT: usize = 120;
/// Variables of cargo's that a program has to read when it runs: what they said when it was compiled names the checkout
/// that it was compiled in, which a copy of that is not.
const COMPILED_IN: [&str; 3] = ["CARGO_MANIFEST_DIR", "CARGO_BIN_EXE_", "CARGO_TARGET_TMPDIR"];
/// Where the library is, and where in it an architecture.
const LIBRARY: &str = "libos/src/";
const ARCHITECTURES: &str = "libos/src/arch/";
/// Words for what only one architecture has, and only its folder names.
const OF_AN_ARCHITECTURE: [&str; 8] = ["SDM", "CR0", "CR2", "CR3", "CR4", "asm", "global_asm", "naked_asm"];
/// What such names begin with, or have in them.
const IN_AN_ARCHITECTURE: [&str; 3] = ["IA32_", "x86_64::", "core::arch::"];

/// Directories in which people have their own files on their own machines.
const PERSONAL_DIRECTORIES: [&str; 3] = ["/home/", "/root/", "/Users/"];

/// Looks at every file of the repository: neither it nor a comment in it is too long, and it mentions no path of
/// somebody's machine.
pub(super) fn check() -> Result<()> {
    let mut findings = Vec::new();
    for name in tracked_files()? {
        // A file that is staged for removal is listed and not there.
        let Ok(bytes) = fs::read(workspace::root().join(&name)) else { continue };
        // What is not text has no lines to look at.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        look_at(&name, &text, &mut findings);
    }
    if !findings.is_empty() {
        bail!("{}", findings.join("\n"));
    }
    Ok(())
}

fn look_at(name: &str, text: &str, findings: &mut Vec<String>) {
    let lines = text.lines().count();
    if name.ends_with(".rs") && lines > LONGEST_FILE {
        findings.push(format!("{name}: {lines} lines are more than {LONGEST_FILE}; divide it by purpose"));
    }
    if name.ends_with(".rs") {
        let long = |line: &str| line.trim_start().starts_with("//") && line.chars().count() > LONGEST_COMMENT;
        for (number, _) in text.lines().enumerate().filter(|(_, line)| long(line)) {
            findings.push(format!("{name}:{}: the comment's line is longer than {LONGEST_COMMENT}", number + 1));
        }
    }
    if name.ends_with(".rs") {
        for (number, line) in text.lines().enumerate() {
            if let Some(variable) = COMPILED_IN.iter().find(|variable| line.contains(&format!("env!(\"{variable}"))) {
                findings.push(format!("{name}:{}: read {variable} when the program runs (std::env)", number + 1));
            }
        }
    }
    for (number, word) in architecture_words(name, text) {
        findings.push(format!(
            "{name}:{number}: `{word}` belongs behind libos/src/arch/mod.rs, which lists what a port gives"
        ));
    }
    // This file has to name the directories that it looks for.
    if Path::new(name).ends_with("check/sources.rs") {
        return;
    }
    let root = format!("{}/", workspace::root().display());
    let checkout = [root.as_str()];
    // A checkout directly below the root directory, as in a container, has a name that says nothing.
    let own: &[&str] = if workspace::root().components().count() > 2 { &checkout } else { &[] };
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = PERSONAL_DIRECTORIES.iter().chain(own).find(|path| mentions(line, path)) {
            findings.push(format!("{name}:{}: mentions the path {path} of one machine", number + 1));
        }
    }
}

/// What of the library, but of the architectures in it and of its tests, names something of an architecture: the
/// numbers of the lines, and the words.
fn architecture_words<'a>(name: &str, text: &'a str) -> Vec<(usize, &'a str)> {
    let is_test = name.contains("/tests/") || name.ends_with("/tests.rs");
    if !name.starts_with(LIBRARY) || name.starts_with(ARCHITECTURES) || is_test {
        return Vec::new();
    }
    let of_line = |line: &'a str| {
        let mut words = line.split(|character: char| !(character.is_alphanumeric() || "_:".contains(character)));
        words.find(|word| {
            OF_AN_ARCHITECTURE.contains(&word.trim_matches(':'))
                || IN_AN_ARCHITECTURE.iter().any(|part| word.contains(part))
        })
    };
    text.lines().enumerate().filter_map(|(number, line)| Some((number + 1, of_line(line)?))).collect()
}

/// Whether `line` has `path` as the beginning of a path, not within a longer one.
fn mentions(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|character| !(character.is_alphanumeric() || "._-*}>)".contains(character)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        look_at(name, text, &mut findings);
        findings
    }

    #[test]
    fn long_rust_files_are_found_and_others_may_be_long() {
        let long = "//\n".repeat(LONGEST_FILE + 1);
        assert!(findings("a.rs", &long)[0].contains("801 lines"));
        assert!(findings("a.md", &long).is_empty());
        assert!(findings("a.rs", &"//\n".repeat(LONGEST_FILE)).is_empty());
    }

    #[test]
    fn long_lines_of_comments_are_found() {
        let comment = |length: usize| format!("    //{}\n", "x".repeat(length - 6));
        assert_eq!(findings("a.rs", &format!("\n{}", comment(LONGEST_COMMENT + 1))).len(), 1);
        assert!(findings("a.rs", &comment(LONGEST_COMMENT)).is_empty());
        assert!(findings("a.md", &comment(LONGEST_COMMENT + 1)).is_empty());
        assert!(findings("a.rs", &"x".repeat(200)).is_empty());
    }

    #[test]
    fn what_only_an_architecture_has_is_found_outside_of_its_folder() {
        let wrong = [
            "use x86_64::registers::control::Cr4;",
            "use core::arch::x86_64::_rdtsc;",
            "unsafe { asm!(\"hlt\") };",
            "/// Bits of CR4 (SDM volume 3A).",
            "const IA32_PKRS: u32 = 0x6e1;",
        ];
        for line in wrong {
            let found = findings("libos/src/mm/a.rs", &format!("\n{line}\n"));
            assert!(found.len() == 1 && found[0].starts_with("libos/src/mm/a.rs:2: "), "{line}: {found:?}");
            for elsewhere in ["libos/src/arch/x86_64/a.rs", "libos/src/mm/tests/a.rs", "tests/programs/src/a.rs"] {
                assert!(findings(elsewhere, line).is_empty(), "{elsewhere}: {line}");
            }
        }
        let fine = "//! For `x86_64-unknown-hermit`, see arch/x86_64/trap: a plasm of 3CR45.";
        assert!(findings("libos/src/lib.rs", fine).is_empty());
    }

    #[test]
    fn paths_of_the_checkout_that_are_compiled_in_are_found() {
        for variable in COMPILED_IN {
            assert_eq!(findings("a.rs", &format!("\nlet a = env!(\"{variable}x\");")).len(), 1);
            assert!(findings("a.rs", &format!("std::env::var_os(\"{variable}x\")")).is_empty());
        }
    }

    #[test]
    fn paths_of_machines_are_found_with_their_line() {
        let text = format!("one\nsee {}jo/file\n", PERSONAL_DIRECTORIES[0]);
        assert_eq!(findings("README.md", &text), ["README.md:2: mentions the path /home/ of one machine"]);
        let own = format!("in {}/Cargo.toml", workspace::root().display());
        if workspace::root().components().count() > 2 {
            assert_eq!(findings("a.rs", &own).len(), 1);
        }
    }

    #[test]
    fn the_end_of_a_longer_path_is_no_path_of_a_machine() {
        assert!(!mentions("docs/home/page", "/home/"));
        assert!(mentions("\"/home/jo\"", "/home/"));
        assert!(mentions("/home/jo", "/home/"));
    }
}
