//! Rights belong to threads, wherever and however they run: other threads, other CPUs, new threads, waiting, preemption
//! and migration. On a machine with one CPU as well as on one with several.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libos::arch::{interrupts, key_rights, percpu};
use libos::dax::Rights;

use crate::attempt;
use crate::cpus::on_every_cpu;
use crate::probe::{OPEN, PLACE, WD, device, is_one_fault, only, register_is, store, watch, with_bits};
use crate::verdict::{Case, Verdict, same};

pub(crate) const CASES: &[Case] = &[
    ("every_cpu_refuses", every_cpu_refuses),
    ("other_thread_in_grant", other_thread),
    ("other_cpu_in_grant", other_cpu),
    ("grant_opens_no_other_cpu", grant_opens_no_other_cpu),
    ("new_thread_starts_closed", new_thread),
    ("thread_that_ends_leaves_nothing", thread_that_ends),
    ("blocking_in_grant", blocking),
    ("preemption_in_grant", preemption),
    ("migration_in_grant", migration),
];

fn join(thread: JoinHandle<Verdict>) -> Verdict {
    thread.join().map_err(|_| "a thread panicked".to_owned())?
}

/// Each CPU by itself stops a store of somebody without a grant: a closed register alone does not, where keys are not
/// on.
fn every_cpu_refuses() -> Verdict {
    let found = on_every_cpu(|| u32::from(attempt::faults(device(0), PLACE, 1)));
    same("whether each CPU refused", found, vec![1; percpu::online_count()])
}

/// A thread waits inside a write grant; what another one stores meanwhile faults.
fn other_thread() -> Verdict {
    let (granted, wait_granted) = mpsc::channel();
    let (done, wait_done) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        let lock = device(0).read_lock().map_err(|error| error.to_string())?;
        lock.write(|_| {
            let _ = granted.send(());
            let _ = wait_done.recv();
            register_is("of the holder afterwards", only(device(0), OPEN))?;
            same("the faults of the holder", watch(|| store(device(0), PLACE, 1)), vec![])
        })
        .unwrap()
    });
    let _ = wait_granted.recv();
    let own = is_one_fault(&watch(|| store(device(0), PLACE, 2)), device(0), PLACE, true, Rights::CLOSED);
    let _ = done.send(());
    join(holder).and(own)
}

/// A thread that never waits is inside a write grant, and another one stores on another CPU at the same time. With one
/// CPU the holder is preempted.
fn other_cpu() -> Verdict {
    static HOLDER: AtomicU32 = AtomicU32::new(0);
    static STOP: AtomicBool = AtomicBool::new(false);
    HOLDER.store(0, Ordering::SeqCst);
    STOP.store(false, Ordering::SeqCst);
    let holder = thread::spawn(|| {
        let lock = device(0).read_lock().map_err(|error| error.to_string())?;
        lock.write(|_| {
            while !STOP.load(Ordering::SeqCst) {
                let enabled = interrupts::disable();
                HOLDER.store(percpu::this().id + 1, Ordering::SeqCst);
                let rights = key_rights::current();
                interrupts::restore(enabled);
                same("the holder's rights", rights, only(device(0), OPEN))?;
                store(device(0), PLACE + 64, 1);
            }
            Ok(())
        })
        .unwrap()
    });
    let single = percpu::online_count() == 1;
    let mut own = Ok(());
    let mut stores = 0;
    while stores < 20 && own.is_ok() && !holder.is_finished() {
        let mut elsewhere = false;
        let faults = watch(|| {
            let enabled = interrupts::disable();
            let (holder, own) = (HOLDER.load(Ordering::SeqCst), percpu::this().id + 1);
            elsewhere = holder != 0 && (single || holder != own);
            if elsewhere {
                store(device(0), PLACE, 2);
            }
            interrupts::restore(enabled);
        });
        if elsewhere {
            stores += 1;
            own = is_one_fault(&faults, device(0), PLACE, true, Rights::CLOSED);
        } else {
            thread::yield_now();
        }
    }
    STOP.store(true, Ordering::SeqCst);
    join(holder).and(own)
}

