//! Clocks and sleeping.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Check;

pub(super) const CHECKS: &[Check] = &[
    ("instant-never-goes-back", instant_is_monotone),
    ("instant-never-goes-back-between-threads", instant_is_monotone_between_threads),
    ("instant-is-fine-grained", instant_is_fine),
    ("system-time-moves-with-instant", system_time_moves),
    ("sleep-lasts-at-least-as-long-as-asked", sleep_lasts),
    ("sleepers-wake-in-order", sleepers_wake_in_order),
    ("sleep-by-the-hosts-clock", sleep_by_the_hosts_clock),
];

fn instant_is_monotone() {
    let mut last = Instant::now();
    for _ in 0..100_000 {
        let now = Instant::now();
        assert!(now >= last);
        last = now;
    }
}

fn instant_is_monotone_between_threads() {
    for _ in 0..100 {
        let before = Instant::now();
        let within = thread::spawn(Instant::now).join().unwrap();
        assert!(before <= within && within <= Instant::now());
    }
}

fn instant_is_fine() {
    // A clock that only moves with the timer's ticks would show few different values.
    let seen: std::collections::BTreeSet<_> = (0..1000).map(|_| Instant::now()).collect();
    assert!(seen.len() > 100, "only {} different values", seen.len());
}

fn system_time_moves() {
    let (instant, system) = (Instant::now(), SystemTime::now());
    // The test compares this with the host's time.
    println!("unix time: {}", system.duration_since(UNIX_EPOCH).unwrap().as_secs());
    thread::sleep(Duration::from_millis(100));
    let by_system = system.elapsed().unwrap();
    let by_instant = instant.elapsed();
    assert!(by_system >= Duration::from_millis(99) && by_system <= by_instant, "{by_system:?} {by_instant:?}");
}

fn sleep_lasts() {
    for asked in [0, 1, 10, 100, 999, 1000, 5000, 20_000, 50_000].map(Duration::from_micros) {
        let before = Instant::now();
        thread::sleep(asked);
        assert!(before.elapsed() >= asked, "asked for {asked:?}, slept {:?}", before.elapsed());
    }
}

fn sleepers_wake_in_order() {
    let began = Instant::now();
    let sleepers: Vec<_> = [300, 100, 200]
        .map(Duration::from_millis)
        .into_iter()
        .map(|asked| {
            thread::spawn(move || {
                thread::sleep(asked);
                Instant::now()
            })
        })
        .collect();
    let woken: Vec<_> = sleepers.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(woken[1] < woken[2] && woken[2] < woken[0]);
    assert!(woken[0] >= began + Duration::from_millis(300));
}

fn sleep_by_the_hosts_clock() {
    println!("going to sleep");
    thread::sleep(Duration::from_secs(2));
    println!("slept two seconds");
}
