//! Pages that a device does not permit to anybody, or does not have. No key is needed for that.

use crate::cases::OFFSET;
use crate::child::run;

#[test]
fn a_store_to_a_write_protected_page_is_reported_even_in_a_grant() {
    for case in ["write-protected", "write-protected-unprotected"] {
        let outcome = run(case);
        outcome.assert_ended_by(libc::SIGSEGV);
        outcome.assert_unchanged();
        let report = outcome.report();
        let start = format!("holdfast: FAULT stray write of {} at offset {OFFSET:#x} ", outcome.file.display());
        assert!(report[0].starts_with(&start), "{}", report[0]);
        let end = "where pages are write-protected, policy strict: process stopped";
        assert!(report[0].ends_with(end), "{}", report[0]);
    }
}

#[test]
fn a_jump_into_a_device_is_reported_with_no_code_of_it() {
    let outcome = run("jump-unprotected");
    outcome.assert_ended_by(libc::SIGSEGV);
    let report = outcome.report();
    assert!(report[0].starts_with("holdfast: FAULT stray jump of "), "{}", report[0]);
    assert!(report[0].contains(", where no page is executable, "), "{}", report[0]);
    assert!(report.contains(&"  code: unreadable"), "{}", outcome.text);
}

#[test]
fn a_child_that_was_forked_has_no_map_and_is_told_so() {
    for case in ["forked", "forked-unprotected"] {
        let outcome = run(case);
        outcome.assert_survived();
        outcome.assert_unchanged();
        let headline = outcome.report()[0];
        let end = "), which has gone away, policy strict: process stopped";
        assert!(headline.starts_with("holdfast: FAULT stray write of ") && headline.ends_with(end), "{headline}");
    }
}

#[test]
fn a_file_that_was_made_shorter_is_named_with_the_place() {
    let outcome = run("shrunk");
    outcome.assert_ended_by(libc::SIGBUS);
    let headline = outcome.report()[0];
    let start = format!("holdfast: FAULT read of {} at offset {OFFSET:#x}: ", outcome.file.display());
    assert!(headline.starts_with(&start), "{headline}");
    assert!(headline.contains("made the file shorter while it was open, and it ends at 0x1000"), "{headline}");
}
