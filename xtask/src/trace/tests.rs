//! Rings as a guest writes them, and as one leaves them that was killed or went astray.

use serde_json::Value;

use super::decode::{Trace, decode};
use super::layout::{self, kind, why};
use super::{Region, chrome};

/// A guest of one or more CPUs whose counter counts nanoseconds.
struct Guest {
    bytes: Vec<u8>,
    capacity: usize,
}

impl Guest {
    fn new(cpus: usize, length: usize) -> Self {
        let capacity = layout::capacity(length, cpus);
        let mut guest = Self { bytes: vec![0; length], capacity };
        guest.put(layout::HEADER_MAGIC, layout::MAGIC);
        guest.put(layout::HEADER_CPUS, cpus as u64);
        guest.put(layout::HEADER_SCALE, 1 << 32);
        guest.put(layout::HEADER_CAPACITY, capacity as u64);
        guest.put(layout::HEADER_DEVICES, u64::from_le_bytes(*b"pmem0\0\0\0"));
        for (thread, name) in [(1u64, *b"idle\0\0\0\0"), (4, *b"main\0\0\0\0"), (5, *b"other\0\0\0")] {
            let slot = layout::THREADS + thread as usize * layout::THREAD_SLOT;
            guest.put(slot, thread);
            guest.put(slot + layout::THREAD_NAME, u64::from_le_bytes(name));
        }
        guest
    }

