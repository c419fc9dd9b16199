//! Long loads on a lossy link: nothing leaks, no byte is lost, no connection is stuck.
//!
//! The usual run has a short one, and its controls: defects that are planted in the guest's program, each of which has
//! to be found. `cargo xtask test soak` has the long one too: ten minutes, or `HOLDFAST_SOAK_SECONDS`.

use std::env;
use std::thread;
use std::time::Duration;

use holdfast_tests::soak::{Outcome, REST, Soak, SoakOptions};

/// What the long load takes if nothing else is said.
const LONG: Duration = Duration::from_secs(600);

fn say(line: &str) {
    println!("{line}");
}

/// The number in this variable of the environment.
fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

fn expect_none(outcome: &Outcome, soak: &Soak) {
    let violations = outcome.faults.len() + outcome.leaks.len();
    assert_eq!(violations, 0, "{outcome}\nthe console:\n{}", soak.console().join("\n"));
}

#[test]
fn ten_seconds_of_load_leave_nothing_behind() {
    let mut soak = Soak::boot(SoakOptions { clients: 60, ..SoakOptions::default() });
    let warm_up = soak.load(Duration::from_secs(4), REST, &say);
    assert!(warm_up.faults.is_empty(), "{warm_up}");
    let outcome = soak.load(Duration::from_secs(10), REST, &say);
    println!("{outcome}");
    expect_none(&outcome, &soak);
    assert!(outcome.traffic["lost"] > 0 && outcome.traffic["repeated"] > 0 && outcome.traffic["delayed"] > 0);
    assert!(outcome.tally.whole() > 100 && outcome.tally.most() > 20, "{outcome}");
}

/// Plants a defect in the guest's program, which has to be found by this.
fn expect_found(defect: &str, finding: &str) {
    let mut soak = Soak::boot(SoakOptions { clients: 20, faults: [0; 3], ..SoakOptions::default() });
    soak.load(Duration::from_secs(2), REST, &say);
    soak.plant(defect);
    let outcome = soak.load(Duration::from_secs(2), Duration::from_secs(12), &say);
    let mut violations = outcome.faults.iter().chain(&outcome.leaks);
    assert!(violations.any(|violation| violation.contains(finding)), "{defect}: {outcome}");
}

/// Each in a machine of its own, all at once: most of the time they wait for what the guest lets go by itself.
#[test]
fn planted_defects_are_found() {
    thread::scope(|scope| {
        for (defect, finding) in
            [("byte", "a byte is wrong or missing"), ("handle", "heap_pieces"), ("buffer", "heap_pieces")]
        {
            scope.spawn(move || expect_found(defect, finding));
        }
    });
}

#[test]
#[ignore = "takes ten minutes; `cargo xtask test soak` runs it"]
fn ten_minutes_of_load_leave_nothing_behind() {
    let time = number("HOLDFAST_SOAK_SECONDS").map_or(LONG, Duration::from_secs);
    let options = SoakOptions {
        seed: number("HOLDFAST_SOAK_SEED").unwrap_or(1),
        clients: number("HOLDFAST_SOAK_CLIENTS").unwrap_or(500) as usize,
        ..SoakOptions::default()
    };
    println!("{options:?}");
    let mut soak = Soak::boot(options);
    let warm_up = soak.load(Duration::from_secs(30).min(time), REST, &say);
    println!("the load that fills what is kept, whose leaks are none:\n{warm_up}\n");
    assert!(warm_up.faults.is_empty(), "{warm_up}");
    let outcome = soak.load(time, REST, &say);
    println!("{outcome}");
    expect_none(&outcome, &soak);
    assert!(time < LONG || outcome.tally.most() > 400, "there were too few connections at once");
}
