//! The page for people.

use std::fmt::Write as _;

use super::Summary;
use super::chart::{chart, class};
use super::words::{how, words};
use crate::faults::plan::Target;
use crate::faults::record::{Group, Outcome, Record};
use crate::faults::runs::Runs;

const STYLE: &str = include_str!("style.css");
/// How many runs are told in full.
const TOLD: usize = 60;

/// The whole page. It needs nothing beside itself.
pub(super) fn page(summary: &Summary, runs: &Runs) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Holdfast: faults, seed {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>Faults injected into a running store</h1>\n",
        summary.seed
    );
    verdict(&mut page, summary);
    parameters(&mut page, summary);
    page.push_str("<h2>Outcomes by kind of fault</h2>\n");
    page.push_str(&chart(summary));
    table(&mut page, summary);
    residue(&mut page, summary, runs);
    windows(&mut page, summary);
    faults(&mut page, summary.target);
    page.push_str(words(summary.target).judgement);
    page.push_str(words(summary.target).limits);
    page.push_str("</body>\n</html>\n");
    page
}

fn verdict(page: &mut String, summary: &Summary) {
    let mut say = |is_good: bool, text: String| {
        let class = if is_good { "good" } else { "bad" };
        let _ = writeln!(page, "<p class=\"verdict {class}\">{text}</p>");
    };
    for group in [Group::Pks, Group::Pku] {
        let Some(runs) = summary.runs.get(&group) else { continue };
        let name = group.name();
        let of = |outcome| summary.outcomes[&group].get(&outcome).copied().unwrap_or(0);
        let (outside, undecided) = (of(Outcome::OutsideGrant), of(Outcome::Undecided));
        if outside + undecided == 0 {
            say(
                true,
                format!(
                    "{name}: in none of {runs} runs was persistent memory changed by a store outside of an open grant."
                ),
            );
        } else {
            say(
                false,
                format!(
                    "{name}: of {runs} runs {outside} changed persistent memory outside of grants, and in {undecided} it is not known."
                ),
            );
        }
    }
    match summary.verdict.control {
        Some(true) => {
            let changed = summary.outcomes[&Group::None].get(&Outcome::OutsideGrant).copied().unwrap_or(0);
            let (runs, lost) = (summary.runs[&Group::None], summary.lost_acknowledged[&Group::None]);
            say(
                true,
                format!(
                    "none (the control group): the same faults overwrote persistent memory in {changed} of {runs} runs; {lost} lost or altered something acknowledged."
                ),
            );
        }
        Some(false) => {
            say(false, "The control group lost nothing: this campaign was too small to say anything.".into())
        }
        None => {
            say(false, "There was no control group: what would have happened without protection is not known.".into())
        }
    }
}

fn parameters(page: &mut String, summary: &Summary) {
    let runs: Vec<String> = summary.runs.iter().map(|(group, runs)| format!("{runs} on {}", group.name())).collect();
    let _ = writeln!(
        page,
        "<p>Seed {}, runs {}, {} CPUs, {} {} (CRC32C). Every group gets the same plans. A run alone: \
         <code>cargo xtask faults {}--seed {} --only RUN</code>.</p>",
        summary.seed,
        runs.join(", "),
        summary.smp,
        words(summary.target).place,
        summary.image,
        words(summary.target).option,
        summary.seed
    );
}

fn table(page: &mut String, summary: &Summary) {
    page.push_str("<table>\n<tr><th>fault</th><th>group</th><th>runs</th>");
    for outcome in Outcome::ALL {
        let _ = write!(page, "<th><span class=\"swatch {}\"></span>{}</th>", class(outcome), outcome.label());
    }
    page.push_str("</tr>\n");
    let mut row = |name: String, group: Group, counts: &super::Counts| {
        let _ = write!(page, "<tr><td>{name}</td><td>{}</td><td>{}</td>", group.name(), counts.values().sum::<u64>());
        for outcome in Outcome::ALL {
            match counts.get(&outcome) {
                Some(count) => drop(write!(page, "<td>{count}</td>")),
                None => page.push_str("<td class=\"zero\">0</td>"),
            }
        }
        page.push_str("</tr>\n");
    };
    for (kind, groups) in &summary.by_kind {
        groups.iter().for_each(|(&group, counts)| row(kind.to_string(), group, counts));
    }
    summary.outcomes.iter().for_each(|(&group, counts)| row("<b>all</b>".into(), group, counts));
    page.push_str("</table>\n");
    for (group, runs) in &summary.runs {
        let _ = writeln!(
            page,
            "<p>{}: of {runs} runs, {} lost or altered something acknowledged, whatever did it; {} changed the device that nobody \
             has a grant for; in {} the fault was injected while the CPU could write to the pool's device; in {} nothing was found that \
             the fault could be done to.</p>",
            group.name(),
            summary.lost_acknowledged[group],
            summary.canary_changed[group],
            summary.injected_in_window[group],
            summary.not_injected[group]
        );
    }
}

