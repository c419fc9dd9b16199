//! Devices that go away and come back: `lifecycle checks` prints `ok NAME` for each check, a failed one panics. The
//! other ways show what becomes of a pointer that is older than that: `lifecycle gone`, `lifecycle back`; and of the
//! sixteenth device: `lifecycle keys`.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("lifecycle runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use libos::arch::key_rights;
    use libos::dax::{
        AttachError, Device, Fault, FaultAction, FaultPolicy, Gone, Load, RetireError, Rights, Store, audit, devices,
        set_fault_policy,
    };
    use libos::task::ended_count;
    use libos::time::{Instant, now};

    const OFFSET: u64 = 0x4000;

    pub(crate) fn main() {
        match std::env::args().nth(1).as_deref() {
            Some("checks") => checks(),
            Some("gone") => {
                first().retire(later()).unwrap();
                poke(first(), 1);
            }
            Some("back") => {
                swap_keys();
                poke(first(), 1);
            }
            Some("keys") => keys(),
            _ => panic!("no such way"),
        }
        println!("lifecycle: all ok");
    }

    fn checks() {
        check("a-retired-device-refuses", refuses);
        check("it-comes-back-under-another-key", comes_back);
        check("a-section-is-waited-for", section_is_waited_for);
        check("the-last-section-ends-the-wait", last_section_ends_wait);
        check("a-deadline-can-be-called-off", called_off);
        check("a-key-in-use-by-a-sleeping-thread-is-not-freed", sleeping_grant);
        check("what-a-fault-handler-opened-is-waited-for", lent_rights);
        check("a-fault-handler-opens-no-key-that-nobody-has", no_owner);
        check("sections-of-an-ended-thread-are-left", ended_thread);
        check("keys-change-hands-while-others-work", change_hands);
    }

    fn check(name: &str, body: impl FnOnce()) {
        let keys = [first().key(), second().key()];
        body();
        for device in [first(), second()] {
            device.attach().unwrap();
            device.set_fault_handler(None);
        }
        set_fault_policy(FaultPolicy::Strict);
        assert_eq!(key_rights::current(), Rights::CLOSED, "{name} leaves a key open");
        audit().unwrap();
        assert!(!is_protected() || first().key() != second().key(), "{name}: two devices have one key");
        println!("ok {name} (keys {:?} became {:?})", keys, [first().key(), second().key()]);
    }

    fn first() -> &'static Device {
        &devices()[0]
    }

    fn second() -> &'static Device {
        &devices()[1]
    }

    fn soon() -> Instant {
        now() + Duration::from_millis(10)
    }

    fn later() -> Instant {
        now() + Duration::from_secs(60)
    }

    fn is_protected() -> bool {
        first().key().is_some()
    }

    /// A store that nobody granted.
    #[inline(never)]
    fn poke(device: &Device, value: u64) {
        let at = (device.address_range().start + OFFSET).as_mut_ptr::<u64>();
        // SAFETY: none. This is the mistake that the protection is there for; it touches no memory of Rust's.
        unsafe { at.write_volatile(value) };
    }

    fn store(device: &Device, value: u64) {
        device.read_lock().unwrap().write(|grant| grant.store(OFFSET, &value.to_le_bytes())).unwrap().unwrap();
    }

    fn stored(device: &Device) -> u64 {
        let mut bytes = [0; 8];
        device.read_lock().unwrap().read(|grant| grant.load(OFFSET, &mut bytes)).unwrap();
        u64::from_le_bytes(bytes)
    }

    fn refuses() {
        let before = audit().unwrap();
        first().retire(later()).unwrap();
        assert_eq!(first().read_lock().err(), Some(Gone));
        assert_eq!(first().key(), None);
        assert!(audit().unwrap().pmem_leaves < before.pmem_leaves, "it is still mapped");
        // Once more changes nothing, and the other device is as it was.
        first().retire(later()).unwrap();
        store(second(), 5);
        first().attach().unwrap();
        assert_eq!(audit().unwrap(), before);
    }

    /// Retires both devices and brings them back in the other order, so that each gets the other's key.
    fn swap_keys() {
        let before = [first().key(), second().key()];
        first().retire(later()).unwrap();
        second().retire(later()).unwrap();
        second().attach().unwrap();
        first().attach().unwrap();
        let swapped = [second().key(), first().key()];
        // Without protection there are none to swap. Otherwise the lowest free key is given out first.
        if before[0] < before[1] {
            assert_eq!(swapped, before);
        }
    }

    fn comes_back() {
        store(first(), 11);
        store(second(), 12);
        swap_keys();
        assert_eq!((stored(first()), stored(second())), (11, 12));
        store(first(), 13);
        assert_eq!((stored(first()), stored(second())), (13, 12));
        swap_keys();
    }

    fn section_is_waited_for() {
        let section = first().read_lock().unwrap();
        let key = first().key();
        assert_eq!(first().retire(soon()), Err(RetireError::SectionsHeld(1)));
        // Nobody enters any more; who is inside may still take grants.
        assert_eq!(first().read_lock().err(), Some(Gone));
        assert_eq!(first().key(), key);
        section.write(|grant| grant.store(OFFSET, &21u64.to_le_bytes())).unwrap().unwrap();
        drop(section);
        first().retire(later()).unwrap();
        first().attach().unwrap();
        assert_eq!(stored(first()), 21);
    }

    fn last_section_ends_wait() {
        let (holds, held) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let holders: Vec<_> = (0..3)
            .map(|_| {
                let holds = holds.clone();
                thread::spawn(move || {
                    let section = first().read_lock().unwrap();
                    holds.send(()).unwrap();
                    // Held until the device is being retired, which shows by its refusal.
                    while first().read_lock().is_ok() {
                        thread::yield_now();
                    }
                    section.write(|grant| grant.store(OFFSET, &22u64.to_le_bytes())).unwrap().unwrap();
                })
            })
            .collect();
        (0..3).for_each(|_| held.recv().unwrap());
        let retiring = thread::spawn(move || {
            first().retire(later()).unwrap();
            end.send(()).unwrap();
        });
        ended.recv().unwrap();
        retiring.join().unwrap();
        holders.into_iter().for_each(|holder| holder.join().unwrap());
    }

    fn called_off() {
        let section = first().read_lock().unwrap();
        assert!(first().retire(soon()).is_err());
        first().attach().unwrap();
        first().read_lock().unwrap().write(|grant| grant.store(OFFSET, &[1])).unwrap().unwrap();
        drop(section);
    }

    /// Rights that are saved with a thread that sleeps in its grant.
    fn sleeping_grant() {
        let (open, opened) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let sleeper = thread::spawn(move || {
            first()
                .read_lock()
                .unwrap()
                .write(|grant| {
                    open.send(()).unwrap();
                    ended.recv().unwrap();
                    grant.store(OFFSET, &31u64.to_le_bytes()).unwrap();
                })
                .unwrap();
        });
        opened.recv().unwrap();
        let key = first().key();
        assert_eq!(first().retire(soon()), Err(RetireError::SectionsHeld(1)));
        second().retire(later()).unwrap();
        second().attach().unwrap();
        assert!(key.is_none() || second().key() != key, "the sleeping thread would have rights to the second device");
        end.send(()).unwrap();
        sleeper.join().unwrap();
        first().retire(later()).unwrap();
        first().attach().unwrap();
        assert_eq!(stored(first()), 31);
    }

    /// Opens the device for whoever touched it.
    fn opening(fault: &mut Fault<'_>) -> FaultAction {
        let Some(key) = fault.device().key() else { return FaultAction::Policy };
        fault.set_rights(Rights::from_bits(fault.rights().bits() & !(0b11 << (key * 2))));
        FaultAction::Retry
    }

    fn lent_rights() {
        if !is_protected() {
            return;
        }
        first().set_fault_handler(Some(opening));
        let (open, opened) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let borrower = thread::spawn(move || {
            poke(first(), 41);
            open.send(()).unwrap();
            ended.recv().unwrap();
        });
        opened.recv().unwrap();
        assert_eq!(first().retire(soon()), Err(RetireError::SectionsHeld(1)));
        end.send(()).unwrap();
        borrower.join().unwrap();
        first().retire(later()).unwrap();
        first().attach().unwrap();
        // What was opened inside of a grant ends with the grant.
        thread::spawn(|| {
            first().read_lock().unwrap().read(|_| poke(first(), 42));
            assert_eq!(key_rights::current(), Rights::CLOSED);
            first().retire(later()).unwrap();
        })
        .join()
        .unwrap();
        first().attach().unwrap();
        assert_eq!(stored(first()), 42);
    }

    fn no_owner() {
        fn all(fault: &mut Fault<'_>) -> FaultAction {
            fault.set_rights(Rights::from_bits(0));
            FaultAction::Retry
        }
        if !is_protected() {
            return;
        }
        second().retire(later()).unwrap();
        first().set_fault_handler(Some(all));
        thread::spawn(|| {
            poke(first(), 43);
            let open = (1..16).filter(|&key| key_rights::current().access(key) != libos::dax::Access::Closed);
            assert_eq!(open.collect::<Vec<_>>(), [first().key().unwrap()]);
        })
        .join()
        .unwrap();
    }

    fn ended_thread() {
        if !is_protected() {
            return;
        }
        set_fault_policy(FaultPolicy::EndThread);
        let before = ended_count();
        let retiring = AtomicBool::new(false);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                while !retiring.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                first().retire(later())
            });
            thread::spawn(astray_in_sections);
            // Both of the thread's sections are held before the wait for them begins.
            while !HELD.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            retiring.store(true, Ordering::SeqCst);
            waiting.join().unwrap().unwrap();
        });
        assert_eq!(ended_count() - before, 1);
    }

    static HELD: AtomicBool = AtomicBool::new(false);

    fn astray_in_sections() {
        let outer = first().read_lock().unwrap();
        let inner = first().read_lock().unwrap();
        HELD.store(true, Ordering::SeqCst);
        while first().read_lock().is_ok() {
            thread::yield_now();
        }
        outer.read(|_| inner.read(|_| poke(first(), 51)));
    }

    /// The second device goes away and comes back all the time, while threads use the first one, and go astray in it
    /// with a policy that lets them. Nothing of that reaches the second one.
    fn change_hands() {
        set_fault_policy(FaultPolicy::Relaxed);
        store(second(), 61);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut round = 0;
                while !done.load(Ordering::SeqCst) {
                    poke(first(), round);
                    assert_eq!(key_rights::current(), Rights::CLOSED);
                    store(first(), round);
                    round += 1;
                }
            });
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    if let Ok(lock) = second().read_lock() {
                        let mut bytes = [0; 8];
                        lock.read(|grant| grant.load(OFFSET, &mut bytes)).unwrap();
                        assert_eq!(u64::from_le_bytes(bytes), 61);
                    }
                    thread::yield_now();
                }
            });
            for _ in 0..100 {
                second().retire(later()).unwrap();
                assert!(second().read_lock().is_err());
                second().attach().unwrap();
            }
            thread::sleep(Duration::from_millis(1));
            done.store(true, Ordering::SeqCst);
        });
        assert_eq!(stored(second()), 61);
    }

    /// With one device more than there are keys.
    fn keys() {
        let last = devices().last().unwrap();
        assert_eq!(devices().len(), 16);
        assert_eq!(last.read_lock().err(), Some(Gone));
        let error = last.attach().unwrap_err();
        println!("lifecycle: {error}");
        assert!(matches!(error, AttachError::NoKeyLeft(_)));
        let key = first().key();
        first().retire(later()).unwrap();
        last.attach().unwrap();
        assert_eq!(last.key(), key);
        store(last, 71);
        assert!(matches!(first().attach(), Err(AttachError::NoKeyLeft(_))));
        last.retire(later()).unwrap();
        first().attach().unwrap();
        assert_eq!(stored(first()), 0);
    }
}
