//! A machine with nothing to do leaves the host alone.

use std::fs;
use std::thread;
use std::time::Duration;

use holdfast_tests::machine::CPUS;
use holdfast_tests::store::{Store, StoreImage, store_machine};
use rustix::param::clock_ticks_per_second;
use xtask::qemu::MachineOptions;
use xtask::size::MIB;

/// How long a machine is watched.
const WATCHED: Duration = Duration::from_secs(4);
/// The most that it may use of one core of the host.
const LIMIT_PERCENT: f64 = 3.0;
/// How often a measurement is made at most. Each is the same, and one that is under the limit shows that the guest
/// sleeps: what a loaded host adds (it runs QEMU's threads late and in more pieces) passes, but a guest that spins or
/// ticks always does.
const ATTEMPTS: u32 = 3;

/// The time that QEMU has run on any core, as a user or in the kernel.
fn cpu_time(process_id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process_id}/stat")).unwrap();
    // The second field, a name in parentheses, may have spaces in it.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / clock_ticks_per_second())
}

fn percent_while_watched(process_id: u32) -> f64 {
    let before = cpu_time(process_id);
    thread::sleep(WATCHED);
    (cpu_time(process_id) - before).as_secs_f64() / WATCHED.as_secs_f64() * 100.0
}

#[test]
fn an_idle_store_uses_under_three_percent_of_a_core() {
    for processors in CPUS {
        let image = StoreImage::new(64 * MIB);
        let store = Store::start(MachineOptions { smp: processors, ..store_machine(image.open()) });
        // A client that is connected and says nothing is part of idleness.
        let mut client = store.client();
        client.set("key", b"value");
        let mut found = Vec::new();
        while found.last().is_none_or(|&percent| percent >= LIMIT_PERCENT) {
            assert!(found.len() < ATTEMPTS as usize, "{processors} CPUs: {found:.2?} % of a core while idle");
            found.push(percent_while_watched(store.process_id()));
        }
        println!("idle on {processors} CPUs: {found:.2?} % of a core");
    }
}
