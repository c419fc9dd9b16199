//! What the sources of `std` and its neighbours declare and call.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the source of a package lies that the workspace depends on.
fn package(name: &str) -> PathBuf {
    let output = Command::new(std::env::var_os("CARGO").unwrap())
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(xtask::workspace::root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let manifest = packages
        .iter()
        .rfind(|package| package["name"] == name)
        .unwrap_or_else(|| panic!("no package {name}"))["manifest_path"]
        .as_str()
        .unwrap();
    Path::new(manifest).parent().unwrap().to_owned()
}

/// The words of a text: identifiers, and what is between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_').filter(|word| !word.is_empty())
}

/// What a crate calls its functions, and the symbols that they stand for.
fn symbols_of(source: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut symbol = None;
    for line in source.lines() {
        if let Some((_, rest)) = line.split_once("link_name = \"") {
            symbol = rest.split_once('"').map(|(symbol, _)| symbol.to_owned());
        } else if let Some((_, rest)) = line.split_once("pub fn ")
            && let Some(symbol) = symbol.take()
        {
            names.insert(words(rest).next().unwrap().to_owned(), symbol);
        } else if let Some(name) = line.trim_start().strip_prefix("fn sys_") {
            // Behind a function in Rust, under its own name.
            let name = words(name).next().unwrap();
            names.insert(name.to_owned(), format!("sys_{name}"));
        }
    }
    names
}

fn symbols(of: &str) -> BTreeMap<String, String> {
    let file = if of == "libc" { "src/hermit.rs" } else { "src/lib.rs" };
    let names = symbols_of(&fs::read_to_string(package(of).join(file)).unwrap());
    assert!(names.len() > 40, "the declarations of {of} are not understood: {names:?}");
    names
}

/// The symbols that a crate declares.
pub(crate) fn declared(by: &str) -> BTreeSet<String> {
    symbols(by).into_values().collect()
}

/// The symbols of the functions that are called in a text after one of these prefixes.
fn called(text: &str, prefixes: &[&str], symbols: &BTreeMap<String, String>) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.flat_map(|line| [line, "\n"]).collect();
    let after = |prefix: &&str| code.match_indices(*prefix).map(|(at, prefix)| at + prefix.len()).collect::<Vec<_>>();
    // A call, or a function passed on; not a module of the same name.
    let name = |at: usize| words(&code[at..]).next().filter(|name| !code[at + name.len()..].starts_with("::"));
    let names = prefixes.iter().flat_map(after).filter_map(name);
    names.filter_map(|name| symbols.get(name).cloned()).collect()
}

fn called_in(files: &[PathBuf], prefixes: &[&str], symbols: &BTreeMap<String, String>) -> BTreeSet<String> {
    let texts =
        files.iter().map(|file| fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    texts.flat_map(|text| called(&text, prefixes, symbols)).collect()
}

/// What `mio` calls on this target: its selector by `poll`, its waker by an eventfd, TCP and UDP.
pub(crate) fn called_by_mio() -> BTreeSet<String> {
    let unix = package("mio").join("src/sys/unix");
    let files = ["selector/poll.rs", "waker/eventfd.rs", "net.rs", "tcp.rs", "udp.rs"].map(|file| unix.join(file));
    called_in(&files, &["syscall!(", "libc::"], &symbols("libc"))
}

/// What `polling` calls on this target: its `poll` back end.
pub(crate) fn called_by_polling() -> BTreeSet<String> {
    called_in(&[package("polling").join("src/poll.rs")], &["hermit_abi::"], &symbols("hermit-abi"))
}

/// What `num_cpus` calls on this target.
pub(crate) fn called_by_num_cpus() -> BTreeSet<String> {
    called_in(&[package("num_cpus").join("src/lib.rs")], &["hermit_abi::"], &symbols("hermit-abi"))
}

/// What `std` calls on this target; `None` if its source is not installed.
pub(crate) fn called_by_std() -> Option<BTreeSet<String>> {
    let root = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap().stdout;
    let root = PathBuf::from(String::from_utf8(root).unwrap().trim()).join("lib/rustlib/src/rust/library/std/src");
    let system = root.join("sys");
    if !system.is_dir() {
        return None;
    }
    let mut files =
        vec![system.join("fs/hermit.rs"), system.join("net/connection/socket/mod.rs"), root.join("os/fd/owned.rs")];
    find_hermit(&root, false, &mut files);
    // The names under which its files know the crate.
    Some(called_in(&files, &["hermit_abi::", "netc::", " c::", "(c::"], &symbols("hermit-abi")))
}

/// Adds the source files whose names, or whose folders' names, say that they are for this target.
fn find_hermit(folder: &Path, within: bool, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let hermit = within || entry.file_name().to_string_lossy().contains("hermit");
        if entry.path().is_dir() {
            find_hermit(&entry.path(), hermit, files);
        } else if hermit {
            files.push(entry.path());
        }
    }
}

#[test]
fn declarations_and_calls_are_read_from_sources() {
    let names = symbols_of(
        r#"
        #[link_name = "sys_open"]
        pub fn open(name: *const c_char) -> i32;
        pub fn not_a_symbol();
        #[link_name = "sys_yield"]
        #[cfg(any())]
        pub fn yield_now();
        fn sys_hidden(a: u8);
    "#,
    );
    assert_eq!(names.keys().collect::<Vec<_>>(), ["hidden", "open", "yield_now"]);
    let text = "x(hermit_abi::open(name));\n// hermit_abi::yield_now\nhermit_abi::other(); hermit_abi::yield_now::X";
    assert_eq!(called(text, &["hermit_abi::"], &names), ["sys_open".to_owned()].into());
}
