//! `cargo xtask run --trace`: what is in the trace of a machine, however it ended, and that Perfetto can make sense of
//! it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use std::{fs, thread};

use holdfast_tests::http::Client;
use holdfast_tests::machine::{PATIENCE, machine};
use holdfast_tests::store::StoreImage;
use holdfast_tests::xtask::{Run, xtask};
use rustix::process::Signal;
use serde_json::Value;
use xtask::qemu::{Exit, Machine, MachineOptions, Network};
use xtask::size::MIB;
use xtask::trace::decode::{Event, Trace};
use xtask::trace::layout::{kind, why};
use xtask::trace::{Region, chrome};

/// The groups of tracks.
const CPUS: u64 = 1;
const THREADS: u64 = 2;
const GRANTS: u64 = 3;

/// A ledger in a traced machine, which has been given some entries.
fn traced_ledger(image: &StoreImage, smp: u32, entries: u64) -> Machine {
    let options = MachineOptions {
        smp,
        network: Network::User,
        pmem: vec![image.open()],
        trace: Some(Region::create(smp).unwrap()),
        ..machine("ledger", &[])
    };
    let machine = Machine::start(options, None).unwrap();
    let is_ready = |line: &str| line.starts_with("ledger: ready on port 8080").then_some(());
    assert!(machine.console().wait_for_line(PATIENCE, is_ready).is_some(), "{:?}", machine.console().lines());
    let forwarder = machine.forward_any(8080).unwrap();
    let mut client = Client::connect(forwarder.address()).unwrap();
    for number in 1..=entries {
        assert_eq!(client.try_request("POST", "/entries", "1 traced").unwrap().text, format!("{number}\n"));
    }
    assert!(client.get("/summary").starts_with(&format!("entries\t{entries}\n")));
    machine
}

/// Checks what holds for each trace: times do not go back, and slices of one track are one inside the other or apart.
/// Returns the slices by group and name, with how many there are.
fn check(json: &Value) -> BTreeMap<(u64, String), u64> {
    let (mut slices, mut last) = (BTreeMap::new(), 0.0);
    let mut open: BTreeMap<(u64, u64), Vec<f64>> = BTreeMap::new();
    for event in json["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] != "M") {
        let time = event["ts"].as_f64().unwrap();
        assert!(time >= last, "times go back: {event}");
        last = time;
        if event["ph"] != "X" {
            continue;
        }
        let (group, end) = (event["pid"].as_u64().unwrap(), time + event["dur"].as_f64().unwrap());
        let track = open.entry((group, event["tid"].as_u64().unwrap())).or_default();
        // Half a nanosecond: the numbers are decimals.
        while track.last().is_some_and(|outer| *outer <= time + 0.0005) {
            track.pop();
        }
        assert!(
            track.last().is_none_or(|outer| end <= outer + 0.0005),
            "a slice ends after the one around it: {event}"
        );
        track.push(end);
        *slices.entry((group, event["name"].as_str().unwrap().to_owned())).or_default() += 1;
    }
    slices
}

/// How many grants were begun and ended, by every thread and in handlers.
fn grants(trace: &Trace) -> (usize, usize) {
    let events = || trace.cpus.iter().flat_map(|ring| &ring.events);
    let count = |kind| events().filter(|event| event.kind == kind).count();
    (count(kind::GRANT), count(kind::RELEASE))
}

/// Whether the running thread was left because it has ended.
fn is_end(event: &Event) -> bool {
    event.kind == kind::SWITCH && event.detail == why::ENDED
}

