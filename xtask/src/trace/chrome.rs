//! A trace as Chrome's JSON, which Perfetto opens ("Trace Event Format").
//!
//! Three groups of tracks:
//!
//! - *CPUs*: who runs, and on top of it the interrupts that came and the grants of their handlers;
//! - *threads*: for each what it does (runs, waits and for what, is ready and waits for a CPU), whom it wakes, where it
//!   strays;
//! - *grants*: for each thread what persistent memory is open to it, nested as it was.
//!
//! A grant is open while its thread does not run, too; so it has a track beside that of the states, and slices of one
//! track are always one inside the other or apart. What had begun before the oldest event is not shown; what had not
//! ended with the last one ends there, and says so (`unfinished`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use libos_contract::vectors::{RESCHEDULE, SHOOTDOWN, TIMER};
use serde_json::{Value, json};

use super::decode::{Event, Trace};
use super::layout::{IDLE, kind, why};

/// The groups of tracks; processes, to Chrome.
const CPUS: u64 = 1;
const THREADS: u64 = 2;
const GRANTS: u64 = 3;

/// A track: its group, and the CPU or thread that it is of.
type Track = (u64, u64);

/// Something that has begun on a track.
#[derive(Debug)]
struct Open {
    began: u64,
    name: String,
    arguments: Value,
}

/// What is being made.
#[derive(Debug, Default)]
struct Converter<'a> {
    names: BTreeMap<u32, &'a str>,
    devices: Vec<&'a str>,
    /// What is open on each track, the innermost last.
    open: BTreeMap<Track, Vec<Open>>,
    /// The threads that are shown.
    seen: BTreeSet<u32>,
    /// When, how long (nothing for an instant), and the whole.
    made: Vec<(u64, u64, Value)>,
}

/// Converts a trace.
pub fn convert(trace: &Trace) -> Value {
    let mut converter = Converter {
        names: trace.threads.iter().map(|(&thread, name)| (thread, name.as_str())).collect(),
        devices: trace.devices.iter().map(String::as_str).collect(),
        ..Converter::default()
    };
    // A stable sort: what one CPU did at one time stays in its order.
    let rings = trace.cpus.iter().enumerate();
    let mut events: Vec<(u64, &Event)> =
        rings.flat_map(|(cpu, ring)| ring.events.iter().map(move |event| (cpu as u64, event))).collect();
    events.sort_by_key(|(_, event)| event.time);
    for (cpu, event) in &events {
        converter.take(*cpu, event);
    }
    let end = events.last().map_or(0, |(_, event)| event.time);
    converter.finish(end);
    for (cpu, ring) in trace.cpus.iter().enumerate().filter(|(_, ring)| ring.dropped > 0) {
        let from = ring.events.first().map_or(0, |event| event.time);
        converter.instant((CPUS, cpu as u64), from, format!("{} older events were dropped", ring.dropped));
    }
    converter.into_json(trace)
}

