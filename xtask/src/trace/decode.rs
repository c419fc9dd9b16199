//! Reads what a guest has left in a region. The guest may have gone astray, so nothing in it is believed.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::layout::{self, DEVICE_NAME, DEVICES, EVENT, RING_HEAD, THREAD_NAME, THREAD_SLOT, THREAD_SLOTS, THREADS};

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was, in nanoseconds since the machine's reset.
    pub time: u64,
    /// What happened: see [`layout::kind`], which says what the other fields are.
    pub kind: u8,
    /// More about it.
    pub detail: u8,
    /// The thread.
    pub thread: u32,
    /// What it is about.
    pub value: u64,
}

/// The events of one CPU, in the order of their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// The events.
    pub events: Vec<Event>,
    /// How many older ones were overwritten, or not complete when the machine ended.
    pub dropped: u64,
}

/// A trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// A ring for each CPU.
    pub cpus: Vec<Ring>,
    /// The names of threads, as far as they are known.
    pub threads: BTreeMap<u32, String>,
    /// The names of persistent-memory devices.
    pub devices: Vec<String>,
}

/// Reads a region.
///
/// # Errors
/// When the guest has not begun to trace, or the region is none.
pub fn decode(bytes: &[u8]) -> Result<Trace> {
    let word = |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|word| u64::from_le_bytes(*word));
    let header = |at| word(at).context("the region of the trace is too short");
    if header(layout::HEADER_MAGIC)? != layout::MAGIC {
        bail!("the region of the trace does not begin like one");
    }
    let (cpus, capacity) = (header(layout::HEADER_CPUS)? as usize, header(layout::HEADER_CAPACITY)? as usize);
    let scale = u128::from(header(layout::HEADER_SCALE)?);
    if capacity == 0 {
        bail!("the guest has traced nothing: it ended before it had looked for the region");
    }
    if capacity != layout::capacity(bytes.len(), cpus) {
        bail!("the header of the trace is damaged: rings of {capacity} events for {cpus} CPUs do not fit");
    }
    let text = |at: usize, length: usize| {
        let bytes = bytes.get(at..at + length).unwrap_or_default();
        String::from_utf8_lossy(bytes.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
    };
    let slot = |slot| THREADS + slot * THREAD_SLOT;
    let thread = |at| Some((u32::try_from(word(at)?).ok()?, text(at + THREAD_NAME, THREAD_SLOT - THREAD_NAME)));
    let threads = (0..THREAD_SLOTS).filter_map(|number| thread(slot(number))).filter(|(thread, _)| *thread != 0);
    let devices = (0..DEVICES).map(|device| text(layout::HEADER_DEVICES + device * DEVICE_NAME, DEVICE_NAME));
    let ring = |cpu| {
        let start = layout::ring(cpu, capacity);
        let written = word(start).unwrap_or_default();
        let first = written.saturating_sub(capacity as u64);
        let mut ring = Ring { events: Vec::new(), dropped: first };
        for number in first..written {
            let at = start + RING_HEAD + number as usize % capacity * EVENT;
            let parts = [0, 8, 16, 24].map(|offset| word(at + offset).unwrap_or_default());
            let [count, what, value, own_number] = parts;
            if own_number != number + 1 {
                ring.dropped += 1;
                continue;
            }
            let time = ((u128::from(count) * scale) >> 32) as u64;
            let [kind, detail, ..] = what.to_le_bytes();
            ring.events.push(Event { time, kind, detail, thread: (what >> 32) as u32, value });
        }
        // They are in order but for what came in between by a non-maskable interrupt.
        ring.events.sort_by_key(|event| event.time);
        ring
    };
    Ok(Trace {
        cpus: (0..cpus).map(ring).collect(),
        threads: threads.collect(),
        devices: devices.take_while(|name| !name.is_empty()).collect(),
    })
}
