//! Says what was wrong, in a way that leads to the line of code: which operation is lost, which of its cache lines were
//! not durable when it was acknowledged, and who stored them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use holdfast_trace::format::Event;
use pmem::medium::LINE;
use pmem::sim::Words;
use xtask::annotate::Annotator;

use crate::crash::ledger::Ledger;
use crate::crash::load::Operation;
use crate::crash::record::Recording;
use crate::crash::recover::Fault;
use crate::crash::timeline::acknowledgements;

/// How many lines are named.
const LINES: usize = 3;

/// An image that must not be, and how it comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The boot, from 0.
    pub boot: usize,
    /// Before which event of its trace the power is cut.
    pub event: usize,
    /// What has persisted of what was not durable.
    pub words: Words,
    /// What is wrong with the image.
    pub fault: Fault,
}

/// A cache line that is not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    /// The last store to it: the event and the instruction.
    stored: (usize, u64),
    /// Its write-back, if it was written back since.
    written_back: Option<(usize, u64)>,
}

/// An acknowledged operation.
struct Acknowledged<'l> {
    event: usize,
    client: usize,
    operation: &'l Operation,
}

impl Violation {
    /// Explains it, line by line.
    ///
    /// # Errors
    /// When the program's symbols cannot be read.
    pub fn explain(&self, recording: &Recording) -> io::Result<Vec<String>> {
        let mut annotator =
            Annotator::load(&recording.program).map_err(|error| io::Error::other(format!("{error:#}")))?;
        let trace = &recording.traces[self.boot];
        let mut text = vec![self.fault.what.clone()];
        let next = match trace.get(self.event) {
            None => "at the end of the trace".to_owned(),
            Some(event) => format!("before event {} of {}, {}", self.event, trace.len(), describe(event)),
        };
        text.push(format!("the power is cut in boot {} {next}", self.boot));
        let lines: BTreeSet<u64> = self.words.iter().map(|(offset, _)| offset / LINE).collect();
        text.push(match self.words.len() {
            0 => "nothing that was not durable has persisted".to_owned(),
            words => format!("of what was not durable, {words} words in {} lines have persisted", lines.len()),
        });
        if self.fault.in_recovery {
            text.push("the image is wrong only when the power is cut again while it is recovered".to_owned());
        }
        let lost = self.fault.key.as_deref().and_then(|key| self.last_acknowledged(recording, key));
        let moment = match lost {
            Some(Acknowledged { event, client, operation }) => {
                let operation = operation.describe();
                text.push(format!(
                    "client {client}'s {operation} was acknowledged at event {event}; not durable then:"
                ));
                event
            }
            None => {
                text.push("not durable at that moment:".to_owned());
                self.event
            }
        };
        let pending = pending(&trace[..moment]);
        for (line, pending) in pending.iter().take(LINES) {
            let (event, rip) = pending.stored;
            text.push(format!("  line {:#x}, stored to at event {event} by {rip:#018x}", line * LINE));
            text.push(match pending.written_back {
                None => "    and never written back".to_owned(),
                Some((event, rip)) => {
                    format!("    and written back at event {event}, without a fence since, by {rip:#018x}")
                }
            });
        }
        match pending.len() {
            0 => text.push("  no line: it had not been stored yet, or what was stored does not say it".to_owned()),
            count if count > LINES => text.push(format!("  and {} more lines", count - LINES)),
            _ => {}
        }
        Ok(text
            .iter()
            .flat_map(|line| annotator.annotate(line).lines().map(str::to_owned).collect::<Vec<_>>())
            .collect())
    }

    /// The last operation on a key that was acknowledged before the cut, in the same boot.
    fn last_acknowledged<'l>(&self, recording: &'l Recording, key: &str) -> Option<Acknowledged<'l>> {
        let mut ledger = Ledger::new(&recording.lives);
        let mut last = None;
        for (number, (life, trace)) in recording.lives.iter().zip(&recording.traces).enumerate().take(self.boot + 1) {
            last = None;
            for acknowledged in acknowledgements(number, life, trace).ok()? {
                if number == self.boot && acknowledged.event >= self.event {
                    break;
                }
                let operation = ledger.acknowledge(acknowledged.client)?;
                if operation.is_about(key) {
                    last = Some(Acknowledged { event: acknowledged.event, client: acknowledged.client, operation });
                }
            }
        }
        last
    }
}

/// The lines that are not durable after these events.
fn pending(trace: &[Event]) -> BTreeMap<u64, Pending> {
    let mut lines: BTreeMap<u64, Pending> = BTreeMap::new();
    for (number, event) in trace.iter().enumerate() {
        match event {
            Event::Store { rip, offset, bytes, non_temporal } => {
                let place = (number, *rip);
                for line in offset / LINE..(offset + bytes.len() as u64).div_ceil(LINE) {
                    let written_back = non_temporal.then_some(place);
                    lines.insert(line, Pending { stored: place, written_back });
                }
            }
            Event::WriteBack { rip, offset } => {
                if let Some(line) = lines.get_mut(&(offset / LINE)) {
                    line.written_back = Some((number, *rip));
                }
            }
            Event::Fence { .. } => lines.retain(|_, line| line.written_back.is_none()),
            Event::Send { .. } => {}
        }
    }
    lines
}

fn describe(event: &Event) -> String {
    match event {
        Event::Store { rip, offset, .. } => format!("a store to {offset:#x} by {rip:#018x}"),
        Event::WriteBack { rip, offset } => format!("a write-back of {offset:#x} by {rip:#018x}"),
        Event::Fence { rip } => format!("the fence at {rip:#018x}"),
        Event::Send { .. } => "a reply".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_pending_until_a_fence_follows_their_write_back() {
        let store = |offset, non_temporal| Event::Store { rip: 1, offset, bytes: vec![0; 8], non_temporal };
        let back = |offset| Event::WriteBack { rip: 2, offset };
        let fence = Event::Fence { rip: 3 };
        let trace = [
            store(0, false),
            store(60, false),
            store(128, true),
            back(64),
            fence.clone(),
            store(192, false),
            back(200),
        ];
        let lines: Vec<_> = pending(&trace).into_iter().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0], (0, Pending { stored: (1, 1), written_back: None }));
        assert_eq!(lines[1], (3, Pending { stored: (5, 1), written_back: Some((6, 2)) }));
        assert_eq!(pending(&[store(0, false), back(0), fence]), BTreeMap::new());
    }
}
