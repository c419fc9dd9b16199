//! Interrupts, non-maskable interrupts and faults inside each other and inside grants: each level begins closed, what
//! it opens is its own, and each has exactly its rights back when the inner one ends.

use std::hint::black_box;

use libos::dax::{Device, Fault, FaultAction, Rights};

use crate::attempt::{attempt, attempted};
use crate::probe::{
    OPEN, PLACE, WD, device, is_one_fault, load, note, note_and_open, only, open, peek, register_is, store, watch,
    watch_by, with_bits,
};
use crate::traps::{in_interrupt, in_nmi, note_rights, noted};
use crate::verdict::{Case, Verdict, same};

pub(crate) const CASES: &[Case] = &[
    ("irq_in_write_grant", || irq_in_grant(true)),
    ("irq_in_read_grant", || irq_in_grant(false)),
    ("nmi_in_write_grant", || nmi_in_grant(true)),
    ("nmi_in_read_grant", || nmi_in_grant(false)),
    ("nmi_in_irq_in_grant", nmi_in_irq_in_grant),
    ("page_fault_in_irq_in_grant", page_fault_in_irq_in_grant),
    ("fault_in_grant_in_irq_in_grant", fault_in_grant_in_irq),
    ("irq_grant_opens_nothing_else", || handler_grant_opens_nothing_else(in_interrupt)),
    ("nmi_grant_opens_nothing_else", || handler_grant_opens_nothing_else(in_nmi)),
    ("irq_read_grant_of_the_same_device_in_write_grant", || narrower_in_handler(in_interrupt)),
    ("irq_write_grant_of_the_same_device_in_read_grant", || wider_in_handler(in_interrupt)),
    ("nmi_read_grant_of_the_same_device_in_write_grant", || narrower_in_handler(in_nmi)),
    ("nmi_write_grant_of_the_same_device_in_read_grant", || wider_in_handler(in_nmi)),
    ("fault_handler_grants_end_with_it", fault_handler_grants),
    ("fault_in_fault_handler", fault_in_fault_handler),
    ("nmi_in_fault_handler", nmi_in_fault_handler),
    ("every_level_at_once", every_level_at_once),
    ("fault_in_nmi_is_final", fault_in_nmi_is_final),
];

/// Something that runs a routine in a handler which interrupts this thread.
type Interrupting = fn(fn());

/// Runs `body` in a grant for the device, and fails unless exactly this right is there before and after, and nothing
/// then.
fn in_grant(device: &'static Device, write: bool, body: impl FnOnce() -> Verdict) -> Verdict {
    let lock = device.read_lock().map_err(|error| error.to_string())?;
    let right = only(device, if write { OPEN } else { WD });
    let scope = || {
        register_is("before the handler", right)?;
        body()?;
        register_is("after the handler", right)?;
        // Permission is what counts, not only what the register says.
        let faults = watch(|| store(device, PLACE, 41));
        if write {
            same("faults of the thread", faults, vec![])
        } else {
            is_one_fault(&faults, device, PLACE, true, right)
        }
    };
    if write { lock.write(|_| scope()).unwrap() } else { lock.read(|_| scope()) }?;
    register_is("after the grant", Rights::CLOSED)
}

fn stray() {
    note_rights(0);
    store(device(0), PLACE, 40);
    note_rights(1);
}

/// A handler that interrupts a grant cannot use it; what a fault handler opens for it, ends with it.
fn irq_in_grant(write: bool) -> Verdict {
    let device = device(0);
    for _ in 0..10 {
        in_grant(device, write, || {
            let faults = watch(|| in_interrupt(stray));
            noted("in the handler", 0, Rights::CLOSED)?;
            noted("in the handler after its fault", 1, only(device, OPEN))?;
            is_one_fault(&faults, device, PLACE, true, Rights::CLOSED)
        })?;
    }
    Ok(())
}

/// The same, tried without a fault that the library sees.
fn attempt_stray() {
    note_rights(0);
    attempt(0, device(0), PLACE, 40);
    note_rights(1);
}

fn nmi_in_grant(write: bool) -> Verdict {
    let device = device(0);
    for _ in 0..10 {
        in_grant(device, write, || {
            in_nmi(attempt_stray);
            noted("in the NMI", 0, Rights::CLOSED)?;
            attempted("of the NMI", 0, true)?;
            noted("in the NMI after its store", 1, Rights::CLOSED)
        })?;
    }
    Ok(())
}

