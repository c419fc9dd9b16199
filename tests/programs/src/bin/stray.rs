//! Stray accesses to persistent memory, each by its own way: `stray WAY`. Under protection each ends in a fault report and
//! changes nothing; without it each changes the image. The bytes that it stores are `MARK`, at `OFFSET` of the device.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("stray runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use libos::arch::key_rights;
    use libos::dax::{Device, devices, fault_count};
    use libos::task::{Timer, current_name};
    use libos::time::now_ns;

    /// What a stray store writes.
    const MARK: u64 = 0x5741_5254_5359_4152;
    /// Where in the device it writes: in the middle of a page far from both ends.
    const OFFSET: usize = 0x12_3450;

    pub(crate) fn main() {
        let way = std::env::args().nth(1).unwrap_or_default();
        let Some(device) = devices().first() else { panic!("the test gives this program an NVDIMM") };
        println!("stray: {way}");
        match way.as_str() {
            "program" => store(target(device)),
            "read" => println!("stray: read {:#x}", load(target(device))),
            "after-grant" => after_grant(device),
            "read-grant" => device.read_lock().unwrap().read(|_| store(target(device))),
            "other-thread" => other_thread(device),
            "new-thread" => new_thread(device),
            "interrupt" => interrupt(device),
            "overrun" => overrun(),
            "wild-pointer" => wild_pointer(),
            "again" => again(device),
            _ => panic!("no such way"),
        }
        println!("stray: survived");
        println!("stray: {} stray accesses, rights {}", fault_count(), key_rights::current());
    }

    /// At one place in the code, three times, the second time by another thread.
    fn again(device: &'static Device) {
        store(target(device));
        thread::spawn(|| store(target(device))).join().unwrap();
        store(target(device));
    }

    fn target(device: &Device) -> *mut u64 {
        (device.address_range().start as usize + OFFSET) as *mut u64
    }

    #[inline(never)]
    fn store(at: *mut u64) {
        // SAFETY: none. This is the mistake that the protection is there for; it touches no memory of Rust's.
        unsafe { at.write_volatile(MARK) };
    }

    fn load(at: *mut u64) -> u64 {
        // SAFETY: none, as in `store`.
        unsafe { at.read_volatile() }
    }

    /// Through a pointer that was good until its grant ended.
    fn after_grant(device: &Device) {
        let kept = device.read_lock().unwrap().write(|_| target(device));
        store(kept);
    }

    /// By one thread while another one holds a write grant.
    fn other_thread(device: &'static Device) {
        let (granted, wait_granted) = mpsc::channel();
        let (done, wait_done) = mpsc::channel::<()>();
        let holder = thread::spawn(move || {
            device.read_lock().unwrap().write(|_| {
                granted.send(()).unwrap();
                wait_done.recv().unwrap();
            });
        });
        wait_granted.recv().unwrap();
        store(target(device));
        done.send(()).unwrap();
        holder.join().unwrap();
    }

    /// By a thread that was started inside a write grant, which it must not inherit.
    fn new_thread(device: &'static Device) {
        device.read_lock().unwrap().write(|_| thread::spawn(|| store(target(device))).join().unwrap());
    }

    /// Interrupts so far, and whether one of them did it.
    static TICKS: AtomicU32 = AtomicU32::new(0);
    static DONE: AtomicBool = AtomicBool::new(false);

    /// By an interrupt handler that interrupts a thread with a write grant.
    fn interrupt(device: &'static Device) {
        fn tick(at: usize) {
            // Another thread may be running when the time has come; the next interrupt will do.
            if current_name() == "main" {
                store(at as *mut u64);
                DONE.store(true, Ordering::SeqCst);
            }
            TICKS.fetch_add(1, Ordering::SeqCst);
        }
        let timer = Timer::new(tick, target(device).addr());
        device.read_lock().unwrap().write(|_| {
            while !DONE.load(Ordering::SeqCst) {
                let before = TICKS.load(Ordering::SeqCst);
                timer.arm(now_ns() + 1_000_000);
                while TICKS.load(Ordering::SeqCst) == before {
                    std::hint::spin_loop();
                }
            }
        });
    }

    /// By a copy into one device, for which there is a write grant, that runs past its end into the next device.
    fn overrun() {
        let [first, second, ..] = devices() else { panic!("the test gives this program two NVDIMMs") };
        assert_eq!(first.address_range().end, second.address_range().start, "the devices are neighbours");
        let source = [MARK; 1024];
        first.read_lock().unwrap().write(|_| {
            let to = (first.address_range().end as usize - size_of_val(&source) / 2) as *mut u64;
            // SAFETY: none for the second half, as in `store`; the first half is inside the grant.
            unsafe { ptr::copy(source.as_ptr(), to, source.len()) };
        });
    }

    /// Through a pointer into the heap with two bits flipped.
    fn wild_pointer() {
        let heap = Box::leak(Box::new(0u64));
        let flipped = ptr::from_mut(heap).map_addr(|address| address ^ 1 << 44 ^ 1 << 32);
        println!("stray: {heap:p} became {flipped:p}");
        store(flipped);
    }
}
