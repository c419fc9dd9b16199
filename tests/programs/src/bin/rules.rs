//! Breaks a rule of the library's, each way by its name: a checked build stops the machine.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("rules runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use std::hint::{black_box, spin_loop};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use libos::arch::interrupts;
    use libos::sync::{IrqLock, class, might_sleep};
    use libos::task::{Timer, sleep_until};
    use libos::time::{Instant, now};

    static SPACE: IrqLock<(), class::Space> = IrqLock::new(());
    static FRAMES: IrqLock<(), class::Frames> = IrqLock::new(());

    pub(crate) fn main() {
        match std::env::args().nth(1).as_deref() {
            Some("inversion") => {
                let _frames = FRAMES.lock();
                drop(SPACE.lock());
            }
            Some("sleep-with-a-lock") => {
                let _frames = FRAMES.lock();
                sleep_until(Instant::BOOT);
            }
            Some("sleep-in-a-trap") => in_a_trap(|_| might_sleep()),
            Some("sleep-without-interrupts") => {
                let enabled = interrupts::disable();
                sleep_until(Instant::BOOT);
                interrupts::restore(enabled);
            }
            Some("allocate-in-a-trap") => in_a_trap(|_| drop(black_box(Box::new(1)))),
            _ => panic!("there is no such way"),
        }
        println!("rules: nothing was noticed");
    }

    static DONE: AtomicBool = AtomicBool::new(false);

    fn in_a_trap(handler: fn(usize)) {
        let done = Timer::new(|_| DONE.store(true, Ordering::SeqCst), 0);
        let timer = Timer::new(handler, 0);
        timer.arm(now());
        done.arm(now() + Duration::from_millis(1));
        while !DONE.load(Ordering::SeqCst) {
            spin_loop();
        }
    }
}
