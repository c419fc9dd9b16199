use std::collections::BTreeMap;
use std::fs;

use super::*;

/// A crate in `src`, by the texts of its files.
struct Files(BTreeMap<String, String>);

impl Files {
    fn new<const N: usize>(files: [(&str, &str); N]) -> Self {
        Self(files.into_iter().map(|(name, text)| (format!("src/{name}"), text.to_owned())).collect())
    }

    fn read(&self, file: &str) -> Option<String> {
        self.0.get(file).cloned()
    }

    fn findings(&self) -> Vec<String> {
        judge("src/lib.rs", &|file| self.read(file)).unwrap().unwrap().findings
    }

    /// Each arrow as `from to path`.
    fn arrows(&self) -> Vec<String> {
        let modules = Modules::read("src/lib.rs", &|file| self.read(file)).unwrap();
        let name = |module: usize| modules.0[module].path.as_str();
        modules.arrows().iter().map(|arrow| format!("{} {} {}", name(arrow.from), name(arrow.to), arrow.path)).collect()
    }
}

/// The root of a crate with the modules `a` and `b`, and this map.
fn root(map: &str) -> String {
    let map: String = map.lines().map(|line| format!("//! {line}\n")).collect();
    format!("//! ```floors\n{map}//! ```\nmod a;\nmod b;\n")
}

/// What is found where `a` has the text `a`, and `b` is on the floor above.
fn findings_of(a: &str) -> Vec<String> {
    Files::new([("lib.rs", &root("b\na")), ("a.rs", a), ("b.rs", "pub struct B;")]).findings()
}

#[test]
fn an_import_of_a_higher_floor_is_found_with_its_line() {
    let found = findings_of("//! A.\nuse core::fmt;\nuse crate::b::B;");
    assert_eq!(found, ["src/a.rs:3: `crate::b::B`: a is not above b in the map"]);
}

#[test]
fn every_way_to_name_a_higher_floor_is_found() {
    let ways = [
        "use crate::{b::{self, B}};",
        "use crate::b::B as Other;",
        "use crate::b::*;",
        "use super::b;",
        "fn f() { use crate::b; }",
        "fn f() -> crate::b::B { todo!() }",
        "fn f() { crate::b::f(); }",
        "fn f() { self::super::b::f(); }",
        "fn f() { print!(\"{}\", crate::b::f()); }",
        "macro_rules! m { () => { $crate::b::f() }; }",
        "#[arg(parser = crate::b::f)]\nstruct A;",
        "mod inner { fn f() { super::super::b::f(); } }",
        "#[cfg(not(test))]\nuse crate::b;",
        "#[cfg(any(test, feature = \"b\"))]\nuse crate::b;",
    ];
    for way in ways {
        let found = findings_of(way);
        assert!(found.len() == 1 && found[0].contains("a is not above b"), "{way}: {found:?}");
    }
}

#[test]
fn what_is_for_tests_and_other_crates_are_no_arrows() {
    let others = [
        "#[cfg(test)]\nmod tests { use crate::b; }",
        "#[cfg(all(test, unix))]\nuse crate::b;",
        "impl A { #[cfg(test)]\nfn f() { crate::b::f(); } }",
        "use b::B;\nuse ::b::B as Other;",
        "pub(in crate::b) struct A;",
        "/// See [`crate::b`].\nstruct A;",
        "fn f() { println!(\"crate::b::f\"); }",
    ];
    for other in others {
        assert_eq!(findings_of(other), Vec::<String>::new(), "{other}");
    }
}

#[test]
fn a_lower_floor_may_be_used_but_not_the_same_floor_nor_the_root() {
    let files = |map: &str, a: &str| {
        let lib = root(map) + "pub fn of_root() {}";
        Files::new([("lib.rs", &lib), ("a.rs", a), ("b.rs", "pub struct B;")]).findings()
    };
    assert!(files("a\nb", "use crate::b::B;").is_empty());
    assert_eq!(files("a, b", "use crate::b::B;").len(), 1);
    assert_eq!(
        files("a\nb", "use crate::of_root;"),
        ["src/a.rs:1: `crate::of_root`: a is not above the root in the map"]
    );
}