    fn put(&mut self, at: usize, word: u64) {
        self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    fn event(&mut self, cpu: usize, time: u64, kind: u8, detail: u8, thread: u32, value: u64) {
        let ring = layout::ring(cpu, self.capacity);
        let number = u64::from_le_bytes(self.bytes[ring..ring + 8].try_into().unwrap());
        self.put(ring, number + 1);
        let at = ring + layout::RING_HEAD + number as usize % self.capacity * layout::EVENT;
        self.put(at, time);
        self.put(at + 8, u64::from(kind) | u64::from(detail) << 8 | u64::from(thread) << 32);
        self.put(at + 16, value);
        self.put(at + 24, number + 1);
    }

    fn trace(&self) -> Trace {
        decode(&self.bytes).unwrap()
    }

    /// The slices: group, track, name, when, how long, in nanoseconds.
    fn slices(&self) -> Vec<(u64, u64, String, u64, u64)> {
        let json = chrome::convert(&self.trace());
        let nanoseconds = |value: &Value| (value.as_f64().unwrap() * 1000.0).round() as u64;
        let slices = json["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X");
        slices
            .map(|event| {
                let name = event["name"].as_str().unwrap().to_owned();
                let (group, track) = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
                (group, track, name, nanoseconds(&event["ts"]), nanoseconds(&event["dur"]))
            })
            .collect()
    }
}

const SMALL: usize = 1 << 18;

#[test]
fn switches_waits_grants_and_interrupts_become_slices() {
    let mut guest = Guest::new(1, SMALL);
    guest.event(0, 100, kind::SWITCH, why::YIELDED, 1, 4);
    guest.event(0, 110, kind::GRANT, 1, 4, 0);
    guest.event(0, 120, kind::INTERRUPT, 0x20, 4, 0);
    guest.event(0, 125, kind::WAKE, 0, 4, 5);
    guest.event(0, 130, kind::RETURN, 0x20, 4, 0);
    guest.event(0, 140, kind::SWITCH, why::PREEMPTED, 4, 5);
    guest.event(0, 160, kind::SWITCH, why::FUTEX, 5, 4);
    guest.event(0, 170, kind::RELEASE, 1, 4, 0);
    guest.event(0, 180, kind::SWITCH, why::ENDED, 4, 1);
    let expected = [
        (1, 0, "main 4", 100, 40),
        (2, 4, "runs", 100, 40),
        // Across two switches: so it is on a track of its own.
        (3, 4, "write pmem0", 110, 60),
        (1, 0, "timer", 120, 10),
        (2, 5, "ready", 125, 15),
        (1, 0, "other 5", 140, 20),
        (2, 4, "ready (preempted)", 140, 20),
        (2, 5, "runs", 140, 20),
        (1, 0, "main 4", 160, 20),
        (2, 5, "waits: futex", 160, 20),
        (2, 4, "runs", 160, 20),
        (1, 0, "idle", 180, 0),
    ];
    let sorted = |mut slices: Vec<(u64, u64, String, u64, u64)>| {
        slices.sort_by_key(|(group, track, _, time, _)| (*time, *group, *track));
        slices
    };
    assert_eq!(
        sorted(guest.slices()),
        sorted(
            expected.map(|(group, track, name, time, length)| (group, track, name.to_owned(), time, length)).to_vec()
        )
    );
}

#[test]
fn what_was_overwritten_is_counted_and_what_it_began_is_not_shown() {
    let mut guest = Guest::new(1, SMALL);
    let capacity = guest.capacity as u64;
    guest.event(0, 1, kind::GRANT, 0, 4, 0);
    for number in 0..capacity {
        guest.event(0, 10 + number, kind::WAKE, 0, 4, 5);
    }
    guest.event(0, 10 + capacity, kind::RELEASE, 0, 4, 0);
    let trace = guest.trace();
    assert_eq!((trace.cpus[0].dropped, trace.cpus[0].events.len() as u64), (2, capacity));
    assert!(guest.slices().iter().all(|(group, ..)| *group == 2));
    let json = chrome::convert(&trace);
    assert_eq!(json["otherData"]["dropped"]["cpu0"], 2);
    assert!(json["traceEvents"].as_array().unwrap().iter().any(|event| event["name"] == "2 older events were dropped"));
}

#[test]
fn what_had_not_ended_ends_with_the_last_event_and_says_so() {
    let mut guest = Guest::new(2, SMALL);
    guest.event(0, 100, kind::GRANT, 1, 4, 0);
    guest.event(0, 110, kind::GRANT, 0, 4, 0);
    guest.event(1, 150, kind::WAKE, 0, 0, 5);
    // The machine was killed while this one was written.
    guest.event(0, 160, kind::RELEASE, 0, 4, 0);
    let last = layout::ring(0, guest.capacity) + layout::RING_HEAD + 2 * layout::EVENT;
    guest.put(last + 24, 0);
    assert_eq!(guest.trace().cpus[0].dropped, 1);
    let slices = guest.slices();
    assert!(slices.contains(&(3, 4, "write pmem0".into(), 100, 50)), "{slices:?}");
    assert!(slices.contains(&(3, 4, "read pmem0".into(), 110, 40)), "{slices:?}");
    let json = chrome::convert(&guest.trace()).to_string();
    assert!(json.contains("unfinished"), "{json}");
}

#[test]
fn no_region_makes_it_panic() {
    for (bytes, word) in
        [(Vec::new(), "too short"), (vec![0; 4096], "does not begin"), (vec![0xff; SMALL], "does not begin")]
    {
        assert!(decode(&bytes).unwrap_err().to_string().contains(word));
    }
    let region = Region::create(3).unwrap();
    assert!(region.length().is_power_of_two());
    assert!(region.decode().unwrap_err().to_string().contains("traced nothing"));
    let mut damaged = Guest::new(1, SMALL);
    damaged.put(layout::HEADER_CAPACITY, u64::MAX);
    assert!(decode(&damaged.bytes).unwrap_err().to_string().contains("damaged"));
    damaged.put(layout::HEADER_CPUS, u64::MAX);
    assert!(decode(&damaged.bytes).is_err());

    // Any events, with any times.
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 29
    };
    for _ in 0..50 {
        let mut guest = Guest::new(2, SMALL);
        for _ in 0..300 {
            let (time, kind, detail) = (random() % 1000, random() as u8 % 10, random() as u8);
            guest.event(random() as usize % 2, time, kind, detail, random() as u32 % 7, random() % 7);
        }
        let written = layout::ring(1, guest.capacity);
        guest.put(written, random());
        chrome::convert(&guest.trace());
    }
}