/// While a thread is in a grant, no CPU's register is open for any other thread: nothing is broadcast.
fn grant_opens_no_other_cpu() -> Verdict {
    static STOP: AtomicBool = AtomicBool::new(false);
    STOP.store(false, Ordering::SeqCst);
    let holder = thread::spawn(|| {
        let lock = device(0).read_lock().map_err(|error| error.to_string())?;
        lock.write(|_| {
            while !STOP.load(Ordering::SeqCst) {
                same("the holder's rights", key_rights::current(), only(device(0), OPEN))?;
                // The others are to come to this CPU too.
                thread::yield_now();
            }
            Ok(())
        })
        .unwrap()
    });
    let found = on_every_cpu(|| key_rights::current().bits());
    STOP.store(true, Ordering::SeqCst);
    join(holder)?;
    same("the registers", found, vec![Rights::CLOSED.bits(); percpu::online_count()])
}

fn new_thread() -> Verdict {
    let lock = device(0).read_lock().map_err(|error| error.to_string())?;
    lock.write(|_| {
        let new = thread::spawn(|| {
            register_is("of a new thread", Rights::CLOSED)?;
            is_one_fault(&watch(|| store(device(0), PLACE, 3)), device(0), PLACE, true, Rights::CLOSED)
        });
        join(new)?;
        register_is("of the thread that started it", only(device(0), OPEN))
    })
    .unwrap()
}

/// A thread whose register is open when it ends leaves that to nobody who runs on its CPU next.
fn thread_that_ends() -> Verdict {
    for _ in 0..8 {
        let thread = thread::spawn(|| {
            crate::probe::set_bits(device(0), OPEN);
            Ok(())
        });
        join(thread)?;
        register_is("after the thread", Rights::CLOSED)?;
        join(thread::spawn(|| register_is("of the next thread", Rights::CLOSED)))?;
    }
    same("the registers", on_every_cpu(|| key_rights::current().bits()), vec![0x5555_5554; percpu::online_count()])
}

/// Every way of waiting, in a read grant inside a write grant of another device.
fn blocking() -> Verdict {
    let (first, second) = (device(0), device(1));
    let both = with_bits(only(first, OPEN), second, WD);
    let (first_lock, second_lock) = (first.read_lock(), second.read_lock());
    let (Ok(first_lock), Ok(second_lock)) = (first_lock, second_lock) else { return Err("a device is gone".into()) };
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    // Somebody else who always wants to run, so that each wait is a switch.
    let other = thread::spawn(move || {
        while !seen.load(Ordering::SeqCst) {
            register_is("of a thread without grants", Rights::CLOSED)?;
            thread::yield_now();
        }
        Ok(())
    });
    let own = first_lock
        .write(|_| {
            second_lock.read(|_| {
                for _ in 0..10 {
                    thread::sleep(Duration::from_micros(200));
                    register_is("after a sleep", both)?;
                    thread::yield_now();
                    register_is("after a yield", both)?;
                    let (send, receive) = mpsc::channel();
                    let sender = thread::spawn(move || {
                        let sent = send.send(());
                        register_is("of the sender", Rights::CLOSED).and(sent.map_err(|error| error.to_string()))
                    });
                    receive.recv().map_err(|error| error.to_string())?;
                    register_is("after a message", both)?;
                    join(sender)?;
                    register_is("after a join", both)?;
                    store(first, PLACE, 4);
                }
                Ok(())
            })
        })
        .unwrap();
    stop.store(true, Ordering::SeqCst);
    join(other).and(own)
}

/// What each of the threads of [`preemption`] and [`migration`] holds.
#[derive(Clone, Copy)]
enum Hold {
    Nothing,
    Read(usize),
    Write(usize),
    WriteAndRead(usize, usize),
}

impl Hold {
    fn rights(self) -> Rights {
        match self {
            Self::Nothing => Rights::CLOSED,
            Self::Read(index) => only(device(index), WD),
            Self::Write(index) => only(device(index), OPEN),
            Self::WriteAndRead(first, second) => with_bits(only(device(first), OPEN), device(second), WD),
        }
    }

    fn hold(self, scope: impl FnOnce() -> Verdict) -> Verdict {
        let lock = |index| device(index).read_lock().map_err(|error| error.to_string());
        match self {
            Self::Nothing => scope(),
            Self::Read(index) => lock(index)?.read(|_| scope()),
            Self::Write(index) => lock(index)?.write(|_| scope()).unwrap(),
            Self::WriteAndRead(first, second) => {
                let (first, second) = (lock(first)?, lock(second)?);
                first.write(|_| second.read(|_| scope())).unwrap()
            }
        }
    }
}

