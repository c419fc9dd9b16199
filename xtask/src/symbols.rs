//! Turns code addresses in console lines into functions, files and lines.

use std::ops::Range;
use std::path::Path;

use addr2line::Loader;
use anyhow::{Context, Result, anyhow};
use object::{Object, ObjectSection};

use crate::workspace;

/// Digits of an address as the guest prints it: `0x%016x`.
const DIGITS: usize = 16;

/// The symbols and line numbers of one guest image.
pub struct Symbols {
    loader: Loader,
    text: Range<u64>,
}

/// Whose an instruction is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The function that it is in, and not those that the compiler has inlined there.
    pub(crate) function: String,
    /// Whether it is the function's first.
    pub(crate) is_entry: bool,
    /// The source files of the functions that it is in, the innermost first.
    pub(crate) files: Vec<String>,
}

impl Symbols {
    /// Reads the image's symbols.
    ///
    /// # Errors
    /// When the file cannot be read or is no ELF image with code in it.
    pub fn load(image: &Path) -> Result<Self> {
        let reading = || -> Result<Self> {
            let bytes = std::fs::read(image)?;
            let file = object::File::parse(&*bytes)?;
            let text = file.section_by_name(".text").context("it has no section .text")?;
            let text = text.address()..text.address() + text.size();
            let loader = Loader::new(image).map_err(|error| anyhow!("{error}"))?;
            Ok(Self { loader, text })
        };
        reading().with_context(|| format!("cannot read the symbols of {}", image.display()))
    }

    /// `line` with ` function (file:line)` after the addresses in it that lie in the image's code: the innermost
    /// function, when the compiler has inlined several there. At the end of a line, where nothing is pushed away by
    /// it, those that it was inlined into follow on lines of their own. A line without such addresses comes back as
    /// it is.
    pub fn annotate(&self, line: &str) -> String {
        let mut annotated = String::with_capacity(line.len());
        let mut rest = line;
        while let Some((start, address)) = next_address(rest) {
            let end = start + 2 + DIGITS;
            annotated.push_str(&rest[..end]);
            if self.text.contains(&address) {
                // A return address names the instruction after the call, which may belong to the next line or function.
                let exact = if is_return_address(line) { address - 1 } else { address };
                let mut frames =
                    self.describe(exact).or_else(|| self.describe(address - 1)).unwrap_or(vec!["?".into()]);
                if line.contains(", taken at ") {
                    keep_taker(&mut frames);
                } else if !rest[end..].trim().is_empty() {
                    frames.truncate(1);
                }
                let separator = format!("\n{:column$} inlined into ", "", column = line.len() - rest.len() + end);
                annotated.push(' ');
                annotated.push_str(&frames.join(&separator));
            }
            rest = &rest[end..];
        }
        annotated.push_str(rest);
        annotated
    }

    /// Whose the code at `address` is; `None` outside of all functions.
    pub(crate) fn origin(&self, address: u64) -> Option<Origin> {
        let symbol = self.loader.find_symbol_info(address)?;
        let name = addr2line::demangle_auto(symbol.name().into(), None);
        // What the compiler has cut off or moved to another unit has a suffix.
        let name = name.split(" (.").next().unwrap_or_default();
        let function = without_arguments(without_hash(name));
        let mut files = Vec::new();
        if let Ok(mut found) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = found.next() {
                files.extend(frame.location.and_then(|location| location.file).map(|file| short_path(file).to_owned()));
            }
        }
        Some(Origin { function, is_entry: symbol.address() == address, files })
    }

    /// The function at `address`, and below it those that it was inlined into; `None` outside of all functions.
    fn describe(&self, address: u64) -> Option<Vec<String>> {
        // The symbol table has the full name of the outermost function, the line table only the last part of each.
        let symbol = self.loader.find_symbol(address)?;
        let symbol = addr2line::demangle_auto(symbol.into(), None);
        let mut frames = Vec::new();
        if let Ok(mut found) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = found.next() {
                let name =
                    frame.function.as_ref().and_then(|function| function.demangle().ok().map(|name| name.into_owned()));
                frames.push((name, place(frame.location.as_ref())));
            }
        }
        let outermost = frames.pop().map_or_else(String::new, |(_, place)| place);
        let mut lines: Vec<String> = frames
            .into_iter()
            .map(|(name, place)| format!("{}{place}", name.as_deref().map_or("?".into(), without_arguments)))
            .collect();
        lines.push(format!("{}{outermost}", without_arguments(without_hash(&symbol))));
        Some(lines)
    }
}