#[test]
fn names_are_followed_through_facades_to_the_file_that_defines_them() {
    let files = Files::new([
        ("lib.rs", "mod a;\nmod b;"),
        ("a/mod.rs", "mod one;\nmod two;\npub use one::*;\npub(crate) use self::two::Two as Second;"),
        ("a/one.rs", "pub fn f() {}\npub struct One;"),
        ("a/two.rs", "pub struct Two;\nuse super::One;"),
        ("b.rs", "use crate::a::{self, Second};\nfn f() { a::f(); Second::new(); print!(\"{}\", a::two::g()); }"),
    ]);
    assert_eq!(
        files.arrows(),
        [
            "a/two a/one super::One",
            "b a/one a::f",
            "b a/two crate::a::Second",
            "b a/two Second::new",
            "b a/two a::two::g",
        ]
    );
}

#[test]
fn what_is_taken_through_a_door_counts_where_it_is_defined_and_the_door_itself_does_not() {
    let found = |lower: &str| {
        let map = "b\nlower\na\nlist";
        let mods = ["mod lower;", "mod list;"].join("\n");
        Files::new([
            ("lib.rs", &(root(map) + &mods)),
            ("a.rs", "pub fn f() {}"),
            ("b.rs", "pub fn g() {}\npub struct B;"),
            ("list.rs", "pub mod part { pub use crate::b::g; pub use other_crate::Other; }\npub use crate::a::f;"),
            ("lower.rs", lower),
        ])
        .findings()
    };
    for fine in ["use crate::list;\nfn h() { list::f(); }", "use crate::list::part;", "use crate::list::part::Other;"] {
        assert_eq!(found(fine), Vec::<String>::new(), "{fine}");
    }
    for wrong in [
        "use crate::list::part;\nfn h() { part::g(); }",
        "use crate::list::part::g;",
        "use crate::list::part::*;",
        "fn h() { crate::list::part::g(); }",
    ] {
        let found = found(wrong);
        assert!(found.len() == 1 && found[0].contains("lower is not above b"), "{wrong}: {found:?}");
    }
}

#[test]
fn an_exported_macro_belongs_to_the_file_that_has_it() {
    let files = Files::new([
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "use crate::say;\nfn f() { crate::say!(); }"),
        ("b.rs", "#[macro_export]\nmacro_rules! say { () => {}; }"),
    ]);
    assert_eq!(files.arrows(), ["a b crate::say", "a b crate::say"]);
}

#[test]
fn re_exports_that_lead_to_themselves_end() {
    let files = Files::new([
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "pub use crate::b::*;\npub use crate::b::X;"),
        ("b.rs", "pub use crate::a::*;\npub use crate::a::X;\nfn f() { X::new(); }"),
    ]);
    assert!(!files.arrows().is_empty());
}

#[test]
fn an_exception_lets_its_arrow_through_and_goes_with_it() {
    let map = "b\na\na/inner -> b: a reason";
    let files = |inner: &str, other: &str| {
        Files::new([
            ("lib.rs", &root(map)),
            ("a/mod.rs", "mod inner;\nmod other;"),
            ("a/inner.rs", inner),
            ("a/other.rs", other),
            ("b.rs", ""),
        ])
        .findings()
    };
    assert!(files("use crate::b;", "").is_empty());
    assert_eq!(files("use crate::b;", "use crate::b;").len(), 1);
    let found = files("", "");
    assert!(found.len() == 1 && found[0].contains("no import needs the exception a/inner -> b"), "{found:?}");
}

#[test]
fn a_map_has_all_rooms_and_no_others() {
    let files = |map: &str| Files::new([("lib.rs", &root(map)), ("a.rs", "use crate::b;"), ("b.rs", "")]).findings();
    assert_eq!(files("a"), ["the map has no room b"]);
    assert_eq!(files("a: words, and more\nb\nc"), ["the map's room c is not there"]);
}