/// Starts a thread for each element, runs `scope` in each with what that holds, its number among them, all at once.
fn all_at_once(holds: Vec<Hold>, scope: fn(usize, Rights) -> Verdict) -> Verdict {
    let barrier = Arc::new(Barrier::new(holds.len()));
    let start = |(number, hold): (usize, Hold)| {
        let barrier = barrier.clone();
        thread::spawn(move || {
            hold.hold(|| {
                barrier.wait();
                scope(number, hold.rights())
            })
        })
    };
    let threads: Vec<_> = holds.into_iter().enumerate().map(start).collect();
    threads.into_iter().map(join).fold(Ok(()), Verdict::and)
}

const MOST: usize = 16;

/// How far each thread is; `DONE` when it is through or has failed.
static PROGRESS: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];
const DONE: u64 = u64::MAX;

/// Two threads more than there are CPUs, none of which ever gives up the CPU by itself, until each has seen every other
/// move on several times: that takes as many preemptions.
fn preemption() -> Verdict {
    PROGRESS.iter().for_each(|progress| progress.store(0, Ordering::SeqCst));
    let threads = (percpu::online_count() + 2).min(MOST);
    PROGRESS[threads..].iter().for_each(|progress| progress.store(DONE, Ordering::SeqCst));
    let kinds = [Hold::Nothing, Hold::Read(0), Hold::Write(0), Hold::WriteAndRead(1, 2)];
    all_at_once((0..threads).map(|number| kinds[number % kinds.len()]).collect(), |number, rights| {
        let verdict = spin(number, rights);
        PROGRESS[number].store(DONE, Ordering::SeqCst);
        verdict
    })
}

fn spin(number: usize, rights: Rights) -> Verdict {
    let (mut seen, mut last) = ([0; MOST], [0; MOST]);
    while (0..MOST).any(|other| other != number && seen[other] < 5) {
        register_is("of a thread that is preempted", rights)?;
        PROGRESS[number].fetch_add(1, Ordering::SeqCst);
        for other in 0..MOST {
            let now = PROGRESS[other].load(Ordering::SeqCst);
            if now == DONE {
                seen[other] = 5;
            } else if now != last[other] {
                last[other] = now;
                seen[other] += 1;
            }
        }
    }
    Ok(())
}

/// CPUs on which every thread of [`migration`] is to have been.
static VISITED: [AtomicU64; MOST] = [const { AtomicU64::new(0) }; MOST];

/// Threads that hold different grants, more than there are CPUs, give way to each other until each of them has had
/// exactly its rights on every CPU.
fn migration() -> Verdict {
    VISITED.iter().for_each(|visited| visited.store(0, Ordering::SeqCst));
    let threads = (percpu::online_count() + 1).clamp(4, MOST);
    let kinds = [Hold::Write(0), Hold::Nothing, Hold::Read(0), Hold::WriteAndRead(1, 2), Hold::Write(3)];
    all_at_once((0..threads).map(|number| kinds[number % kinds.len()]).collect(), |number, rights| {
        let verdict = wander(number, rights);
        VISITED[number].store(DONE, Ordering::SeqCst);
        verdict
    })
}

fn wander(number: usize, rights: Rights) -> Verdict {
    let all = (1u64 << percpu::online_count()) - 1;
    let threads = (percpu::online_count() + 1).clamp(4, MOST);
    // Nobody leaves before all have been everywhere: who is left alone stays where it is.
    while (0..threads).any(|other| VISITED[other].load(Ordering::SeqCst) & all != all) {
        let enabled = interrupts::disable();
        let (cpu, register, remembered) = (percpu::this().id, key_rights::current(), key_rights::remembered());
        interrupts::restore(enabled);
        same(format_args!("the register on CPU {cpu}"), register, rights)?;
        same(format_args!("the memory of CPU {cpu}"), remembered, Some(rights))?;
        VISITED[number].fetch_or(1 << cpu, Ordering::SeqCst);
        thread::yield_now();
    }
    Ok(())
}
