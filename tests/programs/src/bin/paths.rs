//! How many instructions the library's hot paths take: `paths` prints `path NAME: COUNT` for each. The counts are right
//! on a machine of one CPU whose time counter counts instructions, as `cargo xtask bench paths` starts it.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("paths runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use std::arch::asm;
    use std::hint::black_box;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use libos::arch::counter;
    use libos::dax::devices;
    use libos::task::yield_now;
    use libos_contract::vectors::SPURIOUS;

    /// How often each is taken. The least count is that of a time when no interrupt came.
    const ROUNDS: u32 = 200;

    pub(crate) fn main() {
        let device = &devices()[0];
        let section = || device.read_lock().expect("the device stays");
        let held = section();
        let nothing = least(|| {});
        let print = |name: &str, count: u64| println!("path {name}: {}", count - nothing);

        print("section", least(|| drop(black_box(section()))));
        print("grant", least(|| held.read(|grant| _ = black_box(grant))));
        print("section and grant", least(|| section().read(|grant| _ = black_box(grant))));
        print("trap", least(trap));
        print("trap in a grant", held.read(|_| least(trap)));
        print("two switches", two_switches());
    }

    /// The least number of instructions that `path` takes.
    fn least(path: impl Fn()) -> u64 {
        let once = |_| {
            let before = counter::read();
            path();
            counter::read() - before
        };
        (0..ROUNDS).map(once).min().expect("there are rounds")
    }

    /// Takes a trap that nobody handles.
    fn trap() {
        // SAFETY: the handler of a spurious interrupt does nothing, and leaves all registers as they were.
        unsafe { asm!("int {vector}", vector = const SPURIOUS) };
    }

    /// To another thread that is always ready, and back.
    fn two_switches() -> u64 {
        let done = Arc::new(AtomicBool::new(false));
        let other = thread::spawn({
            let done = done.clone();
            move || {
                while !done.load(Ordering::Relaxed) {
                    yield_now();
                }
            }
        });
        let count = least(yield_now);
        done.store(true, Ordering::Relaxed);
        other.join().expect("it does not panic");
        count
    }
}
