//! What a filter selects: stages, files of tests that boot images, tests.

use crate::workspace;

/// The program with other tests that boot images than those of [`GUEST_TESTS`](super::GUEST_TESTS): the folder's name.
pub(super) const MATRIX: &str = "protection_matrix";

/// One part of the whole, which a filter can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Host,
    Guest,
    Native,
    Library,
    Pool,
    Soak,
    Hostile,
    Clients,
}

impl Stage {
    /// Those that run when none is named.
    const USUAL: [Self; 4] = [Self::Host, Self::Native, Self::Guest, Self::Library];
    /// Those with tests of our own, which a name selects.
    const OWN: [Self; 2] = [Self::Host, Self::Guest];
    const ALL: [Self; 8] =
        [Self::Host, Self::Native, Self::Guest, Self::Library, Self::Pool, Self::Soak, Self::Hostile, Self::Clients];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Guest => "guest",
            Self::Native => "native",
            Self::Library => "std",
            Self::Pool => "pool",
            Self::Soak => "soak",
            Self::Hostile => "hostile",
            Self::Clients => "clients",
        }
    }
}

/// Which of a stage's tests to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Only<'a> {
    /// Those that run when nobody says which.
    Usual,
    /// All of them.
    All,
    /// Those in the files with these names under `tests/tests`.
    Files(Vec<String>),
    /// Those with this in their names.
    Named(&'a str),
}

/// The stages to run, and which tests in them. A filter that names a stage selects all of it; one that names a file of
/// booting tests selects that file, and those whose names go on after it with an underscore. `std::` and a name selects
/// library tests, `native::` and a name those under hardware keys.
pub(super) fn select(filter: Option<&str>) -> (Vec<Stage>, Only<'_>) {
    let Some(filter) = filter else { return (Stage::USUAL.to_vec(), Only::Usual) };
    let mut named: Vec<Stage> = Stage::ALL.into_iter().filter(|stage| stage.name().contains(filter)).collect();
    // `host` names one stage, not `hostile` too.
    if let Some(&exact) = named.iter().find(|stage| stage.name() == filter) {
        named = vec![exact];
    }
    if !named.is_empty() {
        return (named, Only::All);
    }
    if let Some(part) = filter.strip_prefix("std::") {
        return (vec![Stage::Library], Only::Named(part));
    }
    if let Some(part) = filter.strip_prefix("native::") {
        return (vec![Stage::Native], Only::Named(part));
    }
    let files = files_of_tests(filter);
    if files.is_empty() { (Stage::OWN.to_vec(), Only::Named(filter)) } else { (vec![Stage::Guest], Only::Files(files)) }
}

/// The files and folders under `tests/tests` that a filter names, in order: one of its name, and with it those whose
/// names go on after an underscore.
fn files_of_tests(filter: &str) -> Vec<String> {
    let mut files = all_files_of_tests();
    files.retain(|name| name.strip_prefix(filter).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')));
    if files.first().is_none_or(|first| first != filter) {
        files.clear();
    }
    files
}

/// All of them, in order.
fn all_files_of_tests() -> Vec<String> {
    // Who cannot read the directory finds no test by its file, and is told so.
    let entries = std::fs::read_dir(workspace::root().join("tests/tests")).into_iter().flatten().flatten();
    let mut files: Vec<String> = entries
        .filter(|entry| entry.path().is_dir() || entry.path().extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|entry| entry.path().file_stem()?.to_str().map(str::to_owned))
        .filter(|name| name != "main")
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_stages_files_or_tests() {
        let usual = vec![Stage::Host, Stage::Native, Stage::Guest, Stage::Library];
        assert_eq!(select(None), (usual, Only::Usual));
        assert_eq!(select(Some("host")), (vec![Stage::Host], Only::All));
        assert_eq!(select(Some("guest")), (vec![Stage::Guest], Only::All));
        assert_eq!(select(Some("pool")), (vec![Stage::Pool], Only::All));
        assert_eq!(select(Some("soak")), (vec![Stage::Soak], Only::All));
        assert_eq!(select(Some("hostile")), (vec![Stage::Hostile], Only::All));
        assert_eq!(select(Some("clients")), (vec![Stage::Clients], Only::All));
        let files = |names: &[&str]| Only::Files(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(select(Some("protection")), (vec![Stage::Guest], files(&["protection", "protection_matrix"])));
        assert_eq!(select(Some("protection_matrix")), (vec![Stage::Guest], files(&["protection_matrix"])));
        assert_eq!(select(Some("std")), (vec![Stage::Library], Only::All));
        assert_eq!(select(Some("std::net")), (vec![Stage::Library], Only::Named("net")));
        assert_eq!(select(Some("native")), (vec![Stage::Native], Only::All));
        assert_eq!(select(Some("native::key")), (vec![Stage::Native], Only::Named("key")));
        assert_eq!(select(Some("protect")), (vec![Stage::Host, Stage::Guest], Only::Named("protect")));
        assert_eq!(select(Some("stray")), (vec![Stage::Host, Stage::Guest], Only::Named("stray")));
        assert_eq!(select(Some("../x")), (vec![Stage::Host, Stage::Guest], Only::Named("../x")));
    }

    #[test]
    fn every_file_of_tests_is_in_their_program() {
        let program = std::fs::read_to_string(workspace::root().join("tests/tests/main.rs")).unwrap();
        let all = all_files_of_tests();
        assert!(all.len() > 40, "{all:?}");
        for file in all.iter().filter(|&file| file != MATRIX) {
            assert!(program.contains(&format!("\nmod {file};")), "main.rs does not name {file}");
        }
    }
}
