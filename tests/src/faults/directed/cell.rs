//! One cell: a shape in a context under a backend, what is expected of it, and whether that came about.

use std::fmt;
use std::iter;
use std::time::Duration;

use libos_contract::exit;
use libos_contract::report::FAULT;
use strays::{Access, Shape};
use xtask::annotate::Annotator;
use xtask::qemu::{Exit, Machine, Protection};

use super::contexts::{CONTEXTS, Context};
use super::images::Images;
use super::shapes::{self, shapes};
use crate::machine::{Outcome, machine, outcome_within};
use crate::pattern::Pattern;

/// The backends, in the order of the signs in the table. The last one is the control group.
pub const BACKENDS: [Protection; 3] = [Protection::Pks, Protection::Pku, Protection::None];

/// Where the sources of what goes astray are: the guest program's, and those of `strays`.
const SOURCES: &str = "tests/";

/// How long a boot may take: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to come of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A report that names the place and the culprit, exit status 103, and nothing changed.
    Stopped,
    /// The load is permitted in this context, and reads what is there.
    Permitted,
    /// The store goes past the key, since it has made a mapping of its own, and the audit names that mapping.
    Found,
    /// The control group: the store changes just what it stores.
    Corrupts,
    /// The control group: the load reads what is there.
    Reads,
}

impl Expected {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Stopped, Self::Permitted, Self::Found, Self::Corrupts, Self::Reads];

    /// The sign in the table.
    pub fn sign(self) -> char {
        match self {
            Self::Stopped => 'S',
            Self::Permitted => 'p',
            Self::Found => 'A',
            Self::Corrupts => 'C',
            Self::Reads => 'R',
        }
    }

    /// What the sign means.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Stopped => {
                "stopped: a report with place, thread, rights, code and function, exit status 103, nothing changed"
            }
            Self::Permitted => "a load that a read grant permits: it reads what is there",
            Self::Found => "goes past the key by a mapping of its own making; the audit names that mapping",
            Self::Corrupts => "control: the image is changed, by just what the shape stores",
            Self::Reads => "control: the load reads what is there",
        }
    }
}

/// A shape in a context under a backend.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Who does it.
    pub context: &'static Context,
    /// What is done.
    pub shape: &'static Shape,
    /// What guards the images.
    pub protection: Protection,
}

impl Cell {
    /// Every cell that makes sense: an interrupt cannot come where interrupts are disabled.
    pub fn all() -> impl Iterator<Item = Self> {
        let pairs = shapes().flat_map(|shape| CONTEXTS.iter().map(move |context| (context, shape)));
        let sensible = pairs.filter(|(context, shape)| !(context.is_handler && shapes::takes_interrupts(shape)));
        sensible.flat_map(|(context, shape)| BACKENDS.map(|protection| Self { context, shape, protection }))
    }