#[test]
fn a_room_in_a_room_has_floors_of_its_own() {
    let files = |inner: &str| {
        let map = "a\na/inner\nb";
        Files::new([("lib.rs", &root(map)), ("a/mod.rs", "mod inner;"), ("a/inner.rs", inner), ("b.rs", "")]).findings()
    };
    assert!(files("use crate::b;").is_empty());
    assert_eq!(files("use super::X;").len(), 1);
}

#[test]
fn maps_that_cannot_be_read_are_refused() {
    let refusal = |map: &str| format!("{:#}", Map::find(&root(map)).unwrap_err());
    assert!(refusal("a -> b").contains("does not say why"));
    assert!(refusal("a -> b: ").contains("does not say why"));
    assert!(refusal("a, b\na").contains("once more"));
    assert!(refusal("largest circle: many").contains("NUMBER files"));
    let without = Files::new([("lib.rs", "mod a;\nmod b;"), ("a.rs", ""), ("b.rs", "")]);
    assert!(judge("src/lib.rs", &|file| without.read(file)).is_err());
}

/// Files that use each other in a ring, in one room, with `mod.rs` in each of them.
fn ring(files: usize, map: &str) -> Vec<String> {
    let name = |index: usize| format!("f{index}");
    let mods: String = (0..files).map(|index| format!("mod {};", name(index))).collect();
    let mut crate_files = Files::new([("lib.rs", &root(map)), ("a/mod.rs", &mods), ("b.rs", "")]);
    for index in 0..files {
        let text = format!("use super::{};\nuse super::Common;", name((index + 1) % files));
        crate_files.0.insert(format!("src/a/{}.rs", name(index)), text);
    }
    crate_files.findings()
}

#[test]
fn the_largest_circle_has_few_files_or_its_number_in_the_map() {
    assert!(ring(LARGEST_CIRCLE, "a\nb").is_empty());
    let found = ring(LARGEST_CIRCLE + 1, "a\nb");
    assert!(found.len() == 1 && found[0].starts_with("7 files use each other in a circle, and 6 may"), "{found:?}");
    assert!(ring(8, "a\nb\nlargest circle: 8 files").is_empty());
}

#[test]
fn the_number_of_a_circle_only_goes_down() {
    assert_eq!(ring(8, "a\nb\nlargest circle: 9 files"), ["lower the map's `largest circle` to 8 files"]);
    assert!(ring(6, "a\nb\nlargest circle: 9 files")[0].starts_with("take `largest circle` out"));
    assert!(ring(9, "a\nb\nlargest circle: 8 files")[0].starts_with("9 files use each other"));
}

#[test]
fn the_repository_keeps_its_floors_and_one_import_upwards_in_libos_is_found() {
    let read = |file: &str| fs::read_to_string(workspace::root().join(file)).ok();
    for root in dependencies::crate_roots().unwrap() {
        let verdict = judge(&root, &read).unwrap();
        assert_eq!(verdict.map(|verdict| verdict.findings).unwrap_or_default(), Vec::<String>::new(), "{root}");
    }

    let root = "libos/src/lib.rs";
    let map = Map::find(&read(root).unwrap()).unwrap().unwrap();
    let (highest, lowest) = (&map.floors[0][0], map.floors.last().unwrap().last().unwrap());
    let modules = Modules::read(root, &read).unwrap();
    let seeded = modules.0.iter().find(|module| module.path == *lowest).unwrap().file.clone();
    let read_seeded = |file: &str| {
        let text = read(file)?;
        Some(if file == seeded { format!("{text}\nuse crate::{highest}::anything;\n") } else { text })
    };
    let findings = judge(root, &read_seeded).unwrap().unwrap().findings;
    let expected = format!("`crate::{highest}::anything`: {lowest} is not above {highest} in the map");
    assert!(findings.iter().any(|finding| finding.ends_with(&expected)), "{findings:?}");
}
