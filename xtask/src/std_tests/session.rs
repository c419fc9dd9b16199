//! All tests of one program, in as few boots as it takes.
//!
//! One boot runs them all. When the machine ends before libtest is done, the tests that were running then are the
//! suspects: each is run in a machine of its own, and what is left is run without them. So a test that crashes the
//! machine, or brings it to a standstill, costs a boot and not the other tests.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::events::Event;

/// How long the names on a command line may be together, in bytes. QEMU's option ROM takes 4095 bytes for all of it.
const NAMES: usize = 3000;
/// What libtest ends with after a failed test.
const FAILED: u8 = 101;
/// How much of what the machine said last is shown of a test that ended it, in lines.
const LAST_WORDS: usize = 60;

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// With what it said.
    Failed(String),
    /// By an attribute in its source, with the reason there.
    Ignored(String),
}

/// One machine, from its boot to its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Boot {
    /// What libtest said.
    pub(super) events: Vec<Event>,
    /// The other lines on the console.
    pub(super) noise: Vec<String>,
    /// How the machine ended, in words.
    pub(super) end: String,
    /// The status that the guest ended with, if it ended by itself.
    pub(super) status: Option<u8>,
}

/// What all tests came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Each test's verdict.
    pub(super) results: BTreeMap<String, Verdict>,
    /// How many tests libtest left out, if it was told which.
    pub(super) filtered_out: Option<u64>,
}

/// The arguments for one test alone.
pub(super) fn alone(name: &str) -> Vec<String> {
    vec!["--exact".to_owned(), name.to_owned()]
}

/// Runs the tests but those `skipped`, and of the others only those with `filter` in their names, by machines that
/// `boot` starts with further arguments.
pub(super) fn run(
    skipped: &[&str],
    filter: Option<&str>,
    mut boot: impl FnMut(&[String]) -> Result<Boot>,
) -> Result<Tally> {
    let mut tally = Tally::default();
    if filter.is_none() {
        let mut arguments = vec!["--exact".to_owned()];
        arguments.extend(skipped.iter().flat_map(|&name| ["--skip".to_owned(), name.to_owned()]));
        let all = boot(&arguments)?;
        if tally.take(&all) {
            return Ok(tally);
        }
        // Those that ran when the machine ended come first, each alone.
        let suspects = suspects(&all);
        let names = list(&mut boot)?;
        let left: Vec<String> = names
            .into_iter()
            .filter(|name| !skipped.contains(&name.as_str()) && !tally.results.contains_key(name))
            .collect();
        tally.run_groups(groups(left, &suspects), &mut boot)?;
        return Ok(tally);
    }
    let wanted = |name: &String| filter.is_none_or(|part| name.contains(part)) && !skipped.contains(&name.as_str());
    let names = list(&mut boot)?.into_iter().filter(wanted).collect();
    tally.run_groups(groups(names, &BTreeSet::new()), &mut boot)?;
    Ok(tally)
}

/// The names of all tests.
fn list(boot: &mut impl FnMut(&[String]) -> Result<Boot>) -> Result<Vec<String>> {
    let listed = boot(&["--list".to_owned()])?;
    if !listed.events.contains(&Event::Listed) {
        bail!("the test program does not list its tests ({}):\n{}", listed.end, listed.noise.join("\n"));
    }
    let names = listed.events.into_iter().filter_map(|event| match event {
        Event::Discovered(name) => Some(name),
        _ => None,
    });
    Ok(names.collect())
}

/// The tests that had begun and not ended.
fn suspects(boot: &Boot) -> BTreeSet<String> {
    let mut running = BTreeSet::new();
    for event in &boot.events {
        match event {
            Event::Started(name) => drop(running.insert(name.clone())),
            Event::Passed(name) | Event::Failed(name, _) | Event::Ignored(name, _) => drop(running.remove(name)),
            _ => {}
        }
    }
    running
}