/// Takes a grant in a handler and runs `scope` in it.
fn grant(index: usize, write: bool, scope: impl FnOnce()) {
    // A handler has nobody to tell that a device is gone; what its scope should have noted is then missing.
    let Ok(lock) = device(index).read_lock() else { return };
    if write { lock.write(|_| scope()).unwrap() } else { lock.read(|_| scope()) }
}

fn nmi_in_irq_in_grant() -> Verdict {
    fn irq() {
        grant(1, false, || {
            note_rights(2);
            in_nmi(nmi);
            note_rights(3);
        });
        note_rights(4);
    }
    fn nmi() {
        attempt_stray();
        attempt(1, device(1), PLACE, 40);
    }
    in_grant(device(0), true, || {
        let faults = watch(|| in_interrupt(irq));
        noted("in the interrupt's grant", 2, only(device(1), WD))?;
        noted("in the NMI", 0, Rights::CLOSED)?;
        attempted("of the NMI to the thread's device", 0, true)?;
        attempted("of the NMI to the interrupt's device", 1, true)?;
        noted("in the interrupt's grant after the NMI", 3, only(device(1), WD))?;
        noted("in the interrupt after its grant", 4, Rights::CLOSED)?;
        same("the faults", faults, vec![])
    })
}

fn page_fault_in_irq_in_grant() -> Verdict {
    fn irq() {
        store(device(1), PLACE, 42);
        note_rights(2);
    }
    in_grant(device(0), true, || {
        let faults = watch(|| in_interrupt(irq));
        noted("in the interrupt after its fault", 2, only(device(1), OPEN))?;
        is_one_fault(&faults, device(1), PLACE, true, Rights::CLOSED)
    })
}

/// The handler holds a read grant, and stores.
fn fault_in_grant_in_irq() -> Verdict {
    fn irq() {
        grant(1, false, || {
            black_box(load(device(1), PLACE));
            store(device(1), PLACE, 43);
            note_rights(2);
        });
        note_rights(3);
    }
    in_grant(device(0), true, || {
        let faults = watch(|| in_interrupt(irq));
        noted("in the handler's grant after its fault", 2, only(device(1), OPEN))?;
        noted("in the handler after its grant", 3, Rights::CLOSED)?;
        is_one_fault(&faults, device(1), PLACE, true, only(device(1), WD))
    })
}

/// In Linux's published code a grant in a handler began from the interrupted thread's value, and opened what that had
/// open.
fn handler_grant_opens_nothing_else(interrupting: Interrupting) -> Verdict {
    fn handler() {
        grant(1, true, || {
            note_rights(2);
            attempt(1, device(1), PLACE, 44);
            attempt(0, device(0), PLACE, 45);
        });
    }
    in_grant(device(0), true, || {
        interrupting(handler);
        noted("in the handler's grant", 2, only(device(1), OPEN))?;
        attempted("of the handler in its grant", 1, false)?;
        attempted("of the handler to the thread's device", 0, true)
    })
}

/// In Linux's published code the handler's grant only counted one up, and the handler faulted although it had a grant.
fn narrower_in_handler(interrupting: Interrupting) -> Verdict {
    fn handler() {
        grant(0, false, || {
            note_rights(2);
            black_box(load(device(0), PLACE));
            attempt(0, device(0), PLACE, 46);
        });
        note_rights(3);
    }
    in_grant(device(0), true, || {
        interrupting(handler);
        noted("in the handler's grant", 2, only(device(0), WD))?;
        attempted("of the handler in its read grant", 0, true)?;
        noted("in the handler after its grant", 3, Rights::CLOSED)
    })
}

fn wider_in_handler(interrupting: Interrupting) -> Verdict {
    fn handler() {
        grant(0, true, || {
            note_rights(2);
            attempt(0, device(0), PLACE, 47);
        });
        note_rights(3);
    }
    in_grant(device(0), false, || {
        interrupting(handler);
        noted("in the handler's grant", 2, only(device(0), OPEN))?;
        attempted("of the handler in its write grant", 0, false)?;
        noted("in the handler after its grant", 3, Rights::CLOSED)?;
        same("what the handler stored", peek(device(0), PLACE), 47)
    })
}

/// What a fault handler grants itself is not the thread's, neither during nor after it.
fn fault_handler_grants() -> Verdict {
    fn handler(fault: &mut Fault<'_>) -> FaultAction {
        grant(2, true, || {
            note_rights(2);
            store(device(2), PLACE, 48);
        });
        note(fault);
        open(fault)
    }
    in_grant(device(0), true, || {
        let mut after = Ok(());
        let faults = watch_by(handler, || {
            store(device(1), PLACE, 49);
            after = register_is("of the thread after its fault", with_bits(only(device(0), OPEN), device(1), OPEN));
        });
        after?;
        noted("in the fault handler's grant", 2, only(device(2), OPEN))?;
        is_one_fault(&faults, device(1), PLACE, true, only(device(0), OPEN))
    })
}

