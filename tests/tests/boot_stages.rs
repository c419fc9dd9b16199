//! Boot to `ready` is reported by stage: all of them, in order, and they add up.

use holdfast_tests::http::Client;
use holdfast_tests::machine::{PATIENCE, machine};
use holdfast_tests::resp::Reply;
use holdfast_tests::store::{Store, StoreImage, store_machine};
use xtask::qemu::{Firmware, Machine, MachineOptions, Network};
use xtask::size::MIB;

/// What the library itself does, before the program begins.
const LIBRARY: [&str; 8] = ["firmware", "memory", "cpu", "acpi", "pmem", "devices", "cpus", "files"];

/// A number of milliseconds with one decimal, in tenths.
fn tenths(text: &str) -> u64 {
    let (whole, tenth) = text.split_once('.').unwrap_or_else(|| panic!("`{text}` has no decimal"));
    assert_eq!(tenth.len(), 1, "{text}");
    whole.parse::<u64>().unwrap() * 10 + tenth.parse::<u64>().unwrap()
}

/// Reads `412.3 ms: firmware 95.1, …, ready 3.1 (address at 300.0)`: the whole, and the stages.
fn parse(line: &str) -> (u64, Vec<(String, u64)>) {
    let (total, rest) = line.split_once(" ms: ").unwrap();
    let (stages, asides) = rest.split_once(" (").unwrap_or((rest, ")"));
    let asides = asides.strip_suffix(')').unwrap().split(", ").filter(|aside| !aside.is_empty());
    for aside in asides {
        let (what, when) = aside.split_once(" at ").unwrap();
        assert!(["IPv4 address", "IPv6 address"].contains(&what) && tenths(when) <= tenths(total), "{line}");
    }
    let stages = stages.split(", ").map(|stage| stage.split_once(' ').unwrap());
    (tenths(total), stages.map(|(name, time)| (name.to_owned(), tenths(time))).collect())
}

/// Checks a report: these stages, in this order, which add up to the whole.
fn check(line: &str, program: &[&str]) {
    let (total, stages) = parse(line);
    let names: Vec<&str> = stages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [&LIBRARY, program].concat(), "{line}");
    assert_eq!(stages.iter().map(|(_, time)| time).sum::<u64>(), total, "{line}");
    // From the reset on: no boot is that fast, and none of these takes a minute.
    assert!((100..600_000).contains(&total), "{line}");
}

fn report(machine: &Machine) -> String {
    let line = |line: &str| line.strip_prefix("holdfast: ready after ").map(str::to_owned);
    let found = machine.console().wait_for_line(PATIENCE, line);
    found.unwrap_or_else(|| panic!("there is no report:\n{}", machine.console().lines().join("\n")))
}

#[test]
fn a_program_without_persistent_memory_reports_its_boot() {
    for smp in [1, 2] {
        let options = MachineOptions { smp, memory: 128 * MIB, ..machine("hello", &[]) };
        check(&report(&Machine::start(options, None).unwrap()), &["ready"]);
    }
}

#[test]
fn recovery_is_a_stage_and_the_address_is_noted_beside_them() {
    let image = StoreImage::new(8 * MIB);
    let options = MachineOptions { network: Network::User, pmem: vec![image.open()], ..machine("ledger", &[]) };
    let machine = Machine::start(options, None).unwrap();
    let line = report(&machine);
    check(&line, &["recovery", "ready"]);
    let forwarder = machine.forward_any(8080).unwrap();
    assert!(Client::connect(forwarder.address()).unwrap().get("/summary").starts_with("entries\t0\n"));
}

#[test]
fn the_store_tells_its_clients_the_same() {
    let image = StoreImage::new(64 * MIB);
    let store = Store::start(store_machine(image.open()));
    let line = report(store.machine());
    check(&line, &["recovery", "ready"]);
    let mut client = store.client();
    let total: u64 = client.info("boot_us").parse().unwrap();
    assert!((total / 100).abs_diff(parse(&line).0) <= 1, "{total} us, but: {line}");
    let stages = client.info("boot_stages_us");
    let times = stages.split(',').map(|stage| stage.split_once('=').unwrap());
    assert_eq!(times.clone().map(|(_, time)| time.parse::<u64>().unwrap()).sum::<u64>(), total);
    assert!(times.map(|(name, _)| name.to_owned()).eq(parse(&line).1.into_iter().map(|(name, _)| name)));
}

/// One gives the network card no addresses, the other does; both hand over the NVDIMM and what ends the machine.
#[test]
fn the_machine_is_whole_whatever_firmware_starts_it() {
    let image = StoreImage::new(64 * MIB);
    for (firmware, value) in [(Firmware::Quick, None), (Firmware::Usual, Some(b"kept".to_vec()))] {
        let store = Store::start(MachineOptions { firmware, ..store_machine(image.open()) });
        let mut client = store.client();
        assert_eq!(client.get("key"), value, "{firmware:?}");
        assert_eq!(client.set("key", b"kept"), Reply::ok());
        store.press_power_button();
        store.wait().expect_exit(0);
    }
}