/// Divides tests among machines: each suspect has one of its own, the others share as many as their names fit.
fn groups(names: Vec<String>, suspects: &BTreeSet<String>) -> Vec<Vec<String>> {
    let (lonely, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| suspects.contains(name));
    let mut groups: Vec<Vec<String>> = lonely.into_iter().map(|name| vec![name]).collect();
    let mut length = usize::MAX;
    for name in others {
        // A space in front, and spaces within take three bytes.
        let cost = name.len() + 1 + 2 * name.matches([' ', '%']).count();
        if length.saturating_add(cost) > NAMES {
            groups.push(Vec::new());
            length = 0;
        }
        length += cost;
        if let Some(group) = groups.last_mut() {
            group.push(name);
        }
    }
    groups
}

impl Tally {
    /// Takes in what one machine said, and says whether it ended as it should, with all tests done.
    fn take(&mut self, boot: &Boot) -> bool {
        let mut finished = None;
        for event in &boot.events {
            let (name, verdict) = match event {
                Event::Passed(name) => (name, Verdict::Passed),
                Event::Failed(name, said) => (name, Verdict::Failed(said.clone())),
                Event::Ignored(name, why) => (name, Verdict::Ignored(why.clone())),
                Event::Finished { failed, filtered_out } => {
                    finished = Some((*failed, *filtered_out));
                    continue;
                }
                _ => continue,
            };
            self.results.insert(name.clone(), verdict);
        }
        let Some((failed, filtered_out)) = finished else { return false };
        self.filtered_out = Some(filtered_out);
        let expected = if failed > 0 { FAILED } else { 0 };
        if boot.status != Some(expected) {
            let said = format!("all tests were done, and then: {}\n{}", boot.end, last_words(boot));
            self.results.insert("(the machine's end)".to_owned(), Verdict::Failed(said));
        }
        true
    }

    /// Runs these groups, each in a machine, and what machines that end too early leave.
    fn run_groups(
        &mut self,
        groups_: Vec<Vec<String>>,
        boot: &mut impl FnMut(&[String]) -> Result<Boot>,
    ) -> Result<()> {
        let mut todo = groups_;
        todo.reverse();
        while let Some(group) = todo.pop() {
            let mut arguments = vec!["--exact".to_owned()];
            arguments.extend(group.iter().cloned());
            let booted = boot(&arguments)?;
            if self.take(&booted) {
                continue;
            }
            let left: Vec<String> = group.into_iter().filter(|name| !self.results.contains_key(name)).collect();
            match left.as_slice() {
                [] => {}
                // Nobody else was there.
                [only] if arguments.len() == 2 => {
                    let said = format!("{}\n{}", booted.end, last_words(&booted));
                    self.results.insert(only.clone(), Verdict::Failed(said));
                }
                _ => {
                    let mut suspects = suspects(&booted);
                    if suspects.is_empty() {
                        // It ended between two tests; whoever comes first is alone next time, so that this comes to an
                        // end.
                        suspects.extend(left.first().cloned());
                    }
                    let mut next = groups(left, &suspects);
                    next.reverse();
                    todo.extend(next);
                }
            }
        }
        // What this leaves out is not what the caller left out.
        self.filtered_out = None;
        Ok(())
    }
}

