//! The cases of Linux's `lib/pks/pks_test.c`, versions 9 and 10 of the series, by its numbers: what each digit that one
//! wrote to `x86/run_pks` did.
//!
//! The cases 1 and 4 consist of parts there, each of which has a name here. Case 9 is meant to stop the machine.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use libos::arch::{interrupts, key_rights};
use libos::dax::{Device, Fault, FaultAction, Rights, devices};

use super::cpus::on_every_cpu;
use super::probe::{
    AD, KEYS, OPEN, PLACE, Seen, WD, access_with, bits, device, is_one_fault, key, note, note_and_open, only, open,
    peek, poke, register_is, set_bits, store, watch, watch_by, with_bits,
};
use super::tables::leaf;
use super::verdict::{Case, Verdict, same};

pub(crate) const CASES: &[Case] = &[
    ("check_defaults", check_defaults),
    ("single", || single(device(0))),
    ("single_no_access_write", || access_with(device(0), AD, true, true)),
    ("single_no_access_read", || access_with(device(0), AD, false, true)),
    ("single_read_write_write", || access_with(device(0), OPEN, true, false)),
    ("single_read_write_read", || access_with(device(0), OPEN, false, false)),
    ("arm_ctx_switch", arm_ctx_switch),
    ("check_ctx_switch", || check_ctx_switch(OPEN)),
    ("exception", || exception().map(drop)),
    ("exception_thread_state_saved", || exception().and_then(|seen| seen.thread_state_saved())),
    ("exception_handler_starts_closed", || exception().and_then(|seen| seen.handler_starts_closed())),
    ("exception_handler_opens", || exception().and_then(|seen| seen.handler_opens())),
    ("exception_handler_closes", || exception().and_then(|seen| seen.handler_closes())),
    ("exception_fault_seen", || exception().and_then(|seen| seen.fault_seen())),
    ("exception_thread_has_the_update", || exception().and_then(|seen| seen.thread_has_the_update())),
    ("exception_update", exception_update),
    ("all_keys", all_keys),
    ("crash", crash),
];

/// 0, CHECK_DEFAULTS: the register holds the initial value, on all CPUs.
pub(crate) fn check_defaults() -> Verdict {
    let found = on_every_cpu(|| key_rights::current().bits());
    let remembered = on_every_cpu(|| key_rights::remembered().map_or(0, Rights::bits));
    for (cpu, (found, remembered)) in found.into_iter().zip(remembered).enumerate() {
        same(format_args!("the register of CPU {cpu}"), found, Rights::CLOSED.bits())?;
        same(format_args!("the memory of CPU {cpu}"), remembered, Rights::CLOSED.bits())?;
    }
    Ok(())
}

/// 1, RUN_SINGLE: the leaf has the key, closed accesses fault, open ones do not, and it ends closed.
pub(crate) fn single(device: &'static Device) -> Verdict {
    let Some(leaf) = leaf(device.address_range().start + PLACE) else { return Err("nothing is mapped".to_owned()) };
    same("the leaf's key", leaf.key(), key(device))?;
    access_with(device, AD, true, true)?;
    access_with(device, AD, false, true)?;
    access_with(device, OPEN, true, false)?;
    access_with(device, OPEN, false, false)?;
    register_is("after the accesses", only(device, AD))
}

/// 2, ARM_CTX_SWITCH: the key is opened in this thread.
fn arm_ctx_switch() -> Verdict {
    set_bits(device(0), OPEN);
    let armed = register_is("when it is armed", only(device(0), OPEN));
    set_bits(device(0), AD);
    armed
}

/// 3, CHECK_CTX_SWITCH: after another thread has run with the same key, this one's bits are as it left them.
pub(crate) fn check_ctx_switch(armed: u32) -> Verdict {
    set_bits(device(0), armed);
    let other = thread::spawn(|| {
        register_is("when another thread begins", Rights::CLOSED)?;
        single(device(0))
    });
    // Waiting for it is the switch.
    let other = other.join().expect("a case does not panic");
    let own = register_is("after the other thread", only(device(0), armed));
    set_bits(device(0), AD);
    other.and(own)
}

/// What case 4 saw.
pub(crate) struct Exception {
    faults: Vec<Seen>,
    began: [u32; 2],
    opened: [u32; 2],
    closed: [u32; 2],
    afterwards: Rights,
}

/// The key's two bits in the register and in the CPU's memory of it, as a handler saw them: when it began, when it had
/// opened the key, and when it had closed it again.
static STAGES: [[AtomicU32; 2]; 3] = [const { [const { AtomicU32::new(0) }; 2] }; 3];

