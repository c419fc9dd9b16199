//! Accesses that go astray: each with its control, without protection.

use crate::cases::OFFSET;
use crate::child::{Outcome, lacks_keys, run};

/// The report of a stray access that was stopped: its headline is checked, and its lines are there, in order.
#[track_caller]
fn stopped<'o>(outcome: &'o Outcome, headline: &str) -> Vec<&'o str> {
    outcome.assert_ended_by(libc::SIGSEGV);
    outcome.assert_unchanged();
    let report = outcome.report();
    assert!(report[0].starts_with(headline), "{headline}: {}", outcome.text);
    assert!(report[0].ends_with(", policy strict: process stopped"), "{}", outcome.text);
    let mut rest = report.iter();
    let starts = ["  thread ", "  rights 0x", "  rip 0x", "  rax 0x", "  code: ", "  last grants:", "  backtrace:"];
    for start in starts.into_iter().chain(["    #0 0x", "  functions:"]) {
        assert!(rest.any(|line| line.starts_with(start)), "no line `{start}` where it should be: {}", outcome.text);
    }
    report
}

/// What the headline of a report about `case` begins with.
fn headline(access: &str, outcome: &Outcome) -> String {
    format!("holdfast: FAULT stray {access} of {} at offset {OFFSET:#x} (address 0x", outcome.file.display())
}

/// Whether the child has come to its end, and has stored this on its way.
#[track_caller]
fn assert_stored(outcome: &Outcome, value: u32) {
    outcome.assert_survived();
    assert_eq!(outcome.bytes[OFFSET..OFFSET + 4], value.to_le_bytes(), "{}", outcome.text);
}

/// Whether one of the lines names a function.
#[track_caller]
fn assert_names(report: &[&str], function: &str) {
    let named = report.iter().any(|line| line.contains(function));
    assert!(named, "nothing names {function}: {}", report.join("\n"));
}

#[test]
fn a_stray_store_is_stopped_and_reported() {
    if lacks_keys() {
        return;
    }
    let outcome = run("store");
    let report = stopped(&outcome, &headline("write", &outcome));
    assert!(report[1].ends_with(|last: char| last.is_ascii_digit()) && report[1].contains("\" on cpu "), "{report:?}");
    assert!(report[2].ends_with(" (key 0 always open, the others closed)"), "{report:?}");
    assert!(report.contains(&"  last grants: none"), "{report:?}");
    assert_names(&report, "cases::stray_store (");
    assert_names(&report, "cases::run (");
}

#[test]
fn without_protection_a_stray_store_is_made() {
    assert_stored(&run("store-unprotected"), 7);
}

#[test]
fn a_stray_load_is_stopped_and_reported() {
    if lacks_keys() {
        return;
    }
    let outcome = run("load");
    stopped(&outcome, &headline("read", &outcome));
    assert!(!outcome.text.contains("case: read"), "{}", outcome.text);
}

#[test]
fn without_protection_a_stray_load_reads_what_is_there() {
    let outcome = run("load-unprotected");
    outcome.assert_survived();
    assert!(outcome.text.contains("case: read 0x5a5a5a5a"), "{}", outcome.text);
}

#[test]
fn of_a_repeated_store_the_report_says_how_long_it_was() {
    if lacks_keys() {
        return;
    }
    let outcome = run("fill");
    let report = stopped(&outcome, &headline("write", &outcome));
    assert!(report[0].contains("), 100 bytes from there on, "), "{}", report[0]);
    let control = run("fill-unprotected");
    control.assert_survived();
    assert!(control.bytes[OFFSET..OFFSET + 100].iter().all(|&byte| byte == 1));
}

#[test]
fn a_read_grant_permits_no_store_and_the_rights_say_so() {
    if lacks_keys() {
        return;
    }
    let outcome = run("store-in-read-grant");
    let report = stopped(&outcome, &headline("write", &outcome));
    assert!(report[2].contains(&format!(" {} read, the others closed)", outcome.file.display())), "{report:?}");
    let grant = report.iter().find(|line| line.starts_with("    #1 read of ")).unwrap();
    assert!(grant.contains(" on, still open, taken at 0x"), "{grant}");
    assert_names(&report, "store-in-read-grant");
    assert_stored(&run("store-in-read-grant-unprotected"), 7);
}

