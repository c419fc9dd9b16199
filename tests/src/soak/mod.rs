//! A long load on a lossy link, and what is left of it: `cargo xtask test soak`.
//!
//! A guest program (`tests/programs`, `soak`) serves connections that carry streams both ways which follow from a seed,
//! so that each side knows every byte that it is to get. Hundreds of clients open and close such connections here in
//! all ways that there are; the guest's link meanwhile loses, repeats and delays frames (the boot option `link-faults`,
//! which works without privileges and in both directions: QEMU's user network itself loses nothing, and a bridge that
//! does takes root), and threads come and go in the guest.
//!
//! The guest speaks first on each connection, one byte, and its client waits for it. QEMU's user network (libslirp) has
//! a defect that only losses show: a SYN|ACK that comes a second time empties its send buffer, and what the client has
//! sent by then is gone for ever. Once the guest has spoken, it sends no SYN|ACK any more.
//!
//! Before and after it the machine is let come to rest and asked what it holds. The load is preceded by one of the same
//! kind, as high if not as long, which fills what is filled once and kept: tables that have grown, stacks for threads
//! to come, page tables. After that nothing may be missing; [`accounts`] says what that means for each number.

pub mod accounts;
mod client;
mod control;
pub mod stream;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use xtask::forward::Forwarder;
use xtask::qemu::{Machine, MachineOptions, Network};
use xtask::size::MIB;

use self::accounts::Numbers;
use self::client::Tally;
use self::control::Control;
use fastrand::Rng;

use crate::machine::{PATIENCE, machine};

/// The guest's ports.
const STREAMS: u16 = 7100;
const QUESTIONS: u16 = 7101;
/// The guest's RAM: a thousand threads and the buffers of five hundred connections.
const MEMORY: u64 = 512 * MIB;
/// How long the machine may take to come to rest. A connection whose last segments were all lost is asked for after a
/// minute, and once more after another.
pub const REST: Duration = Duration::from_secs(300);
/// Between two looks at a machine that comes to rest, and how many of them in a row must see the same.
const LOOK: Duration = Duration::from_millis(500);
const UNCHANGED: u32 = 4;

/// What is done to a machine.
#[derive(Clone, Debug)]
pub struct SoakOptions {
    /// Clients at once.
    pub clients: usize,
    /// Processors of the guest.
    pub smp: u32,
    /// What the load and the link's faults follow from.
    pub seed: u64,
    /// Of a thousand frames in each direction, how many are lost, repeated and delayed.
    pub faults: [u16; 3],
}

impl Default for SoakOptions {
    fn default() -> Self {
        Self { clients: 500, smp: 2, seed: 1, faults: [20, 5, 10] }
    }
}

/// A machine under such loads.
#[derive(Debug)]
pub struct Soak {
    control: Control,
    streams: Forwarder,
    machine: Machine,
    options: SoakOptions,
    loads: u64,
}

/// How a load went.
#[derive(Debug)]
pub struct Outcome {
    /// What was done.
    pub tally: Tally,
    /// What the machine held before.
    pub before: Numbers,
    /// What it held after it had come to rest.
    pub after: Numbers,
    /// What passed its network card meanwhile.
    pub traffic: Numbers,
    /// How the guest saw the connections end.
    pub counts: Numbers,
    /// How long the load took, without the rest.
    pub took: Duration,
    /// What is wrong with streams and connections.
    pub faults: Vec<String>,
    /// What the machine holds and should not.
    pub leaks: Vec<String>,
}

impl Soak {
    /// Boots the machine and lets it come to rest.
    ///
    /// # Panics
    /// When it does not boot.
    pub fn boot(options: SoakOptions) -> Self {
        let [drop, duplicate, reorder] = options.faults;
        let faults = format!("link-faults=drop:{drop},duplicate:{duplicate},reorder:{reorder},seed:{}", options.seed);
        let machine = MachineOptions {
            smp: options.smp,
            memory: MEMORY,
            network: Network::User,
            kernel_options: vec![faults],
            ..machine("soak", &[])
        };
        let machine = Machine::start(machine, None).unwrap();
        let ready = machine.console().wait_for_line(PATIENCE, |line| (line == "soak: ready").then_some(()));
        assert!(ready.is_some(), "{:?}", machine.console().lines());
        let questions = machine.forward_any(QUESTIONS).unwrap();
        let control = Control::connect(questions).unwrap();
        let streams = machine.forward_any(STREAMS).unwrap();
        Self { control, streams, machine, options, loads: 0 }
    }

    /// What the guest has printed.
    pub fn console(&self) -> Vec<String> {
        self.machine.console().lines()
    }

    /// Gives the guest's program a defect, or takes it away (`nothing`).
    pub fn plant(&mut self, defect: &str) {
        assert_eq!(self.control.ask(&format!("plant {defect}")).unwrap(), "planted");
    }