/// The runs that a reader wants to see: what protection did not prevent.
fn residue(page: &mut String, summary: &Summary, runs: &Runs) {
    page.push_str(
        "<h2>What protection does not prevent</h2>\n<p><b>Inside an open grant</b> the device is open to whatever its \
         holder's code does: a copy that runs too far, a pointer that is wrong only there. <b>Before the store</b>, in RAM, a value can \
         be changed, a command misunderstood or a reply sent too early; the store then keeps faithfully what it was given. Neither is \
         what protection keys are for, and both are counted here so that nobody thinks otherwise.</p>\n",
    );
    let interesting = |record: &&Record| record.group.is_protected() && record.outcome > Outcome::Unaffected;
    let worst = |record: &&Record| {
        !matches!(
            record.outcome,
            Outcome::Stopped | Outcome::Crashed | Outcome::Hung | Outcome::ClientErrors | Outcome::Unaffected
        )
    };
    let mut told: Vec<&Record> = runs.records.values().filter(|r| r.group.is_protected()).filter(worst).collect();
    told.sort_by_key(|record| (record.outcome, record.group, record.plan.run));
    let left_out = told.len().saturating_sub(TOLD);
    told.iter().take(TOLD).for_each(|record| tell(page, record));
    if left_out > 0 {
        let _ = writeln!(page, "<p>{left_out} more are in the file of runs.</p>");
    }
    if told.is_empty() {
        page.push_str("<p>There was no such run in this campaign.</p>\n");
    }
    let stopped: Vec<&Record> =
        runs.records.values().filter(interesting).filter(|record| record.outcome == Outcome::Stopped).collect();
    if !stopped.is_empty() {
        let _ = writeln!(
            page,
            "<h2>Stopped by protection</h2>\n<p>{} stray accesses were stopped before anything was stored. The first of them:</p>",
            stopped.len()
        );
        stopped.iter().take(12).for_each(|record| tell(page, record));
    }
    if summary.runs.contains_key(&Group::None) {
        page.push_str("<h2>What the control group overwrote</h2>\n");
        let outside = runs.records.values().filter(|r| r.group == Group::None && r.outcome == Outcome::OutsideGrant);
        outside.take(TOLD).for_each(|record| tell(page, record));
    }
}

fn tell(page: &mut String, record: &Record) {
    let _ = writeln!(
        page,
        "<details><summary><span class=\"swatch {}\"></span>run {} on {}: {}, {}</summary><ul>",
        class(record.outcome),
        record.plan.run,
        record.group.name(),
        record.plan.kind,
        record.outcome.label()
    );
    let mut list = |name: &str, items: &[String]| {
        if !items.is_empty() {
            let _ = writeln!(page, "<li>{name}: {}</li>", escape(&items.join("; ")));
        }
    };
    list("injected", &record.injected);
    list("canary", &record.judgement.canary.first);
    list("overwritten", &record.judgement.overwritten.first);
    list("not readable", &record.judgement.unreadable.first);
    list("wrong", &record.judgement.wrong.first);
    list("clients", &record.complaints);
    list("console", &record.console);
    list("trouble", record.trouble.as_slice());
    if let Some(after) = &record.after {
        let rights: Vec<String> = after.rights.iter().map(|r| r.map_or("?".into(), |r| format!("{r:#010x}"))).collect();
        list("rights at the end", &rights);
        list("protection at the end", &after.broken);
    }
    page.push_str("</ul></details>\n");
}

fn windows(page: &mut String, summary: &Summary) {
    if summary.windows.is_empty() {
        return;
    }
    page.push_str("<h2>How small the open windows are</h2>\n<p>Instructions executed while the pool's device can be written to, counted one by one by single-stepping \
         from the register write that opens to the one that closes:</p>\n<ul>\n");
    for windows in &summary.windows {
        let _ = writeln!(page, "<li>{windows}</li>");
    }
    page.push_str("</ul>\n");
}

fn faults(page: &mut String, target: Target) {
    let words = words(target);
    let _ = writeln!(
        page,
        "<h2>What is injected, and when</h2>\n<p>{}</p>\n<table>\n<tr><th>fault</th><th>how it is chosen</th></tr>",
        words.run
    );
    for &kind in target.kinds() {
        let _ = writeln!(page, "<tr><td>{kind}</td><td>{}</td></tr>", how(target, kind));
    }
    let _ = writeln!(page, "</table>\n<p>{}</p>", words.wrong_addresses);
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