/// ` (file:line)`, or nothing when that is not known.
fn place(location: Option<&addr2line::Location<'_>>) -> String {
    match location.and_then(|location| Some((location.file?, location.line?))) {
        Some((file, line)) => format!(" ({}:{line})", short_path(file)),
        None => String::new(),
    }
}

/// A name without type arguments, which can be longer than everything else in a report. The type in front of a method,
/// as in `<T as Trait>::method`, stays.
fn without_arguments(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut depth = 0;
    let mut before = ' ';
    for character in name.chars() {
        match character {
            '<' if depth > 0 => depth += 1,
            // After a path, or part of one: arguments. Elsewhere: a type.
            '<' if matches!(before, ':' | '_' | '}') || before.is_alphanumeric() => {
                depth = 1;
                short.truncate(short.trim_end_matches(':').len());
            }
            '>' if depth > 0 && before != '-' => depth -= 1,
            _ if depth == 0 => short.push(character),
            _ => {}
        }
        before = character;
    }
    short
}

/// Where the first address in `text` starts, and which one it is.
fn next_address(text: &str) -> Option<(usize, u64)> {
    text.match_indices("0x").find_map(|(start, _)| {
        let digits = text.get(start + 2..start + 2 + DIGITS)?;
        let ended = !text[start + 2 + DIGITS..].starts_with(|c: char| c.is_ascii_hexdigit());
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        (ended && hexadecimal).then(|| u64::from_str_radix(digits, 16).ok().map(|address| (start, address))).flatten()
    })
}

/// Leaves only who took a grant: the innermost function outside of the files through which grants are taken.
fn keep_taker(frames: &mut Vec<String>) {
    const WAYS: [&str; 2] = [" (libos/src/dax/", " (pmem/src/device/"];
    let outside = frames.iter().position(|frame| !WAYS.iter().any(|way| frame.contains(way)));
    let taker = frames.swap_remove(outside.unwrap_or(frames.len() - 1));
    *frames = vec![taker];
}

/// Whether `line` is one of a backtrace's callers, or a grant's taker. libos prints both as numbered lines, `#0` being
/// a backtrace's place itself.
fn is_return_address(line: &str) -> bool {
    let Some((_, number)) = line.split_once('#') else { return false };
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse::<u32>().is_ok_and(|number| number > 0)
}

/// A demangled name without the hash that older mangling adds.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => name,
    }
}