    /// What the machine holds as soon as it holds what it held before (`like`), or nothing of connections that are over
    /// and nothing changes any more, or after `patience`.
    fn rest(&mut self, like: Option<&Numbers>, patience: Duration) -> Numbers {
        let deadline = Instant::now() + patience;
        let (mut last, mut looks) = (Numbers::new(), 0);
        loop {
            let now = self.control.numbers("accounts");
            let counts = self.control.numbers("counts");
            let over = counts["begun"] == counts["ended"] && accounts::is_at_rest(&now);
            looks = if over && now == last { looks + 1 } else { 0 };
            let same = over && like.is_some_and(|like| accounts::violations(like, &now).is_empty());
            if same || looks == UNCHANGED || Instant::now() > deadline {
                return now;
            }
            last = now;
            thread::sleep(LOOK);
        }
    }

    /// Puts the machine under load for `time`, lets it come to rest for at most `patience`, and compares. Tells `say`
    /// of each minute.
    pub fn load(&mut self, time: Duration, patience: Duration, say: &dyn Fn(&str)) -> Outcome {
        let before = self.rest(None, patience);
        let [traffic_before, counts_before] = ["traffic", "counts"].map(|what| self.control.numbers(what));
        self.loads += 1;
        let (tally, stop) = (Tally::default(), AtomicBool::new(false));
        self.control.ask("churn on").unwrap();
        let began = Instant::now();
        thread::scope(|scope| {
            let address = self.streams.address();
            for number in 0..self.options.clients {
                let random = Rng::with_seed(self.options.seed << 32 ^ self.loads << 16 ^ number as u64);
                let (tally, stop) = (&tally, &stop);
                let work = move || client::run(address, random, stop, tally);
                thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, work).unwrap();
            }
            let mut minutes = 1;
            while began.elapsed() < time && self.machine.console().exit().is_none() {
                thread::sleep(Duration::from_millis(200).min(time.saturating_sub(began.elapsed())));
                if began.elapsed() >= minutes * Duration::from_secs(60) {
                    let [accounts, traffic] = ["accounts", "traffic"].map(|what| self.control.numbers(what));
                    let lost = accounts::per_cent(traffic["lost"], traffic["received"] + traffic["sent"]);
                    say(&format!(
                        "{minutes:>2} min: {tally}; the guest has {} connections, {} threads, {:.1} MiB in its heap; the \
                         link has lost {lost:.1} % of {} frames",
                        accounts["connections"],
                        accounts["threads"],
                        accounts["heap_bytes"] as f64 / MIB as f64,
                        traffic["received"] + traffic["sent"],
                    ));
                    minutes += 1;
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        let took = began.elapsed();
        self.control.ask("churn off").unwrap();
        let after = self.rest(Some(&before), patience);
        let [traffic, counts] = [("traffic", traffic_before), ("counts", counts_before)]
            .map(|(what, before)| accounts::difference(&before, &self.control.numbers(what)));
        let mut faults = tally.problems();
        // A connection that came to nothing for its client is among the problems already, whatever it was for the
        // guest.
        let heard = tally.whole() + tally.broken_off() + faults.len() as u64;
        if counts["begun"] > heard {
            let surplus = counts["begun"] - heard;
            faults.push(format!("{surplus} connections began for the guest and not for their clients"));
        }
        faults.extend(count_violations(&counts, tally.whole()));
        let leaks = accounts::violations(&before, &after);
        Outcome { tally, before, after, traffic, counts, took, faults, leaks }
    }
}

/// What is wrong with how the guest saw the connections end, `whole` of which ended well for their clients.
fn count_violations(counts: &Numbers, whole: u64) -> Vec<String> {
    let mut violations = Vec::new();
    if counts["begun"] != counts["ended"] {
        violations.push(format!("the guest serves {} connections for ever", counts["begun"] - counts["ended"]));
    }
    if counts["wrong"] > 0 {
        violations.push(format!("the guest got wrong bytes on {} connections", counts["wrong"]));
    }
    if counts["short"] > 0 {
        violations.push(format!("for the guest {} connections ended early", counts["short"]));
    }
    if counts["whole"] < whole {
        violations.push(format!("{whole} connections were whole for their clients, {} for the guest", counts["whole"]));
    }
    violations
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, before, after, traffic, counts, took, faults, leaks } = self;
        writeln!(f, "{tally} in {:.0} s", took.as_secs_f64())?;
        let line = |numbers: &Numbers| {
            numbers.iter().map(|(name, number)| format!("{name} {number}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "connections for the guest: {}", line(counts))?;
        writeln!(f, "the network card: {}", line(traffic))?;
        writeln!(f, "{:<20} {:>12} {:>12} {:>10}", "", "before", "after", "change")?;
        for (name, &before) in before {
            let after = after[name];
            let change = i128::from(after) - i128::from(before);
            let change = if change == 0 { "0".to_owned() } else { format!("{change:+}") };
            writeln!(f, "{name:<20} {before:>12} {after:>12} {change:>10}")?;
        }
        for (kind, all) in [("FAULT", faults), ("LEAK", leaks)] {
            all.iter().try_for_each(|violation| writeln!(f, "{kind}: {violation}"))?;
        }
        write!(f, "{} faults, {} leaks", faults.len(), leaks.len())
    }
}
