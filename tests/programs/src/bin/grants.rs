//! What a grant gives, to whom and for how long. Each check prints `ok NAME`; a failed one panics.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("grants runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::sync::{Arc, Barrier};
    use std::thread;
    use std::time::Duration;

    use libos::arch::key_rights;
    use libos::dax::{Access, Device, Load, Medium, OutOfRange, Rights, Store, WriteGrant, audit, devices};
    use libos::task::Timer;
    use libos::time::now;

    pub(crate) fn main() {
        if std::env::args().nth(1).as_deref() == Some("keeps-stores") {
            return tell_whether_stores_are_kept(&devices()[0]);
        }
        let [first, second, ..] = devices() else { panic!("the test gives this program two NVDIMMs") };
        check("boot-is-closed", || assert_eq!(key_rights::current(), Rights::CLOSED));
        check("audit", || {
            let seen = audit().unwrap();
            println!("grants: {} leaves, {} of pmem", seen.leaves, seen.pmem_leaves);
        });
        check("each-device-has-its-key", || assert_ne!(first.key(), second.key()));
        check("grants-open-one-device", || opens_one(first, second));
        check("grants-nest", || nest(first, second));
        check("an-early-return-closes", || early_return(first));
        check("copies-and-bounds", || copies(first));
        check("a-grant-survives-sleep", || survives_sleep(first));
        check("a-grant-survives-preemption", || survives_preemption(first));
        check("a-new-thread-starts-closed", || new_thread_closed(first));
        check("an-interrupt-runs-closed", || interrupt_closed(first));
        check("an-interrupt-may-grant-for-itself", || interrupt_grants(first, second));
        println!("grants: all ok");
    }

    fn check(name: &str, body: impl FnOnce()) {
        body();
        assert_eq!(key_rights::current(), Rights::CLOSED, "{name} leaves a key open");
        println!("ok {name}");
    }

    fn access(device: &Device) -> Access {
        key_rights::current().access(device.key().expect("the test runs under protection"))
    }

    /// A store as the program's own code would make it, past the grant's methods.
    fn poke(device: &Device, value: u64) {
        let at = (device.address_range().start + 4096).as_mut_ptr::<u64>();
        // SAFETY: the caller is in a write grant; nobody has a reference into the device.
        unsafe { at.write_volatile(value) };
    }

    fn opens_one(first: &Device, second: &Device) {
        let (first_lock, second_lock) = (first.read_lock().unwrap(), second.read_lock().unwrap());
        assert_eq!((access(first), access(second)), (Access::Closed, Access::Closed));
        first_lock.read(|_| assert_eq!((access(first), access(second)), (Access::Read, Access::Closed)));
        second_lock.write(|_| assert_eq!((access(first), access(second)), (Access::Closed, Access::Write))).unwrap();
    }

    fn nest(first: &Device, second: &Device) {
        let (first_lock, second_lock) = (first.read_lock().unwrap(), second.read_lock().unwrap());
        first_lock
            .write(|_| {
                first_lock.read(|_| {
                    assert_eq!(access(first), Access::Read);
                    second_lock
                        .write(|_| {
                            first_lock
                                .write(|_| assert_eq!((access(first), access(second)), (Access::Write, Access::Write)))
                                .unwrap();
                            assert_eq!((access(first), access(second)), (Access::Read, Access::Write));
                        })
                        .unwrap();
                    assert_eq!((access(first), access(second)), (Access::Read, Access::Closed));
                });
                assert_eq!(access(first), Access::Write);
            })
            .unwrap();
    }

    fn early_return(device: &Device) {
        let found = device
            .read_lock()
            .unwrap()
            .write(|grant| {
                grant.store(u64::MAX, &[1])?;
                grant.store(0, &[1])
            })
            .unwrap();
        assert!(found.is_err());
    }

    fn copies(device: &Device) {
        let lock = device.read_lock().unwrap();
        for length in [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 1000, 4096, 70_001] {
            let data: Vec<u8> = (0..length).map(|i: u32| (i * 7 + length) as u8).collect();
            for offset in [8192, 8193, 8207] {
                let back = lock
                    .write(|grant| {
                        grant.fill(8000, u64::from(length) + 512, 0xa5).unwrap();
                        grant.store(offset, &data).unwrap();
                        grant.write_back(offset..offset + u64::from(length)).unwrap();
                        grant.fence();
                        let mut back = vec![0; data.len() + 2];
                        grant.load(offset - 1, &mut back).unwrap();
                        back
                    })
                    .unwrap();
                assert_eq!((back[0], back[back.len() - 1]), (0xa5, 0xa5));
                assert_eq!(back[1..back.len() - 1], data);
            }
        }
        let end = device.len();
        lock.read(|grant| {
            grant.load(end - 4, &mut [0; 4]).unwrap();
            assert!(grant.load(end - 4, &mut [0; 5]).is_err());
            assert!(grant.load(u64::MAX, &mut [0; 2]).is_err());
        });
        lock.write(|grant| assert!(grant.write_back(end..end + 1).is_err())).unwrap();
    }

    /// Says what each use of the device comes to, for the test to judge.
    fn tell_whether_stores_are_kept(device: &Device) {
        let mut word = [0; 8];
        println!("read {:?}", device.read(|grant| grant.load(4096, &mut word)));
        println!("word {:#x}", u64::from_le_bytes(word));
        let store = |grant: &WriteGrant<'_>| {
            grant.store(4096, &0x55u64.to_le_bytes())?;
            grant.write_back(4096..4104)?;
            grant.fence();
            Ok::<(), OutOfRange>(())
        };
        println!("write {:?}", device.write(store));
        println!("write in a section {:?}", device.read_lock().unwrap().write(store));
        println!("write-protect {:?}", device.set_writable(8192..12288, false));
        println!("make writable {:?}", device.set_writable(8192..12288, true));
        println!("leaf is writable {}", device.leaf(4096).unwrap().flags.is_writable());
        let counters = device.counters();
        println!("grants {} {}", counters.read_grants, counters.write_grants);
    }

    fn survives_sleep(device: &'static Device) {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let other = thread::spawn(move || {
            while !seen.load(Ordering::SeqCst) {
                assert_eq!(key_rights::current(), Rights::CLOSED, "a grant leaks to another thread");
                thread::yield_now();
            }
        });
        device
            .read_lock()
            .unwrap()
            .write(|_| {
                for round in 0..20 {
                    thread::sleep(Duration::from_millis(1));
                    assert_eq!(access(device), Access::Write);
                    poke(device, round);
                }
            })
            .unwrap();
        stop.store(true, Ordering::SeqCst);
        other.join().unwrap();
    }

    /// How far each of the spinning threads is; `u32::MAX` when it is done.
    static PROGRESS: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

    /// Threads with different rights, none of which ever gives up the CPU by itself, so that only the end of its time
    /// slice takes it away. Vector registers are checked along the way.
    fn survives_preemption(device: &'static Device) {
        let barrier = Arc::new(Barrier::new(3));
        let expected = [Access::Closed, Access::Read, Access::Write];
        let start = |(number, expected)| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                let lock = device.read_lock().unwrap();
                barrier.wait();
                match expected {
                    Access::Closed => spin(device, number, expected),
                    Access::Read => lock.read(|_| spin(device, number, expected)),
                    Access::Write => lock.write(|_| spin(device, number, expected)).unwrap(),
                }
            })
        };
        let threads: Vec<_> = expected.into_iter().enumerate().map(start).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// Runs until it has seen each of the others move on ten times, which on one CPU takes as many preemptions.
    fn spin(device: &Device, number: usize, expected: Access) {
        let mut float = [number as f64 + 0.5; 8];
        let (mut seen, mut last) = ([0; 3], [0; 3]);
        let mut own = 0;
        while (0..3).any(|other| other != number && seen[other] < 10) {
            for value in &mut float {
                *value = std::hint::black_box(*value) * 1.0;
            }
            assert_eq!(access(device), expected);
            if expected == Access::Write {
                poke(device, number as u64);
            }
            own += 1;
            PROGRESS[number].store(own, Ordering::Relaxed);
            for other in 0..3 {
                let now = PROGRESS[other].load(Ordering::Relaxed);
                if now == u32::MAX {
                    seen[other] = 10;
                } else if now != last[other] {
                    last[other] = now;
                    seen[other] += 1;
                }
            }
        }
        PROGRESS[number].store(u32::MAX, Ordering::Relaxed);
        assert!(float.iter().all(|&value| value == number as f64 + 0.5), "vector registers are lost: {float:?}");
    }

    fn new_thread_closed(device: &'static Device) {
        device
            .read_lock()
            .unwrap()
            .write(|_| {
                thread::spawn(|| assert_eq!(key_rights::current(), Rights::CLOSED)).join().unwrap();
                assert_eq!(access(device), Access::Write);
            })
            .unwrap();
    }

    /// What the last interrupt saw: its rights, and a mark that it came.
    static SEEN: AtomicU32 = AtomicU32::new(0);

    fn wait_for_tick(handler: fn(usize)) {
        SEEN.store(0, Ordering::SeqCst);
        let timer = Timer::new(handler, 0);
        timer.arm(now() + Duration::from_millis(1));
        while SEEN.load(Ordering::SeqCst) == 0 {
            std::hint::spin_loop();
        }
    }

    fn interrupt_closed(device: &Device) {
        fn tick(_: usize) {
            SEEN.store(key_rights::current().bits(), Ordering::SeqCst);
        }
        device
            .read_lock()
            .unwrap()
            .write(|_| {
                for round in 0..10 {
                    wait_for_tick(tick);
                    assert_eq!(SEEN.load(Ordering::SeqCst), Rights::CLOSED.bits());
                    assert_eq!(access(device), Access::Write, "the interrupted thread has its grant back");
                    poke(device, round);
                }
            })
            .unwrap();
    }

    fn interrupt_grants(first: &Device, second: &Device) {
        fn tick(_: usize) {
            let second = &devices()[1];
            let inside = second.read_lock().map(|lock| lock.read(|_| key_rights::current().bits()));
            SEEN.store(inside.unwrap_or(1), Ordering::SeqCst);
        }
        first
            .read_lock()
            .unwrap()
            .write(|_| {
                wait_for_tick(tick);
                let inside = Rights::from_bits(SEEN.load(Ordering::SeqCst));
                assert_eq!(inside.access(second.key().unwrap()), Access::Read);
                assert_eq!(
                    inside.access(first.key().unwrap()),
                    Access::Closed,
                    "the interrupted grant is not the handler's"
                );
                assert_eq!((access(first), access(second)), (Access::Write, Access::Closed));
            })
            .unwrap();
    }
}
