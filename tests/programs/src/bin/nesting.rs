//! Traps inside traps, and who has which rights meanwhile: `nesting checks` prints `ok NAME` for each check, a failed
//! one panics; `nesting nmi-strays` goes astray in the handler of a non-maskable interrupt that came during a page
//! fault; `nesting wait` stays in a write grant for whatever comes.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("nesting runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    use libos::arch::{interrupts, key_rights, percpu, trap};
    use libos::dax::{
        Access, Device, Fault, FaultAction, FaultPolicy, Load, Rights, Store, devices, fault_count, set_fault_policy,
    };
    use libos::task::Timer;
    use libos::time::now;

    const OFFSET: u64 = 0x4000;

    pub(crate) fn main() {
        match std::env::args().nth(1).as_deref() {
            Some("checks") => checks(),
            Some("nmi-strays") => {
                first().set_fault_handler(Some(interrupted_by_nmi));
                trap::set_nmi_handler(Some(|| poke(second(), 3)));
                poke(first(), 1);
            }
            Some("wait") => first()
                .read_lock()
                .unwrap()
                .write(|_| {
                    // No other thread gets this CPU; what comes now comes here.
                    interrupts::disable();
                    libos::kprintln!("nesting: waiting in a write grant");
                    while trap::unexpected_nmis() == 0 {
                        std::hint::spin_loop();
                    }
                    libos::kprintln!("nesting: an unexpected interrupt came and went");
                    loop {
                        std::hint::spin_loop();
                    }
                })
                .unwrap(),
            _ => panic!("no such way"),
        }
    }

    fn checks() {
        check("a-fault-inside-a-fault-handler", fault_in_fault);
        check("an-nmi-inside-a-fault-handler", nmi_in_fault);
        check("an-nmi-inside-an-interrupt-inside-a-grant", nmi_in_interrupt);
        check("nmis-during-grants", nmis_during_grants);
        check("a-fault-inside-a-grant-inside-an-interrupt-inside-a-grant", fault_in_interrupt);
        check("nmis-while-accesses-are-let-through", nmis_during_steps);
        check("preemption-while-accesses-are-let-through", preemption_during_steps);
        println!("nesting: all ok");
    }

    fn check(name: &str, body: impl FnOnce()) {
        body();
        for device in devices() {
            device.set_fault_handler(None);
        }
        trap::set_nmi_handler(None);
        assert_eq!(failure(), 0, "{name}: a handler has seen rights that it should not have");
        expect_closed(name);
        println!("ok {name}");
    }

    fn first() -> &'static Device {
        &devices()[0]
    }

    fn second() -> &'static Device {
        &devices()[1]
    }

    /// Takes this thread's rights away, inside a grant of its own.
    fn close() {
        // SAFETY: it opens nothing.
        unsafe { key_rights::force(|_| Rights::CLOSED) };
    }

    fn expect_closed(what: &str) {
        assert_eq!(key_rights::current(), Rights::CLOSED, "{what} leaves a key open");
        assert_eq!(key_rights::remembered(), Some(Rights::CLOSED), "{what} leaves a wrong memory of the register");
    }

    fn access(device: &Device) -> Access {
        key_rights::current().access(device.key().expect("the test runs under protection"))
    }

    fn open(device: &Device, rights: Rights) -> Rights {
        // The bits of one key: both clear.
        Rights::from_bits(rights.bits() & !(0b11 << (device.key().expect("the test runs under protection") * 2)))
    }

    fn at(device: &Device) -> *mut u64 {
        (device.address_range().start + OFFSET).as_mut_ptr()
    }

    /// A store that nobody granted.
    #[inline(never)]
    fn poke(device: &Device, value: u64) {
        // SAFETY: none. This is the mistake that the protection is there for; it touches no memory of Rust's.
        unsafe { at(device).write_volatile(value) };
    }

    fn stored(device: &Device) -> u64 {
        let mut bytes = [0; 8];
        device.read_lock().unwrap().read(|grant| grant.load(OFFSET, &mut bytes).unwrap());
        u64::from_le_bytes(bytes)
    }

    /// What a handler found wrong: a line number, 0 if nothing.
    static FAILURE: AtomicU32 = AtomicU32::new(0);

    fn failure() -> u32 {
        FAILURE.swap(0, Ordering::SeqCst)
    }

    /// For handlers, which must not panic.
    #[track_caller]
    fn expect(condition: bool) {
        if !condition {
            FAILURE.store(std::panic::Location::caller().line(), Ordering::SeqCst);
        }
    }

    /// Opens the device for whoever touched it, after the same for the other device, by going astray itself.
    fn fault_in_fault() {
        fn outer(fault: &mut Fault<'_>) -> FaultAction {
            expect(key_rights::current() == Rights::CLOSED);
            poke(second(), 2);
            // What the inner one opened was for this handler alone.
            expect(access(second()) == Access::Write && access(first()) == Access::Closed);
            expect(fault.rights() == Rights::CLOSED && fault.is_write() && fault.offset() == OFFSET);
            fault.set_rights(open(fault.device(), fault.rights()));
            FaultAction::Retry
        }
        fn inner(fault: &mut Fault<'_>) -> FaultAction {
            expect(key_rights::current() == Rights::CLOSED);
            fault.set_rights(open(fault.device(), fault.rights()));
            FaultAction::Retry
        }
        first().set_fault_handler(Some(outer));
        second().set_fault_handler(Some(inner));
        let before = fault_count();
        first().read_lock().unwrap().read(|_| {
            // The grant's end takes back what the handler gave.
            close();
            poke(first(), 1);
            assert_eq!((access(first()), access(second())), (Access::Write, Access::Closed));
        });
        assert_eq!((stored(first()), stored(second()), fault_count() - before), (1, 2, 2));
    }

    static NMIS: AtomicU64 = AtomicU64::new(0);

    /// A handler that uses pmem as it should.
    fn granted_nmi() {
        expect(key_rights::current() == Rights::CLOSED);
        if let Ok(lock) = second().read_lock() {
            lock.write(|grant| {
                expect(access(second()) == Access::Write && access(first()) == Access::Closed);
                expect(grant.store(OFFSET, &NMIS.load(Ordering::SeqCst).to_le_bytes()).is_ok());
            })
            .unwrap();
        }
        expect(key_rights::current() == Rights::CLOSED);
        NMIS.fetch_add(1, Ordering::SeqCst);
    }

    /// Interrupts its own CPU, and waits until that has happened.
    fn nmi_here() {
        let before = NMIS.load(Ordering::SeqCst);
        interrupts::send_nmi(percpu::current_id());
        while NMIS.load(Ordering::SeqCst) == before {
            std::hint::spin_loop();
        }
    }

    fn interrupted_by_nmi(fault: &mut Fault<'_>) -> FaultAction {
        nmi_here();
        expect(key_rights::current() == Rights::CLOSED);
        fault.set_rights(open(fault.device(), fault.rights()));
        FaultAction::Retry
    }

    fn nmi_in_fault() {
        first().set_fault_handler(Some(interrupted_by_nmi));
        trap::set_nmi_handler(Some(granted_nmi));
        first().read_lock().unwrap().read(|_| {
            for round in 10..20 {
                close();
                poke(first(), round);
            }
        });
        assert_eq!(stored(first()), 19);
    }

    fn wait_for_tick(handler: fn(usize)) {
        TICKED.store(false, Ordering::SeqCst);
        let timer = Timer::new(handler, 0);
        timer.arm(now() + Duration::from_millis(1));
        while !TICKED.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
    }

    static TICKED: AtomicBool = AtomicBool::new(false);

    fn nmi_in_interrupt() {
        fn tick(_: usize) {
            expect(key_rights::current() == Rights::CLOSED);
            if let Ok(lock) = first().read_lock() {
                lock.read(|_| {
                    nmi_here();
                    expect(access(first()) == Access::Read && access(second()) == Access::Closed);
                });
            }
            expect(key_rights::current() == Rights::CLOSED);
            TICKED.store(true, Ordering::SeqCst);
        }
        trap::set_nmi_handler(Some(granted_nmi));
        first()
            .read_lock()
            .unwrap()
            .write(|_| {
                for _ in 0..10 {
                    wait_for_tick(tick);
                    assert_eq!((access(first()), access(second())), (Access::Write, Access::Closed));
                }
            })
            .unwrap();
    }

    /// Calls `work` while another CPU, if there is one, sends this one non-maskable interrupts.
    fn under_nmis(work: impl FnOnce()) {
        if percpu::online_count() == 1 {
            return work();
        }
        trap::set_nmi_handler(Some(granted_nmi));
        let done = AtomicBool::new(false);
        let before = NMIS.load(Ordering::SeqCst);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let seen = NMIS.load(Ordering::SeqCst);
                    for cpu in 0..percpu::online_count() as u32 {
                        if cpu != percpu::current_id() {
                            interrupts::send_nmi(cpu);
                        }
                    }
                    while NMIS.load(Ordering::SeqCst) == seen && !done.load(Ordering::SeqCst) {
                        std::hint::spin_loop();
                    }
                }
            });
            work();
            done.store(true, Ordering::SeqCst);
        });
        assert_ne!(NMIS.load(Ordering::SeqCst), before, "no interrupt came");
        // Those that are still on their way find a handler; nobody counts them any more.
        thread::sleep(Duration::from_millis(20));
    }

    fn nmis_during_grants() {
        under_nmis(|| {
            let lock = first().read_lock().unwrap();
            for round in 0..3000u64 {
                lock.write(|grant| {
                    assert_eq!((access(first()), access(second())), (Access::Write, Access::Closed));
                    grant.store(OFFSET, &round.to_le_bytes()).unwrap();
                })
                .unwrap();
                expect_closed("a grant under interrupts");
            }
        });
        assert_eq!(stored(first()), 2999);
    }

    fn fault_in_interrupt() {
        fn tick(_: usize) {
            if let Ok(lock) = second().read_lock() {
                lock.write(|grant| {
                    poke(first(), 77);
                    expect(access(second()) == Access::Write && access(first()) == Access::Closed);
                    expect(grant.store(OFFSET, &78u64.to_le_bytes()).is_ok());
                })
                .unwrap();
            }
            expect(key_rights::current() == Rights::CLOSED);
            TICKED.store(true, Ordering::SeqCst);
        }
        set_fault_policy(FaultPolicy::Relaxed);
        first().read_lock().unwrap().read(|_| {
            for _ in 0..5 {
                wait_for_tick(tick);
                assert_eq!((access(first()), access(second())), (Access::Read, Access::Closed));
            }
        });
        set_fault_policy(FaultPolicy::Strict);
        assert_eq!((stored(first()), stored(second())), (77, 78));
    }

    /// Each stray store opens and closes: exactly one fault for each, nothing open afterwards, whatever comes in
    /// between.
    fn strays(rounds: u64) {
        for round in 0..rounds {
            poke(first(), round);
            expect_closed("an access that was let through");
        }
    }

    fn nmis_during_steps() {
        set_fault_policy(FaultPolicy::Relaxed);
        let before = fault_count();
        under_nmis(|| strays(500));
        set_fault_policy(FaultPolicy::Strict);
        assert_eq!(fault_count() - before, 500);
    }

    /// More threads than CPUs, so that they are preempted and move between the fault and the exception after the
    /// instruction.
    fn preemption_during_steps() {
        set_fault_policy(FaultPolicy::Relaxed);
        let before = fault_count();
        let threads: Vec<_> = (0..6).map(|_| thread::spawn(|| strays(500))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        set_fault_policy(FaultPolicy::Strict);
        assert_eq!(fault_count() - before, 3000);
    }
}