fn note_stage(stage: usize, device: &Device) {
    let enabled = interrupts::disable();
    STAGES[stage][0].store(bits(key_rights::current(), device), Ordering::SeqCst);
    STAGES[stage][1].store(key_rights::remembered().map_or(u32::MAX, |rights| bits(rights, device)), Ordering::SeqCst);
    interrupts::restore(enabled);
}

/// The handler of case 4: opens and closes the key for itself, and then opens it for the thread.
fn grants_for_itself(fault: &mut Fault<'_>) -> FaultAction {
    let device = fault.device();
    note_stage(0, device);
    set_bits(device, OPEN);
    note_stage(1, device);
    set_bits(device, AD);
    note_stage(2, device);
    note(fault);
    open(fault)
}

/// 4, RUN_EXCEPTION: a thread that may not write does; what the handler opens and closes is its own.
pub(crate) fn exception() -> Result<Exception, String> {
    let device = device(0);
    poke(device, PLACE, 1);
    set_bits(device, WD);
    let mut afterwards = Rights::CLOSED;
    let faults = watch_by(grants_for_itself, || {
        store(device, PLACE, 2);
        afterwards = key_rights::current();
    });
    set_bits(device, AD);
    let stage = |number: usize| STAGES[number].each_ref().map(|bits| bits.load(Ordering::SeqCst));
    let seen = Exception { faults, began: stage(0), opened: stage(1), closed: stage(2), afterwards };
    seen.fault_seen()?;
    Ok(seen)
}

impl Exception {
    /// 4a: the frame has the thread's rights.
    fn thread_state_saved(&self) -> Verdict {
        is_one_fault(&self.faults, device(0), PLACE, true, only(device(0), WD))
    }

    /// 4b: register and memory are closed in the handler.
    fn handler_starts_closed(&self) -> Verdict {
        same("register and memory when the handler begins", self.began, [AD; 2])
    }

    /// 4c: the handler can open the key for itself.
    fn handler_opens(&self) -> Verdict {
        same("register and memory when the handler has opened the key", self.opened, [OPEN; 2])
    }

    /// 4d: and close it.
    fn handler_closes(&self) -> Verdict {
        same("register and memory when the handler has closed the key", self.closed, [AD; 2])
    }

    /// 4e: the handler was called, and the store was done afterwards.
    fn fault_seen(&self) -> Verdict {
        same("the number of faults", self.faults.len(), 1)?;
        same("what is there", peek(device(0), PLACE), 2)
    }

    /// 4f: the thread goes on with what the handler wrote into its frame, and not with what the handler had itself.
    fn thread_has_the_update(&self) -> Verdict {
        same("the thread's rights afterwards", self.afterwards, only(device(0), OPEN))
    }
}

/// 5, RUN_EXCEPTION_UPDATE: the handler opens the key for the thread; the first store faults, the second does not.
pub(crate) fn exception_update() -> Verdict {
    let device = device(0);
    set_bits(device, AD);
    let faults = watch(|| {
        store(device, PLACE, 3);
        store(device, PLACE, 4);
    });
    is_one_fault(&faults, device, PLACE, true, Rights::CLOSED)?;
    same("what is there", peek(device, PLACE), 4)
}

/// 6, RUN_ALL_KEYS: case 1 for every key; and opening one opens no other.
pub(crate) fn all_keys() -> Verdict {
    let mut keys: Vec<u8> = devices().iter().map(key).collect();
    keys.sort_unstable();
    same("the keys of all devices", keys, (1..=KEYS as u8).collect())?;
    for (index, device) in devices().iter().enumerate() {
        single(device).map_err(|why| format!("key {}: {why}", key(device)))?;
        let neighbour = &devices()[(index + 1) % KEYS];
        set_bits(device, OPEN);
        let faults = watch_by(note_and_open, || store(neighbour, PLACE, 5));
        set_bits(device, AD);
        let rights = with_bits(only(device, OPEN), neighbour, AD);
        is_one_fault(&faults, neighbour, PLACE, true, rights)
            .map_err(|why| format!("key {}: {why}", key(neighbour)))?;
    }
    Ok(())
}

/// 9, RUN_CRASH_TEST: a store to a closed page, and nobody who handles the fault. Returning is a failure.
pub(crate) fn crash() -> Verdict {
    store(device(0), PLACE, u64::from_le_bytes(*b"RAYSTRAW"));
    Err("the store came back".to_owned())
}