#[test]
fn the_grant_that_a_pointer_was_kept_from_is_the_last_one() {
    if lacks_keys() {
        return;
    }
    let outcome = run("store-after-grant");
    let report = stopped(&outcome, &headline("write", &outcome));
    let grant = report.iter().find(|line| line.starts_with("    #1 write of ")).unwrap();
    assert!(grant.contains(" s to ") && grant.contains(", taken at 0x"), "{grant}");
    let takers = report.iter().position(|line| *line == "  takers of the last grants:").unwrap();
    assert_names(&report[takers..], "cases::after_grant (");
    assert_stored(&run("store-after-grant-unprotected"), 7);
}

#[test]
fn a_thread_is_known_by_its_name() {
    if lacks_keys() {
        return;
    }
    let outcome = run("store-in-thread");
    let report = stopped(&outcome, &headline("write", &outcome));
    assert!(report[1].contains(" \"wild one\" on cpu "), "{}", report[1]);
    assert_stored(&run("store-in-thread-unprotected"), 7);
}

#[test]
fn the_relaxed_policy_lets_single_accesses_through_and_reports_each_place_once() {
    if lacks_keys() {
        return;
    }
    let outcome = run("relaxed");
    assert_stored(&outcome, 3);
    let heads: Vec<_> = outcome.text.lines().filter(|line| line.starts_with("holdfast: FAULT ")).collect();
    let end = "policy relaxed: let through once, reported once for this place in the code";
    assert_eq!(heads.len(), 2, "{}", outcome.text);
    assert!(heads.iter().all(|head| head.ends_with(end)), "{heads:?}");
    assert!(heads[0].starts_with(&headline("write", &outcome)) && heads[1].starts_with(&headline("read", &outcome)));
    assert!(!outcome.text.contains("  functions:"), "it allocates: {}", outcome.text);
}

#[test]
fn an_access_is_let_through_where_the_trap_is_blocked_too() {
    if lacks_keys() {
        return;
    }
    assert_stored(&run("relaxed-masked"), 7);
}

#[test]
fn nothing_is_let_through_with_the_stack_in_the_device() {
    if lacks_keys() {
        return;
    }
    let outcome = run("relaxed-stack");
    outcome.assert_ended_by(libc::SIGSEGV);
    outcome.assert_unchanged();
    let reason = "policy relaxed: process stopped, since the stack pointer is in persistent memory";
    assert!(outcome.report()[0].contains(reason), "{}", outcome.text);
    assert_stored(&run("relaxed-stack-unprotected"), 7);
}

#[test]
fn a_thread_of_another_librarys_is_reported_wherever_its_stack_pointer_is() {
    if lacks_keys() {
        return;
    }
    let outcome = run("foreign-thread");
    stopped(&outcome, &headline("write", &outcome));
    assert_stored(&run("foreign-thread-unprotected"), 7);
}

#[test]
fn a_handler_may_open_its_device() {
    if lacks_keys() {
        return;
    }
    let outcome = run("handler-opens");
    assert_stored(&outcome, 7);
    assert!(!outcome.text.contains("holdfast: FAULT"), "{}", outcome.text);
}

#[test]
fn a_handler_that_changes_nothing_makes_no_loop() {
    if lacks_keys() {
        return;
    }
    let outcome = run("handler-in-vain");
    let report = stopped(&outcome, &headline("write", &outcome));
    assert!(report[0].contains(", its handler asked to try again but has changed nothing, "), "{}", report[0]);
    let outcome = run("handler-leaves-it");
    let report = stopped(&outcome, &headline("write", &outcome));
    assert!(!report[0].contains("its handler"), "{}", report[0]);
}

#[test]
fn a_handler_that_strays_ends_the_process() {
    if lacks_keys() {
        return;
    }
    let outcome = run("handler-strays");
    outcome.assert_ended_by(libc::SIGSEGV);
    outcome.assert_unchanged();
}

#[test]
fn the_next_device_in_a_place_has_no_handler_yet() {
    if lacks_keys() {
        return;
    }
    let outcome = run("handler-of-the-one-before");
    let report = stopped(&outcome, &headline("write", &outcome));
    assert!(!report[0].contains("its handler"), "{}", report[0]);
    assert_stored(&run("handler-of-the-one-before-unprotected"), 7);
}