/// A source path without what depends on the machine: from the checkout, from the library source or from a crate on.
fn short_path(path: &str) -> &str {
    // The copy of the checkout is in the checkout, too.
    for source in [&workspace::planted_source(), workspace::root()] {
        if let Ok(inside) = Path::new(path).strip_prefix(source) {
            return inside.to_str().unwrap_or(path);
        }
    }
    // …/lib/rustlib/src/rust/library/core/src/…, or Debian's …/rustc-1.96.0/library/…
    if let Some(at) = path.find("/library/") {
        return &path[at + 1..];
    }
    // …/registry/src/<registry>/<crate>-<version>/src/…
    match path.split_once("/registry/src/").and_then(|(_, rest)| rest.split_once('/')) {
        Some((_, in_crate)) => in_crate,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn landmark(value: u64) -> u64 {
        inlined(value)
    }

    #[inline(always)]
    fn inlined(value: u64) -> u64 {
        std::hint::black_box(value).wrapping_mul(3)
    }

    /// Where [`landmark`] is in the test program's file, by its symbol table: the program is loaded elsewhere.
    fn landmark_in_file(image: &Path) -> Range<u64> {
        use object::ObjectSymbol;
        assert_eq!(landmark(1), 3);
        let bytes = std::fs::read(image).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let symbol = file
            .symbols()
            .find(|symbol| symbol.name().is_ok_and(|name| name.contains("landmark") && !name.contains("in_file")));
        let symbol = symbol.unwrap();
        symbol.address()..symbol.address() + symbol.size()
    }

    #[test]
    fn an_inlined_function_names_those_around_it_only_where_the_line_ends() {
        let program = std::env::current_exe().unwrap();
        let symbols = Symbols::load(&program).unwrap();
        let mut landmark = landmark_in_file(&program);
        let address =
            landmark.find(|&address| symbols.describe(address).is_some_and(|frames| frames.len() == 2)).unwrap();
        let at_the_end = symbols.annotate(&format!("  #0 {address:#018x}"));
        let (inner, outer) = at_the_end.split_once('\n').unwrap();
        assert!(inner.contains("inlined (xtask/src/symbols.rs:"), "{at_the_end}");
        let (outer, _) = outer.split_once(" (xtask/src/symbols.rs:").unwrap();
        assert_eq!(outer.trim_start(), "inlined into xtask::symbols::tests::landmark");
        assert_eq!(outer.find("inlined"), Some("  #0 0x0123456789abcdef ".len()), "they stand below each other");
        let within = symbols.annotate(&format!("  rip {address:#018x} rsp 0x0000000000000001 x"));
        assert!(within.contains("inlined (xtask/src/symbols.rs:") && !within.contains('\n'), "{within}");
        assert!(within.ends_with(" rsp 0x0000000000000001 x"), "{within}");
    }

    #[test]
    fn an_address_of_this_program_gets_its_function_file_and_line() {
        let program = std::env::current_exe().unwrap();
        let symbols = Symbols::load(&program).unwrap();
        let address = landmark_in_file(&program).start;
        let line = symbols.annotate(&format!("  #0 {address:#018x} then 0x0000000000000001 end"));
        assert!(line.contains(" xtask::symbols::tests::landmark (xtask/src/symbols.rs:"), "{line}");
        assert!(line.ends_with(" then 0x0000000000000001 end"), "{line}");
        assert_eq!(symbols.annotate("no address: 0x12"), "no address: 0x12");
    }

    #[test]
    fn a_file_that_is_no_image_is_an_error() {
        assert!(format!("{:#}", Symbols::load(Path::new("Cargo.toml")).err().unwrap()).contains("Cargo.toml"));
        assert!(Symbols::load(Path::new("no-such-image")).is_err());
    }

    #[test]
    fn addresses_are_sixteen_digits() {
        assert_eq!(next_address("rip 0x0000000000201000 x"), Some((4, 0x20_1000)));
        assert_eq!(next_address("0x1 0x00000000002010000 0xg000000000201000"), None);
        assert_eq!(next_address("ends 0x"), None);
        assert_eq!(next_address("ü0x000000000020100é"), None);
        assert_eq!(next_address("0xX0x00000000002010ff"), Some((3, 0x20_10ff)));
    }

    #[test]
    fn callers_in_a_backtrace_are_return_addresses() {
        assert!(is_return_address("  #1 0x0000000000201000"));
        assert!(is_return_address("  #12 0x0000000000201000"));
        assert!(!is_return_address("  #0 0x0000000000201000"));
        assert!(!is_return_address("rip 0x0000000000201000"));
        assert!(!is_return_address("#PF at 0x0000000000201000"));
    }

    #[test]
    fn paths_lose_what_is_the_machines() {
        for root in [workspace::root(), &workspace::planted_source()] {
            assert_eq!(short_path(&format!("{}/libos/src/lib.rs", root.display())), "libos/src/lib.rs");
        }
        assert_eq!(short_path("/x/lib/rustlib/src/rust/library/core/src/a.rs"), "library/core/src/a.rs");
        assert_eq!(short_path("/x/registry/src/index-1/talc-5.1.1/src/lib.rs"), "talc-5.1.1/src/lib.rs");
        assert_eq!(short_path("libos/src/lib.rs"), "libos/src/lib.rs");
    }

    #[test]
    fn names_lose_their_type_arguments() {
        for (name, short) in [
            ("open<pmem::Device>", "open"),
            ("Pool::<M>::open", "Pool::open"),
            ("<Pool<pmem::Device>>::turn::<(), <A<B> as C>::{closure#0}>", "<Pool>::turn"),
            ("<T as Trait<X>>::call", "<T as Trait>::call"),
            ("run::<fn() -> u8, u8>::{closure#1}", "run::{closure#1}"),
            ("{closure#0}", "{closure#0}"),
            ("{closure#2}<pmem::Device, (), a::{closure_env#1}<B>>", "{closure#2}"),
            ("<&T as Trait>::call", "<&T as Trait>::call"),
            ("<alloc::vec::Vec<u8>>::push", "<alloc::vec::Vec>::push"),
        ] {
            assert_eq!(without_arguments(name), short, "{name}");
        }
    }

    #[test]
    fn a_grant_is_taken_by_who_calls_the_functions_that_take_grants() {
        let frames =
            ["read (libos/src/dax/grant.rs:1)", "read (pmem/src/device/guest.rs:2)", "turn (a.rs:3)", "run (b.rs:4)"];
        for (count, taker) in [(4, 2), (3, 2), (2, 1), (1, 0)] {
            let mut some: Vec<String> = frames[..count].iter().map(|&frame| frame.into()).collect();
            keep_taker(&mut some);
            assert_eq!(some, [frames[taker]]);
        }
    }

    #[test]
    fn names_lose_their_hash() {
        assert_eq!(without_hash("a::b::h0123456789abcdef"), "a::b");
        assert_eq!(without_hash("a::hello"), "a::hello");
    }
}
