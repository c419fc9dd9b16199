//! Acknowledged means durable: whatever ends the machine, the next boot has every write that was acknowledged, and of
//! the others each wholly or not at all.

use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use holdfast_tests::load::{Load, Model};
use holdfast_tests::machine::CPUS;
use holdfast_tests::resp::Reply;
use holdfast_tests::store::{Store, StoreImage, store_machine};
use xtask::qemu::{Machine, MachineOptions};
use xtask::size::MIB;

/// How a machine ends under load.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Kill,
    Shutdown,
    PowerButton,
}

/// Boots the store several times on one image; each time it is checked first, then put under load, then ended after a
/// time that differs from round to round. The rounds go through the numbers of CPUs.
fn survives(ending: Ending, rounds: u64, seed: u64) {
    let image = StoreImage::new(64 * MIB);
    let mut model = Model::default();
    let mut random = Rng::with_seed(seed);
    for round in 0..rounds {
        let smp = CPUS[round as usize % CPUS.len()];
        let store = Store::start(MachineOptions { smp, ..store_machine(image.open()) });
        model.check(&mut store.client());
        let load = Load::start(store.address(), &model, seed * 1000 + round);
        thread::sleep(Duration::from_millis(200 + random.u64(..800)));
        end(ending, store);
        model = load.finish();
        assert!(model.acknowledged() > 0, "no write was acknowledged in round {round}");
    }
    let store = Store::boot(&image);
    let mut client = store.client();
    model.check(&mut client);
    let opening = client.info("pool_opening");
    let shut_down = !matches!(ending, Ending::Kill);
    assert_eq!(opening.contains("after a clean shutdown"), shut_down, "{opening}");
    assert_eq!(opening.contains(" keys from a checkpoint of "), shut_down, "{opening}");
    assert!(opening.ends_with("0 places damaged"), "{opening}");
}

fn end(ending: Ending, store: Store) {
    match ending {
        Ending::Kill => store.kill(),
        Ending::Shutdown => {
            let mut client = store.client();
            // There is no answer: the connection ends.
            assert!(client.try_command(&[b"SHUTDOWN"]).is_err());
            store.wait().expect_exit(0).expect_line("kvstore: stopped");
        }
        Ending::PowerButton => {
            store.press_power_button();
            store.wait().expect_exit(0).expect_line("kvstore: stopped");
        }
    }
}

#[test]
fn acknowledged_writes_survive_a_power_cut_at_any_moment() {
    survives(Ending::Kill, 8, 1);
}

#[test]
fn acknowledged_writes_survive_a_shutdown_by_command() {
    survives(Ending::Shutdown, 4, 2);
}

#[test]
fn acknowledged_writes_survive_the_power_button() {
    survives(Ending::PowerButton, 4, 3);
}

#[test]
fn a_power_cut_during_the_first_writes_leaves_a_pool_that_opens() {
    for moment in [0, 3, 10, 30] {
        let image = StoreImage::new(64 * MIB);
        let store = Store::boot(&image);
        let load = Load::start(store.address(), &Model::default(), 4 + moment);
        thread::sleep(Duration::from_millis(moment));
        store.kill();
        let mut model = load.finish();
        let store = Store::boot(&image);
        model.check(&mut store.client());
    }
}

#[test]
fn a_power_cut_while_the_pool_is_opened_loses_nothing() {
    let image = StoreImage::new(64 * MIB);
    let store = Store::boot(&image);
    let load = Load::start(store.address(), &Model::default(), 5);
    thread::sleep(Duration::from_millis(500));
    store.kill();
    let mut model = load.finish();
    // From before the machine reads its memory to about the time when it is ready.
    for moment in [50, 150, 250, 350, 450, 550, 650] {
        let machine = Machine::start(store_machine(image.open()), None).unwrap();
        thread::sleep(Duration::from_millis(moment));
        machine.kill();
    }
    let store = Store::boot(&image);
    model.check(&mut store.client());
}

#[test]
fn an_expiry_survives_a_power_cut() {
    let image = StoreImage::new(64 * MIB);
    let store = Store::boot(&image);
    let mut client = store.client();
    assert_eq!(client.command("SET lasting value EX 3600"), Reply::ok());
    assert_eq!(client.command("SET passing value PX 1500"), Reply::ok());
    assert_eq!(client.command("SET eternal value"), Reply::ok());
    let set_at = Instant::now();
    store.kill();
    // The clock of a PC counts whole seconds, so two boots may differ by one.
    thread::sleep(Duration::from_secs(4).saturating_sub(set_at.elapsed()));
    let store = Store::boot(&image);
    let mut client = store.client();
    assert_eq!(client.get("passing"), None);
    assert_eq!(client.command("TTL eternal"), Reply::Integer(-1));
    let Reply::Integer(left) = client.command("TTL lasting") else { panic!("TTL has no number") };
    assert!((3000..=3600).contains(&left), "{left} seconds are left of 3600");
    assert_eq!(client.get("lasting").unwrap(), b"value");
}