/// A fault handler that goes astray itself faults once more, and both go on where they were.
fn fault_in_fault_handler() -> Verdict {
    fn handler(fault: &mut Fault<'_>) -> FaultAction {
        if fault.device().key() == device(1).key() {
            store(device(2), PLACE, 50);
            note_rights(2);
        }
        note_and_open(fault)
    }
    in_grant(device(0), true, || {
        let mut after = Ok(());
        let faults = watch_by(handler, || {
            store(device(1), PLACE, 51);
            after = register_is("of the thread after its fault", with_bits(only(device(0), OPEN), device(1), OPEN));
        });
        after?;
        noted("in the fault handler after its own fault", 2, only(device(2), OPEN))?;
        let [inner, mut outer] = faults[..] else { return Err(format!("there should be two faults: {faults:?}")) };
        // The outer handler notes what it finds after its own fault, which has opened something for it.
        same("the outer handler's rights", outer.inside, only(device(2), OPEN))?;
        outer.inside = Rights::CLOSED;
        is_one_fault(&[inner], device(2), PLACE, true, Rights::CLOSED)?;
        is_one_fault(&[outer], device(1), PLACE, true, only(device(0), OPEN))
    })
}

fn nmi_in_fault_handler() -> Verdict {
    fn nmi() {
        note_rights(2);
        grant(3, true, || attempt(3, device(3), PLACE, 52));
        attempt(0, device(0), PLACE, 52);
        attempt(2, device(2), PLACE, 52);
    }
    fn handler(fault: &mut Fault<'_>) -> FaultAction {
        grant(2, false, || {
            in_nmi(nmi);
            note_rights(3);
        });
        note_and_open(fault)
    }
    in_grant(device(0), true, || {
        let faults = watch_by(handler, || store(device(1), PLACE, 53));
        noted("in the NMI", 2, Rights::CLOSED)?;
        noted("in the fault handler's grant after the NMI", 3, only(device(2), WD))?;
        attempted("of the NMI in its grant", 3, false)?;
        attempted("of the NMI to the thread's device", 0, true)?;
        attempted("of the NMI to the fault handler's device", 2, true)?;
        is_one_fault(&faults, device(1), PLACE, true, only(device(0), OPEN))
    })
}

/// A thread's grant, an interrupt with a grant, a fault in it whose handler has a grant, an NMI in that with a grant:
/// four levels, each with a right of its own.
fn every_level_at_once() -> Verdict {
    fn nmi() {
        note_rights(4);
        grant(4, true, || {
            attempt(5, device(5), PLACE, 56);
            note_rights(5);
        });
        note_rights(6);
    }
    fn handler(fault: &mut Fault<'_>) -> FaultAction {
        if fault.device().key() == device(2).key() {
            grant(3, false, || {
                note_rights(3);
                in_nmi(nmi);
                note_rights(7);
            });
            note_rights(8);
        }
        note_and_open(fault)
    }
    fn irq() {
        note_rights(1);
        grant(1, true, || {
            note_rights(2);
            store(device(2), PLACE, 57);
            note_rights(9);
        });
        note_rights(10);
    }
    in_grant(device(0), true, || {
        let faults = watch_by(handler, || in_interrupt(irq));
        noted("in the interrupt", 1, Rights::CLOSED)?;
        noted("in its grant", 2, only(device(1), OPEN))?;
        noted("in the fault handler's grant", 3, only(device(3), WD))?;
        noted("in the NMI", 4, Rights::CLOSED)?;
        attempted("of the NMI", 5, true)?;
        noted("in the NMI's grant after its store", 5, only(device(4), OPEN))?;
        noted("in the NMI after its grant", 6, Rights::CLOSED)?;
        noted("in the fault handler's grant after the NMI", 7, only(device(3), WD))?;
        noted("in the fault handler after its grant", 8, Rights::CLOSED)?;
        noted("in the interrupt's grant after its fault", 9, with_bits(only(device(1), OPEN), device(2), OPEN))?;
        noted("in the interrupt after its grant", 10, Rights::CLOSED)?;
        is_one_fault(&faults, device(2), PLACE, true, only(device(1), OPEN))
    })
}

/// A fault in a non-maskable interrupt stops the machine, whatever a handler or the policy would say.
fn fault_in_nmi_is_final() -> Verdict {
    in_grant(device(0), true, || {
        watch(|| in_nmi(stray));
        Err("the store came back".to_owned())
    })
}
