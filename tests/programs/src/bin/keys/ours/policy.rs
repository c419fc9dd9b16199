//! What the machine does about a fault that no handler deals with. Each of these cases has a machine of its own, whose
//! console and images the host looks at.

use std::thread;

use libos::dax::{FaultPolicy, fault_count, fault_policy, set_fault_policy};

use crate::probe::{PLACE, device, peek, poke, register_is, store};
use crate::verdict::{Case, Verdict, same};

pub(crate) const CASES: &[Case] = &[
    ("strict", strict),
    ("relaxed", relaxed),
    ("relaxed_in_a_grant", relaxed_in_a_grant),
    ("changed_at_run_time", changed_at_run_time),
];

const MARK: u64 = u64::from_le_bytes(*b"RAYSTRAW");

/// One stray store: it is the last thing that happens.
fn strict() -> Verdict {
    same("the policy", fault_policy(), FaultPolicy::Strict)?;
    store(device(0), PLACE, MARK);
    Err("the store came back".to_owned())
}

/// Where the program goes astray: one place in the code, so one report.
#[inline(never)]
fn stray(offset: u64) {
    store(device(0), offset, MARK);
}

/// A stray store is let through and reported once; data can be used as before; nothing stays open; the next stray
/// store, also another thread's, faults again.
fn relaxed() -> Verdict {
    same("the policy", fault_policy(), FaultPolicy::Relaxed)?;
    stray(PLACE);
    register_is("after a stray store", libos::dax::Rights::CLOSED)?;
    same("stray accesses", fault_count(), 1)?;
    same("what it stored", peek(device(0), PLACE), MARK)?;
    poke(device(0), PLACE + 8, MARK);
    same("what a grant stored", peek(device(0), PLACE + 8), MARK)?;
    same("stray accesses after a grant", fault_count(), 1)?;
    stray(PLACE + 16);
    same("stray accesses of this thread", fault_count(), 2)?;
    let other = thread::spawn(|| {
        stray(PLACE + 24);
        register_is("of the other thread after its stray store", libos::dax::Rights::CLOSED)
    });
    other.join().map_err(|_| "the thread panicked".to_owned())??;
    same("stray accesses with the other thread's", fault_count(), 3)
}

/// What relaxed lets through inside a read grant does not make a write grant of it.
fn relaxed_in_a_grant() -> Verdict {
    let lock = device(0).read_lock().map_err(|error| error.to_string())?;
    lock.read(|_| {
        for number in 1..4 {
            stray(PLACE + number * 8);
            same("stray accesses", fault_count(), number)?;
            register_is("after a stray store in a read grant", crate::probe::only(device(0), crate::probe::WD))?;
        }
        Ok(())
    })
}

/// Strict, then relaxed, then strict again, at run time.
fn changed_at_run_time() -> Verdict {
    same("the policy of the boot", fault_policy(), FaultPolicy::Strict)?;
    set_fault_policy(FaultPolicy::Relaxed);
    same("the policy", fault_policy(), FaultPolicy::Relaxed)?;
    stray(PLACE);
    same("stray accesses", fault_count(), 1)?;
    println!("keys: let through");
    set_fault_policy(FaultPolicy::Strict);
    stray(PLACE + 8);
    Err("the store came back".to_owned())
}
