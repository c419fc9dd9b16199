//! How long the boot takes, by stage, up to the moment when the program is ready.
//!
//! A stage is named where it ends: `reached` notes the time-stamp counter, which counts from the reset of the machine.
//! What lies between two such marks is a stage, so the stages follow each other without gaps, and add up to the whole.
//! What goes on beside them, such as waiting for an address, has a time of its own (`aside`) and is part of no stage.
//! The library marks its own stages; a program can mark some more (`reached`, after its recovery for example) and ends
//! the list by `ready`, which prints it in one line:
//!
//! ```text
//! holdfast: ready after 412.3 ms: firmware 95.1, memory 12.0, …, ready 3.1 (IPv4 address at 300.0)
//! ```

use core::fmt;

/// The most marks that are kept.
const MOST: usize = 24;

/// A point in time with a name, in counts of the time-stamp counter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    /// What was done.
    pub name: &'static str,
    /// When, in counts.
    pub count: u64,
    /// Whether a stage ends here.
    pub ends_stage: bool,
}

/// The marks, in the order in which they were made.
#[derive(Debug)]
pub struct Marks {
    all: [Mark; MOST],
    used: usize,
    is_ready: bool,
}

impl Marks {
    /// None yet.
    #[allow(clippy::new_without_default, reason = "it is made once, as a static")]
    pub const fn new() -> Self {
        Self { all: [const { Mark { name: "", count: 0, ends_stage: false } }; MOST], used: 0, is_ready: false }
    }

    /// Adds a mark, if there is room and the program is not ready yet.
    pub fn add(&mut self, mark: Mark) {
        if !self.is_ready
            && let Some(free) = self.all.get_mut(self.used)
        {
            *free = mark;
            self.used += 1;
        }
    }

    /// The stages and what went on beside them, with the times that `microseconds` makes of counts.
    pub fn report(&self, microseconds: impl Fn(u64) -> u64) -> Report {
        let (mut stages, mut asides) = (List::new(), List::new());
        let mut from = 0;
        for mark in &self.all[..self.used] {
            let to = microseconds(mark.count);
            if mark.ends_stage {
                stages.push(Stage { name: mark.name, from, to });
                from = to;
            } else {
                asides.push(Stage { name: mark.name, from: to, to });
            }
        }
        Report { stages, asides }
    }
}

/// A stage of the boot, in microseconds since the machine's reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// What was done.
    pub name: &'static str,
    /// When it began: when the stage before it ended.
    pub from: u64,
    /// When it ended.
    pub to: u64,
}

/// A few stages, without a heap.
#[derive(Clone, Copy, Debug)]
struct List {
    all: [Stage; MOST],
    used: usize,
}

impl List {
    fn new() -> Self {
        Self { all: [Stage::default(); MOST], used: 0 }
    }

    fn push(&mut self, stage: Stage) {
        self.all[self.used] = stage;
        self.used += 1;
    }

    fn as_slice(&self) -> &[Stage] {
        &self.all[..self.used]
    }
}

/// How long the boot took. Displayed as one line, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    stages: List,
    asides: List,
}

impl Report {
    /// The stages, in order.
    pub fn stages(&self) -> &[Stage] {
        self.stages.as_slice()
    }

    /// What went on beside the stages: each with the moment when it was done.
    pub fn asides(&self) -> &[Stage] {
        self.asides.as_slice()
    }

    /// How long all stages took together, in microseconds.
    pub fn total(&self) -> u64 {
        self.stages().last().map_or(0, |last| last.to)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ready after {} ms:", Milliseconds(0, self.total()))?;
        for (number, stage) in self.stages().iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma} {} {}", stage.name, Milliseconds(stage.from, stage.to))?;
        }
        for (number, aside) in self.asides().iter().enumerate() {
            let before = if number == 0 { " (" } else { ", " };
            write!(f, "{before}{} at {}", aside.name, Milliseconds(0, aside.to))?;
        }
        f.write_str(if self.asides().is_empty() { "" } else { ")" })
    }
}

/// The time from one moment to another, both in microseconds. The moments are rounded, not the difference: so what is
/// displayed adds up.
struct Milliseconds(u64, u64);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.1.saturating_add(50) / 100 - self.0.saturating_add(50) / 100;
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}

#[cfg(target_os = "hermit")]
pub(crate) use guest::reached_at;
#[cfg(target_os = "hermit")]
pub use guest::{aside, reached, ready, report};

#[cfg(target_os = "hermit")]
mod guest {
    use super::{Mark, Marks, Report};
    use crate::arch::counter;
    use crate::kprintln;
    use crate::sync::IrqLock;

    static MARKS: IrqLock<Marks> = IrqLock::new(Marks::new());

    /// Says that the stage of this name ends now, and the next one begins.
    pub fn reached(stage: &'static str) {
        reached_at(stage, counter::read());
    }

    /// Says that the stage of this name has ended when the time-stamp counter had this value.
    pub(crate) fn reached_at(stage: &'static str, count: u64) {
        MARKS.lock().add(Mark { name: stage, count, ends_stage: true });
    }

    /// Says that something is done now that goes on beside the stages.
    pub fn aside(event: &'static str) {
        MARKS.lock().add(Mark { name: event, count: counter::read(), ends_stage: false });
    }

    /// Says that the program does now what it is there for. The first time this prints how long everything took.
    pub fn ready() {
        let mut marks = MARKS.lock();
        if marks.is_ready {
            return;
        }
        marks.add(Mark { name: "ready", count: counter::read(), ends_stage: true });
        marks.is_ready = true;
        drop(marks);
        kprintln!("holdfast: {}", report());
    }

    /// The stages so far.
    pub fn report() -> Report {
        MARKS.lock().report(|count| counter::to_nanoseconds(count) / 1000)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn marks(list: &[(&'static str, u64, bool)]) -> Marks {
        let mut marks = Marks::new();
        list.iter().for_each(|&(name, count, ends_stage)| marks.add(Mark { name, count, ends_stage }));
        marks
    }

    #[test]
    fn stages_follow_each_other_and_add_up_though_they_are_rounded() {
        let marks = marks(&[("a", 149, true), ("b", 298, true), ("beside", 400, false), ("c", 447, true)]);
        let report = marks.report(|count| count);
        let lengths = report.stages().iter().map(|stage| stage.to - stage.from);
        assert_eq!(lengths.sum::<u64>(), report.total());
        // Rounded by itself each would be 0.1, and the whole 0.4.
        assert_eq!(report.to_string(), "ready after 0.4 ms: a 0.1, b 0.2, c 0.1 (beside at 0.4)");
    }

    #[test]
    fn without_marks_there_is_nothing_and_what_does_not_fit_is_left_out() {
        assert_eq!(marks(&[]).report(|count| count).to_string(), "ready after 0.0 ms:");
        let full = marks(&[("x", 1, true); MOST + 5]);
        assert_eq!(full.report(|count| count).stages().len(), MOST);
    }
}