    /// The backend's name.
    pub fn backend(&self) -> &'static str {
        self.protection.word()
    }

    /// What is expected of it.
    pub fn expected(&self) -> Expected {
        match (self.protection, self.shape.access) {
            (Protection::None, Access::Write) => Expected::Corrupts,
            (Protection::None, Access::Read) => Expected::Reads,
            _ if shapes::bypasses(self.shape) => Expected::Found,
            (_, Access::Read) if self.context.may_read => Expected::Permitted,
            _ => Expected::Stopped,
        }
    }

    /// Boots the machine once and says what is not as expected; nothing if all is.
    pub(super) fn run(&self, images: &mut Images, annotator: &mut Annotator) -> Vec<String> {
        let (context, shape) = (self.context, self.shape);
        let pair = images.take(context.is_huge);
        let mut options = machine("stray", &[context.name, shape.name, &shapes::before(&pair[0])]);
        options.protection = self.protection.into();
        options.smp = context.processors.max(shapes::processors(shape));
        options.pmem.extend(pair.iter().map(Pattern::open));
        let machine = match Machine::start(options, None) {
            Ok(machine) => machine,
            Err(error) => return vec![format!("{error:#}")],
        };
        let outcome = outcome_within(PATIENCE, &machine, annotator);
        // It writes to the images as long as it is there.
        drop(machine);
        let mut wrong = self.judge(&outcome, &pair);
        if wrong.is_empty() {
            if pair.iter().all(|image| image.changes().is_empty()) {
                images.put_back(context.is_huge, pair);
            }
        } else {
            wrong.push(format!("the console:\n{outcome}"));
        }
        wrong
    }

    fn judge(&self, outcome: &Outcome, images: &[Pattern; 2]) -> Vec<String> {
        let mut wrong = match self.expected() {
            Expected::Stopped => self.judge_report(outcome, images[0].length()),
            Expected::Permitted | Expected::Reads => judge_value(outcome, &images[0], shapes::first(self.shape, 0)),
            Expected::Found | Expected::Corrupts => self.judge_survivor(outcome),
        };
        wrong.extend(self.judge_search(outcome));
        wrong.extend(match self.expected() {
            Expected::Stopped => {
                let unchanged = images.iter().all(|image| image.changes().is_empty());
                (!unchanged).then(|| "the images have changed".to_owned())
            }
            _ => shapes::judge_changes(self.shape, images),
        });
        wrong
    }

    /// What is wrong with the report of an access that was stopped, to a `pmem0` of this length.
    fn judge_report(&self, outcome: &Outcome, length: u64) -> Vec<String> {
        let mut wrong = expect_exit(outcome, exit::PROTECTION_FAULT);
        let Some(report) = outcome.find_report() else {
            wrong.push("there is no report".to_owned());
            return wrong;
        };
        let mut expect = |is_so: bool, what: &str| {
            if !is_so {
                wrong.push(format!("the report does not say {what}"));
            }
        };
        let access = if self.shape.access == Access::Read { "read" } else { "write" };
        let place = format!("stray {access} of pmem0 at offset {:#x} ", shapes::first(self.shape, length));
        let headline = report.headline();
        expect(headline.starts_with(&format!("{FAULT}{place}")), &place);
        expect(headline.contains(", key 1), "), "the key");
        expect(headline.contains(", policy strict: machine stopped"), "that the machine was stopped");
        expect(outcome.count(FAULT) == 1, "one fault");
        expect(report.rights() == self.context.rights, self.context.rights);

        let handler = if self.context.is_handler { ", in a handler that interrupted it" } else { "" };
        let (_, thread) = report.thread().split_once(' ').unwrap_or_default();
        let cpu = thread.strip_prefix(&format!("\"{}\" on cpu ", self.context.thread));
        let cpu = cpu.and_then(|rest| rest.strip_suffix(handler)).and_then(|cpu| cpu.parse::<u32>().ok());
        expect(cpu.is_some(), &format!("thread \"{}\"{handler}", self.context.thread));
        let from = outcome.find_after("stray: moved from cpu ").and_then(|from| from.parse().ok());
        let moved = from.is_some() && from != cpu;
        expect(moved || self.context.processors == 1, "another CPU than before");

        let mut named = report.functions(SOURCES);
        for function in iter::once(self.shape.function).chain(self.context.functions.iter().copied()) {
            expect(named.by_ref().any(|name| name == function), &format!("function {function} where it should"));
        }
        let instruction = self.shape.instruction;
        expect(report.code().contains(&format!("   {instruction}")), &format!("instruction {instruction}"));
        expect(!outcome.has_line("stray: survived"), "that the program has stopped: it went on");
        wrong
    }

    /// What is wrong with what a program says that has gone astray and lived.
    fn judge_survivor(&self, outcome: &Outcome) -> Vec<String> {
        let exit = if self.expected() == Expected::Corrupts { shapes::survivor_exit(self.shape) } else { 0 };
        let mut wrong = expect_exit(outcome, exit);
        if exit == 0 && !outcome.has_line("stray: survived") {
            wrong.push("the program has not come to its end".to_owned());
        }
        if shapes::bypasses(self.shape)
            && !outcome
                .find_after("stray: the audit: leaf 0x")
                .is_some_and(|found| found.contains(" alias of pmem at "))
        {
            wrong.push("the audit does not name the mapping".to_owned());
        }
        wrong
    }

    /// What is wrong with what a search of the page tables has found: there is one mapping of each frame, and it has a
    /// key.
    fn judge_search(&self, outcome: &Outcome) -> Option<String> {
        let keyless = if self.protection == Protection::None { 1 } else { 0 };
        let expected = format!("stray: 1 mappings of the frame, {keyless} without a key");
        (self.shape.name == "alias-walk" && !outcome.has_line(&expected)).then(|| format!("no line says `{expected}`"))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} with {}", self.context.name, self.shape.name, self.backend())
    }
}

fn expect_exit(outcome: &Outcome, code: u8) -> Vec<String> {
    match outcome.exit() {
        Some(Exit::Guest(found)) if found == code => vec![],
        Some(other) => vec![format!("expected exit status {code}, but {other}")],
        None => vec![format!("the machine still runs after {} s", PATIENCE.as_secs())],
    }
}

/// What is wrong with what the program says that it has read at this offset.
fn judge_value(outcome: &Outcome, image: &Pattern, offset: u64) -> Vec<String> {
    let mut wrong = expect_exit(outcome, 0);
    let there = u64::from_le_bytes(image.bytes(offset..offset + 8).try_into().unwrap_or_default());
    let line = format!("stray: read {there:#x}");
    if !outcome.has_line(&line) {
        wrong.push(format!("no line says `{line}`"));
    }
    wrong
}
