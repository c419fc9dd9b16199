use std::string::String;
use std::{format, panic, thread};

use super::context::{IN_TRAP, INTERRUPTS};
use super::might_sleep;
use crate::sync::{IrqLock, class};

static SPACE: IrqLock<(), class::Space> = IrqLock::new(());
static HEAP: IrqLock<(), class::Heap> = IrqLock::new(());
static WAITERS: [IrqLock<(), class::Waiters>; 2] = [const { IrqLock::new(()) }; 2];
static RUN_QUEUE: IrqLock<(), class::RunQueue> = IrqLock::new(());

/// What a thread of its own says when it fails; each thread is a CPU to the checks.
fn failure(body: fn()) -> String {
    let outcome = thread::spawn(body).join();
    *outcome.expect_err("nothing was noticed").downcast::<String>().expect("a message")
}

#[test]
fn locks_may_be_taken_in_order_and_released_in_any() {
    let (space, heap) = (SPACE.lock(), HEAP.lock());
    drop(space);
    let waiters = WAITERS[0].lock();
    drop(heap);
    drop((RUN_QUEUE.lock(), waiters));
    drop(SPACE.lock());
    might_sleep();
}

#[test]
fn an_inversion_is_found_with_both_places() {
    let message = failure(|| {
        let _heap = HEAP.lock();
        let _space = SPACE.lock();
    });
    assert!(message.starts_with("lock order: Space is taken at "), "{message}");
    assert!(message.contains("by the holder of the lock Heap that was taken at "), "{message}");
    assert_eq!(message.matches(file!()).count(), 2, "{message}");
}

#[test]
fn an_inversion_is_found_across_others_in_between() {
    let message = failure(|| {
        let (_waiters, _run_queue) = (WAITERS[0].lock(), RUN_QUEUE.lock());
        let _heap = HEAP.lock();
    });
    assert!(message.contains("Heap is taken"), "{message}");
}

#[test]
fn a_second_lock_of_the_same_class_is_an_inversion() {
    assert!(failure(|| drop((WAITERS[0].lock(), WAITERS[1].lock()))).contains("Waiters is taken"));
}

#[test]
fn a_lock_that_was_released_forbids_nothing() {
    drop(RUN_QUEUE.lock());
    drop(HEAP.lock());
    assert!(RUN_QUEUE.try_lock().is_some());
    drop(SPACE.lock());
}

#[test]
fn sleeping_is_refused_where_it_must_not_happen() {
    let message = failure(|| {
        let _heap = HEAP.lock();
        might_sleep();
    });
    assert!(message.contains("by the holder of the lock Heap that was taken at"), "{message}");
    assert_eq!(message.matches(file!()).count(), 2, "{message}");
    let message = failure(|| {
        IN_TRAP.set(true);
        might_sleep();
    });
    assert!(message.ends_with("in a trap handler"), "{message}");
    let message = failure(|| {
        INTERRUPTS.set(false);
        might_sleep();
    });
    assert!(message.ends_with("with interrupts disabled"), "{message}");
}

#[test]
fn a_trap_handler_may_wake_but_not_allocate() {
    let message = failure(|| {
        IN_TRAP.set(true);
        drop(WAITERS[0].lock());
        drop(HEAP.lock());
    });
    assert!(message.starts_with(&format!("a trap handler takes the lock Heap at {}", file!())), "{message}");
    assert!(panic::catch_unwind(might_sleep).is_ok(), "this thread is no trap handler");
}