impl Converter<'_> {
    fn take(&mut self, cpu: u64, event: &Event) {
        let (time, thread) = (event.time, event.thread);
        let on_cpu = (CPUS, cpu);
        match event.kind {
            kind::SWITCH => {
                let next = event.value as u32;
                // Whoever runs, and only that, is open on a CPU's track between two interrupts.
                self.close_all(on_cpu, time);
                let name = self.name(next);
                self.open(on_cpu, time, name, json!({ "thread": next }));
                let state = match event.detail {
                    why::FUTEX => "waits: futex",
                    why::QUEUE => "waits",
                    why::SLEEP => "sleeps",
                    why::PREEMPTED => "ready (preempted)",
                    why::YIELDED => "ready (gave way)",
                    _ => "",
                };
                self.state(thread, time, state);
                if event.detail == why::ENDED {
                    self.close_all((GRANTS, thread.into()), time);
                }
                self.close_all((THREADS, next.into()), time);
                self.running(next, time, cpu);
            }
            kind::WAKE => {
                let woken = event.value as u32;
                self.state(woken, time, "ready");
                let track = if self.is_idle(thread) { on_cpu } else { (THREADS, thread.into()) };
                let name = format!("wakes {}", self.name(woken));
                self.instant(track, time, name);
            }
            kind::GRANT => {
                let what = if event.detail & 1 != 0 { "write" } else { "read" };
                let device = self.devices.get(event.value as usize).copied().unwrap_or("?");
                let name = format!("{what} {device}");
                self.open(self.grant_track(cpu, event), time, name, json!({ "thread": thread }));
            }
            kind::RELEASE => self.close(self.grant_track(cpu, event), time, |name| {
                name.starts_with("write ") || name.starts_with("read ")
            }),
            kind::FAULT => {
                let what = if event.detail & 1 != 0 { "write" } else { "read" };
                self.instant((THREADS, thread.into()), time, format!("stray {what} at {:#x}", event.value));
            }
            kind::INTERRUPT => {
                let name = interrupt(event.detail);
                self.open(on_cpu, time, name, json!({ "vector": event.detail }));
            }
            kind::RETURN => {
                let name = interrupt(event.detail);
                self.close(on_cpu, time, |open| open == name);
            }
            // Of a newer guest, or of one that went astray.
            _ => {}
        }
    }

    /// Grants of trap handlers belong to the CPU: no thread asked for them.
    fn grant_track(&self, cpu: u64, event: &Event) -> Track {
        if event.detail & 2 != 0 { (CPUS, cpu) } else { (GRANTS, event.thread.into()) }
    }

    fn is_idle(&self, thread: u32) -> bool {
        self.names.get(&thread).is_some_and(|name| *name == IDLE)
    }

    fn name(&self, thread: u32) -> String {
        match self.names.get(&thread) {
            Some(name) if *name == IDLE => IDLE.to_owned(),
            Some(name) => format!("{name} {thread}"),
            None => format!("thread {thread}"),
        }
    }

    /// A thread that does not run has another state from now on; none if it has ended.
    fn state(&mut self, thread: u32, time: u64, state: &str) {
        if thread == 0 || self.is_idle(thread) {
            return;
        }
        let track = (THREADS, thread.into());
        self.close_all(track, time);
        if !state.is_empty() {
            self.open(track, time, state.to_owned(), json!({}));
        }
    }

    fn running(&mut self, thread: u32, time: u64, cpu: u64) {
        if !self.is_idle(thread) {
            self.open((THREADS, thread.into()), time, "runs".to_owned(), json!({ "cpu": cpu }));
        }
    }

    fn open(&mut self, track: Track, time: u64, name: String, arguments: Value) {
        self.open.entry(track).or_default().push(Open { began: time, name, arguments });
    }

    /// Ends the innermost slice of a track, if it is `the_one`. Otherwise its beginning has been dropped.
    fn close(&mut self, track: Track, time: u64, the_one: impl Fn(&str) -> bool) {
        let slices = self.open.entry(track).or_default();
        if slices.last().is_some_and(|open| the_one(&open.name))
            && let Some(open) = slices.pop()
        {
            self.slice(track, open, time);
        }
    }

    fn close_all(&mut self, track: Track, time: u64) {
        while let Some(open) = self.open.entry(track).or_default().pop() {
            self.slice(track, open, time);
        }
    }

    /// Ends what has not ended.
    fn finish(&mut self, end: u64) {
        let tracks: Vec<Track> = self.open.keys().copied().collect();
        for track in tracks {
            for open in self.open.get_mut(&track).into_iter().flatten() {
                open.arguments["unfinished"] = true.into();
            }
            self.close_all(track, end);
        }
    }

    fn slice(&mut self, track: Track, open: Open, end: u64) {
        self.see(track);
        let length = end - open.began;
        let value = json!({
            "ph": "X", "pid": track.0, "tid": track.1, "name": open.name, "args": open.arguments,
            "ts": microseconds(open.began), "dur": microseconds(length),
        });
        self.made.push((open.began, length, value));
    }

    fn instant(&mut self, track: Track, time: u64, name: String) {
        self.see(track);
        let value =
            json!({ "ph": "i", "s": "t", "pid": track.0, "tid": track.1, "name": name, "ts": microseconds(time) });
        self.made.push((time, 0, value));
    }

    fn see(&mut self, (group, number): Track) {
        if group != CPUS {
            self.seen.extend(u32::try_from(number).ok());
        }
    }

    /// Everything, in the order of times; of what began at once the longer first, which is around the shorter.
    fn into_json(mut self, trace: &Trace) -> Value {
        self.made.sort_by_key(|(time, length, _)| (*time, Reverse(*length)));
        let mut events = vec![
            metadata("process_name", (CPUS, 0), "CPUs".to_owned()),
            metadata("process_name", (THREADS, 0), "threads".to_owned()),
            metadata("process_name", (GRANTS, 0), "grants".to_owned()),
        ];
        events
            .extend((0..trace.cpus.len() as u64).map(|cpu| metadata("thread_name", (CPUS, cpu), format!("CPU {cpu}"))));
        for &thread in &self.seen {
            events.extend(
                [THREADS, GRANTS].map(|group| metadata("thread_name", (group, thread.into()), self.name(thread))),
            );
        }
        events.extend(self.made.into_iter().map(|(_, _, value)| value));
        let dropped: BTreeMap<String, u64> =
            trace.cpus.iter().enumerate().map(|(cpu, ring)| (format!("cpu{cpu}"), ring.dropped)).collect();
        json!({ "displayTimeUnit": "ns", "otherData": { "dropped": dropped }, "traceEvents": events })
    }
}

fn metadata(what: &str, (group, number): Track, name: String) -> Value {
    json!({ "ph": "M", "pid": group, "tid": number, "name": what, "args": { "name": name } })
}

/// Chrome counts in microseconds, with decimals.
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

fn interrupt(vector: u8) -> String {
    match vector {
        TIMER => "timer".to_owned(),
        RESCHEDULE => "call to reschedule".to_owned(),
        SHOOTDOWN => "TLB shootdown".to_owned(),
        _ => format!("interrupt {vector:#x}"),
    }
}