#[test]
fn a_trace_has_who_ran_who_waited_and_every_grant_from_its_beginning_to_its_end() {
    for smp in [1, 2] {
        let image = StoreImage::new(8 * MIB);
        let machine = traced_ledger(&image, smp, 20);
        // The client has gone, and so does its thread: but not at once.
        let deadline = Instant::now() + PATIENCE;
        while !machine.trace().unwrap().decode().unwrap().cpus.iter().flat_map(|ring| &ring.events).any(is_end) {
            assert!(Instant::now() < deadline, "no thread has ended");
            thread::sleep(Duration::from_millis(20));
        }
        machine.press_power_button().unwrap();
        assert_eq!(machine.wait(PATIENCE), Some(Exit::Guest(0)));
        let trace = machine.trace().unwrap().decode().unwrap();
        assert_eq!(trace.cpus.len(), smp as usize);
        assert_eq!(trace.devices, ["pmem0"]);
        assert!(trace.cpus.iter().all(|ring| ring.dropped == 0 && !ring.events.is_empty()));
        let (begun, ended) = grants(&trace);
        assert!(begun == ended && begun > 20, "{begun} grants were begun and {ended} ended");

        let json = chrome::convert(&trace);
        let slices = check(&json);
        let count = |group, name: &str| slices.get(&(group, name.to_owned())).copied().unwrap_or(0);
        // The format of the ledger takes one write grant, and each entry another one.
        assert_eq!(count(GRANTS, "write pmem0"), 21);
        assert_eq!(count(GRANTS, "write pmem0") + count(GRANTS, "read pmem0"), begun as u64);
        assert!(count(CPUS, "main 4") > 0 && count(CPUS, "idle") > 0 && count(CPUS, "timer") > 0, "{slices:?}");
        // The name that the program gave its threads by std.
        assert!(slices.keys().any(|(group, name)| *group == CPUS && name.starts_with("client ")), "{slices:?}");
        assert!(count(THREADS, "runs") > 0 && count(THREADS, "waits") > 0 && count(THREADS, "ready") > 0, "{slices:?}");
        let text = json.to_string();
        assert!(text.contains("wakes net") && text.contains("CPU 0"), "{text}");
        assert_eq!(text.contains("CPU 1"), smp == 2);
        // A thread goes on only where it was left.
        for (cpu, ring) in trace.cpus.iter().enumerate() {
            let switches: Vec<_> = ring.events.iter().filter(|event| event.kind == kind::SWITCH).collect();
            for pair in switches.windows(2) {
                assert_eq!(pair[0].value, u64::from(pair[1].thread), "on CPU {cpu}: {pair:?}");
            }
        }
        // Whoever has ended does not run again, and some have: each client has a thread.
        let events = || trace.cpus.iter().flat_map(|ring| &ring.events).filter(|event| event.kind == kind::SWITCH);
        let ended: Vec<_> = events().filter(|event| is_end(event)).collect();
        assert!(!ended.is_empty());
        for end in ended {
            let again = events().find(|event| event.value == u64::from(end.thread) && event.time > end.time);
            assert_eq!(again, None, "thread {} has ended at {}", end.thread, end.time);
        }
    }
}

#[test]
fn the_trace_of_a_killed_machine_is_there() {
    let image = StoreImage::new(8 * MIB);
    let machine = traced_ledger(&image, 1, 5);
    assert_eq!(machine.kill(), Exit::Killed(9));
    let trace = machine.trace().unwrap().decode().unwrap();
    let slices = check(&chrome::convert(&trace));
    assert_eq!(slices.get(&(GRANTS, "write pmem0".to_owned())), Some(&6), "{slices:?}");
}

#[test]
fn a_stray_access_is_in_the_trace_with_its_thread() {
    let image = StoreImage::new(8 * MIB);
    let options = MachineOptions {
        pmem: vec![image.open()],
        trace: Some(Region::create(1).unwrap()),
        ..machine("stray", &["no-grant", "store64", "0,0"])
    };
    let machine = Machine::start(options, None).unwrap();
    assert_eq!(machine.wait(PATIENCE), Some(Exit::Guest(103)), "{:?}", machine.console().lines());
    let json = chrome::convert(&machine.trace().unwrap().decode().unwrap());
    check(&json);
    let is_stray = |event: &&Value| event["name"].as_str().unwrap().starts_with("stray write at 0x1001");
    let stray = json["traceEvents"].as_array().unwrap().iter().find(is_stray).unwrap_or_else(|| panic!("{json}"));
    let name = |event: &&Value| event["ph"] == "M" && event["pid"] == THREADS && event["tid"] == stray["tid"];
    let thread = json["traceEvents"].as_array().unwrap().iter().find(name).unwrap();
    assert_eq!(thread["args"]["name"], "main 4");
}

#[test]
fn run_writes_a_trace_and_says_so_and_a_place_that_cannot_be_written_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trace.json");
    let run = |file: &std::path::Path| {
        let mut command = xtask();
        command.args(["run", "--app", "hello", "--port", "0", "--trace"]).arg(file);
        Run::spawn(command)
    };
    let mut running = run(&file);
    running.ready("nc 127.0.0.1 ");
    running.after("holdfast: traced: the last 65536 events of each CPU");
    running.signal(Signal::INT);
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(printed.contains("trace.json has a trace of ") && printed.contains("perfetto"), "{printed}");
    let slices = check(&serde_json::from_slice(&fs::read(&file).unwrap()).unwrap());
    assert!(slices.contains_key(&(CPUS, "main 4".to_owned())), "{slices:?}");

    let (status, printed) = run(&directory.path().join("no/such/directory.json")).end();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(printed.contains("cannot write the trace to ") && !printed.contains("building"), "{printed}");
}