/// What the machine printed last.
fn last_words(boot: &Boot) -> String {
    let lines = &boot.noise[boot.noise.len().saturating_sub(LAST_WORDS)..];
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with these tests: what a name begins with says what becomes of the test. Two run at a time.
    fn machine(names: &[String], arguments: &[String], boots: &mut usize) -> Boot {
        *boots += 1;
        let mut boot = Boot { end: "the guest powered off".into(), status: Some(0), ..Boot::default() };
        if arguments == ["--list"] {
            boot.events.extend(names.iter().cloned().map(Event::Discovered));
            boot.events.push(Event::Listed);
            return boot;
        }
        let mut skipped = arguments.windows(2).filter(|pair| pair[0] == "--skip").map(|pair| &pair[1]);
        let skipped: Vec<_> = skipped.by_ref().collect();
        let exact: Vec<_> = arguments[1..].iter().filter(|_| skipped.is_empty()).collect();
        let chosen: Vec<_> =
            names.iter().filter(|name| !skipped.contains(name) && (exact.is_empty() || exact.contains(name))).collect();
        let mut failed = 0;
        for pair in chosen.chunks(2) {
            boot.events.extend(pair.iter().map(|&name| Event::Started(name.clone())));
            for &name in pair {
                match name.split(' ').next() {
                    Some("crash") => {
                        boot.noise.push(format!("{name} is the end"));
                        boot.status = Some(102);
                        boot.end = "crashed".into();
                        return boot;
                    }
                    Some("fail") => {
                        failed += 1;
                        boot.events.push(Event::Failed(name.clone(), "no".into()));
                    }
                    Some("ignore") => boot.events.push(Event::Ignored(name.clone(), String::new())),
                    _ => boot.events.push(Event::Passed(name.clone())),
                }
            }
        }
        boot.events.push(Event::Finished { failed, filtered_out: (names.len() - chosen.len()) as u64 });
        if failed > 0 {
            boot.status = Some(101);
        }
        boot
    }

    fn names(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn count(tally: &Tally, wanted: fn(&Verdict) -> bool) -> usize {
        tally.results.values().filter(|&verdict| wanted(verdict)).count()
    }

    #[test]
    fn one_boot_is_enough_when_nothing_crashes() {
        let (names, mut boots) = (names(&["a", "fail b", "ignore c", "d"]), 0);
        let tally = run(&["d"], None, |arguments| Ok(machine(&names, arguments, &mut boots))).unwrap();
        assert_eq!(boots, 1);
        assert_eq!(tally.filtered_out, Some(1));
        assert_eq!(tally.results["a"], Verdict::Passed);
        assert_eq!(tally.results["fail b"], Verdict::Failed("no".into()));
        assert_eq!(tally.results["ignore c"], Verdict::Ignored(String::new()));
        assert_eq!(tally.results.len(), 3);
    }

    #[test]
    fn tests_that_end_the_machine_are_found_and_the_others_still_run() {
        let mut words: Vec<String> = (0..300).map(|number| format!("good test number {number}")).collect();
        for number in [0, 7, 8, 150, 300] {
            words.insert(number, format!("crash {number}"));
        }
        words.push("crash skipped".to_owned());
        let mut boots = 0;
        let tally = run(&["crash skipped"], None, |arguments| {
            let length: usize = arguments.iter().map(|argument| argument.len() + 1).sum();
            assert!(length < NAMES + 100, "{length}");
            Ok(machine(&words, arguments, &mut boots))
        });
        let tally = tally.unwrap();
        assert_eq!(count(&tally, |verdict| *verdict == Verdict::Passed), 300);
        assert_eq!(count(&tally, |verdict| matches!(verdict, Verdict::Failed(_))), 5);
        assert!(matches!(&tally.results["crash 7"], Verdict::Failed(said) if said.contains("crash 7 is the end")));
        assert!(!tally.results.contains_key("crash skipped"));
    }

    #[test]
    fn a_filter_selects_by_parts_of_names() {
        let (names, mut boots) = (names(&["net::a", "net::b", "net::c", "sync::a"]), 0);
        let tally = run(&["net::c"], Some("net"), |arguments| Ok(machine(&names, arguments, &mut boots))).unwrap();
        assert_eq!(tally.results.keys().collect::<Vec<_>>(), ["net::a", "net::b"]);
        assert_eq!(boots, 2);
    }

    #[test]
    fn a_machine_that_ends_badly_after_the_last_test_is_a_failure() {
        let names = names(&["a"]);
        let tally = run(&[], None, |arguments| {
            Ok(Boot { status: Some(102), end: "crashed".into(), ..machine(&names, arguments, &mut 0) })
        });
        assert!(
            matches!(&tally.unwrap().results["(the machine's end)"], Verdict::Failed(said) if said.contains("crashed"))
        );
    }

    #[test]
    fn a_program_that_lists_nothing_is_an_error() {
        let error = run(&[], None, |_| Ok(Boot { end: "crashed".into(), ..Boot::default() })).unwrap_err();
        assert!(error.to_string().contains("crashed"), "{error}");
    }
}
