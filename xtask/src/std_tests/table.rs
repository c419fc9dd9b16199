//! Which tests there are, and which cannot run, with reasons.
//!
//! `docs/std-tests.md` has the same reasons; a test compares them.

/// Test programs as the library's own manifests have them: the root's file, and the name of the program. Those of std's
/// folder `tests` are found in it.
pub(super) const ROOTS: [(&str, &str); 4] = [
    ("coretests/tests/lib.rs", "coretests"),
    ("alloctests/lib.rs", "alloc_units"),
    ("alloctests/tests/lib.rs", "alloctests"),
    ("alloctests/tests/vec_deque_alloc_error.rs", "vec_deque_alloc_error"),
];

/// Where std's test programs are.
pub(super) const STD_TESTS: &str = "std/tests";

/// The program with the unit tests of std's modules.
pub(super) const STD_UNITS: &str = "std_units";

/// Files of [`STD_TESTS`] that make no program here.
pub(super) const OTHER_FILES: [(&str, Reason); 6] = [
    ("pipe_subprocess", Reason::Processes),
    ("process_spawning", Reason::Processes),
    ("switch-stdout", Reason::OtherSystem),
    ("win_delete_self", Reason::OtherSystem),
    ("windows", Reason::OtherSystem),
    ("windows_unix_socket", Reason::OtherSystem),
];

/// Changes of text, where a unit test reaches into what is private to std. Each says the same by what is public.
pub(super) const REWRITES: [(&str, &str, &str); 1] =
    [("std/src/net/udp/tests.rs", "udpsock.0.socket().as_raw()", "udpsock.as_raw_fd()")];

/// Unstable features that a root uses and does not name: the library's own build allows its tests all of them.
pub(super) const FEATURES: [(&str, &str); 1] = [("std/tests/sync/lib.rs", "sync_poison_mod")];

/// Why a test cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// No processes.
    Processes,
    /// The file is empty but on another system.
    OtherSystem,
    /// No executable file.
    Executable,
    /// No current directory.
    CurrentDirectory,
    /// Taken for Windows.
    TakenForWindows,
}

impl Reason {
    #[cfg(test)]
    const ALL: [Self; 5] =
        [Self::Processes, Self::OtherSystem, Self::Executable, Self::CurrentDirectory, Self::TakenForWindows];

    /// The reason in words.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Processes => "starts processes, and a unikernel is one",
            Self::OtherSystem => "has tests only on other systems",
            Self::Executable => "wants the path of the executable, and the program is no file in its own machine",
            Self::CurrentDirectory => {
                "changes the current directory, which std does not let programs do on this target"
            }
            Self::TakenForWindows => "takes a target that is not Unix for Windows, and wants backslashes",
        }
    }
}

/// A test that cannot run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exclusion {
    /// The program that it is in.
    pub(super) program: &'static str,
    /// Its name, as libtest prints it.
    pub(super) test: &'static str,
    /// Why.
    pub(super) reason: Reason,
}

/// All of them.
const EXCLUSIONS: [Exclusion; 4] = [
    Exclusion { program: "create_dir_all_bare", test: "create_dir_all_bare", reason: Reason::CurrentDirectory },
    Exclusion { program: "env", test: "test_self_exe_path", reason: Reason::Executable },
    Exclusion { program: "path", test: "test_push", reason: Reason::TakenForWindows },
    Exclusion { program: "path", test: "test_set_file_name", reason: Reason::TakenForWindows },
];

/// Those of one program.
pub(super) fn exclusions(program: &str) -> Vec<Exclusion> {
    EXCLUSIONS.into_iter().filter(|exclusion| exclusion.program == program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_document_has_every_exclusion_with_its_reason() {
        let document = std::fs::read_to_string(workspace::root().join("docs/std-tests.md")).unwrap();
        let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
        let mut expected: Vec<String> = EXCLUSIONS
            .iter()
            .map(|exclusion| format!("| `{}::{}` | {} |", exclusion.program, exclusion.test, exclusion.reason.text()))
            .collect();
        expected
            .extend(OTHER_FILES.iter().map(|(file, reason)| format!("| `std/tests/{file}.rs` | {} |", reason.text())));
        for row in &expected {
            assert!(rows.contains(&row.as_str()), "docs/std-tests.md has no row\n{row}");
        }
        let reasons = |row: &&&str| Reason::ALL.iter().any(|reason| row.contains(reason.text()));
        assert_eq!(
            rows.iter().filter(reasons).count(),
            expected.len(),
            "docs/std-tests.md has rows that are not in the table"
        );
    }
}
