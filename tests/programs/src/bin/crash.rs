//! Ends in the ways in which a program can end: `crash WAY`.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("crash runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use libos as _;
    use std::{process, ptr, thread};

    pub(crate) fn main() {
        let way = std::env::args().nth(1).unwrap_or_default();
        println!("crash: {way}");
        match way.as_str() {
            "return" => {}
            "say" => say(),
            "hang" => loop {
                thread::park();
            },
            "spin" => loop {
                std::hint::spin_loop();
            },
            "exit" => process::exit(7),
            "exit-in-thread" => drop(thread::spawn(|| process::exit(9)).join()),
            "nmi" => stray_nmis(),
            "stuck" => stuck(),
            "await-button" => await_button(),
            "usual-hook-in-grant" => usual_hook(),
            "own-hook-in-grant" => own_hook(),
            "panic" => panic!("as told"),
            "panic-in-thread" => drop(thread::spawn(|| panic!("as told, in a thread")).join()),
            "abort" => process::abort(),
            "null" => {
                // SAFETY: none: the test wants the fault.
                unsafe { ptr::null_mut::<u8>().with_addr(8).write_volatile(1) }
            }
            "code" => {
                // SAFETY: none: the test wants the fault of a store to read-only code.
                unsafe { (main as fn() as usize as *mut u8).write_volatile(1) }
            }
            "execute" => {
                let instructions = Box::new([0xc3u8; 16]);
                // SAFETY: none: the test wants the fault of executing data.
                unsafe { std::mem::transmute::<*const u8, extern "C" fn()>(instructions.as_ptr())() }
            }
            "interrupt-table" => {
                // SAFETY: none, as above. The instruction stores where the table is.
                unsafe {
                    let mut pointer = [0u8; 10];
                    std::arch::asm!("sidt [{}]", in(reg) pointer.as_mut_ptr(), options(nostack, preserves_flags));
                    let table = u64::from_le_bytes(pointer[2..].try_into().unwrap()) as *mut u64;
                    table.add(28).write_volatile(table.add(28).read_volatile());
                }
            }
            "overflow" => println!("{}", overflow(0)),
            "panic-in-named-thread" => drop(named(named_panic).join()),
            "chatter" => chatter(),
            "panics-at-once" => panics_at_once(),
            "overflow-in-named-thread" => drop(named(|| println!("{}", overflow(0))).join()),
            "huge-frame" => println!("{}", huge_frame(3)),
            "huge-frame-in-named-thread" => drop(named(|| println!("{}", huge_frame(3))).join()),
            "recurse-in-thread" => {
                thread::spawn(|| std::hint::black_box(recurse(40_000))).join().unwrap();
                println!("recursed");
            }
            "overflow-in-library" => {
                libos::task::spawn_kernel("recursive", || println!("{}", overflow(0)));
                thread::park();
            }
            "overflow-in-allocator" => overflow_in_allocator(),
            "overflow-in-thread" => drop(thread::spawn(|| println!("{}", overflow(0))).join()),
            _ => panic!("no such way"),
        }
    }

    /// Prints what it was started with.
    /// Runs `work` while persistent memory is open for writing.
    fn in_grant(work: impl FnOnce()) {
        let [device, ..] = libos::dax::devices() else { panic!("the test gives this program an NVDIMM") };
        device.read_lock().unwrap().write(|_| work()).unwrap();
    }

    /// A hook that calls the one that was there, and then goes astray.
    fn usual_hook() {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            usual(panic);
            println!("{Stray}");
        }));
        in_grant(|| panic!("as told"));
    }

    /// A hook that replaces the one that was there, and ends the grants itself.
    fn own_hook() {
        std::panic::set_hook(Box::new(|_| {
            libos::dax::end_grants();
            println!("{Stray}");
        }));
        in_grant(|| panic!("as told"));
    }

    /// What stores to persistent memory when it is printed.
    struct Stray;

    impl std::fmt::Display for Stray {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let [device, ..] = libos::dax::devices() else { return Err(std::fmt::Error) };
            let at = (device.address_range().start + 0x1230).as_mut_ptr::<u64>();
            // SAFETY: none. This is the mistake that the protection is there for; it touches no memory of Rust's.
            unsafe { at.write_volatile(0x5741_5254_5359_4152) };
            f.write_str("it got through")
        }
    }

    /// All that it waits for comes from outside.
    fn await_button() {
        println!("waiting for the button");
        libos::power::wait_for_shutdown();
        println!("pressed");
    }

    /// A thread waits for another one, that one for a lock that nobody gives back, and a third for a connection.
    fn stuck() {
        thread::spawn(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.accept().map(drop).unwrap();
        });
        let waits = thread::spawn(|| {
            loop {
                // Not yet for ever: nothing is to be said of this.
                thread::park_timeout(std::time::Duration::from_millis(50));
                thread::park();
            }
        });
        waits.join().unwrap();
    }

    /// Sends every CPU non-maskable interrupts that nobody has a handler for.
    fn stray_nmis() {
        let count = || libos::accounts::Accounts::now().unexpected_nmis;
        let cpus = libos::arch::percpu::online_count() as u64;
        assert_eq!(count(), 0);
        for round in 1..=3 {
            (0..cpus as u32).for_each(|cpu| assert!(libos::arch::interrupts::send_nmi(cpu)));
            while count() < round * cpus {
                thread::yield_now();
            }
        }
        println!("crash: {} NMIs, and on we go", count());
    }

    fn say() {
        println!("arguments: {:?}", std::env::args().collect::<Vec<_>>());
        for (name, value) in std::env::vars() {
            println!("environment: {name}={value:?}");
        }
    }

    /// Needs more stack than there is.
    #[inline(never)]
    #[allow(unconditional_recursion, reason = "the test wants the overflow")]
    fn overflow(depth: u64) -> u64 {
        let frame = [depth; 64];
        overflow(depth + 1) + std::hint::black_box(frame).iter().sum::<u64>()
    }

    /// The stack of [`overflow_in_allocator`]'s thread.
    const TIGHT_STACK: usize = 64 << 10;

    /// The stack of a thread that `std` knows nothing of overflows in the allocator, which is locked meanwhile.
    fn overflow_in_allocator() {
        extern "C" fn body(_: usize) {
            let here = 0u8;
            // Stacks end at multiples of more than their size, and this is near the end.
            let bottom = (&raw const here).addr() & !(TIGHT_STACK - 1);
            let middle = bottom + TIGHT_STACK / 2;
            // SAFETY: the lower half of the stack is unused. That what follows has too little stack is the test.
            unsafe {
                let unused =
                    std::slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut::<u8>(bottom), TIGHT_STACK / 2);
                unused.fill(0xa5);
                allocate_at(middle);
                let untouched = std::hint::black_box(unused).iter().take_while(|&&byte| byte == 0xa5).count();
                println!("allocation needs {} bytes of stack", TIGHT_STACK / 2 - untouched);
                // Below a multiple of 16, since that is what stack pointers are before a call.
                allocate_at(middle - (untouched & !15) - 16);
            }
        }
        // SAFETY: the function takes any argument.
        let id = unsafe { hermit_abi::spawn2(body, 0, 2, TIGHT_STACK, -1) };
        // SAFETY: the thread may have ended or not.
        unsafe { hermit_abi::join(id) };
    }

    /// Allocates and frees with this stack pointer. Interrupts, which would use this stack too, stay out.
    ///
    /// # Safety
    /// Below the address there is unused stack.
    unsafe fn allocate_at(stack: usize) {
        let allocated: *mut u8;
        // SAFETY: calls by the C ABI, with an aligned stack, `extern "C" fn(usize, usize) -> *mut u8`.
        unsafe {
            std::arch::asm!(
                "pushfq",
                "cli",
                "mov r12, rsp",
                "mov rsp, r13",
                "call r14",
                "mov rsp, r12",
                "popfq",
                in("r13") stack,
                in("r14") hermit_abi::malloc as *const (),
                inlateout("rdi") 64usize => _,
                inlateout("rsi") 8usize => _,
                lateout("rax") allocated,
                out("r12") _,
                clobber_abi("C"),
            );
            hermit_abi::free(allocated, 64, 8);
        }
    }

    /// Starts a thread with a name, in which a quote would spoil the report, and a small stack.
    fn named(work: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
        thread::Builder::new().name("worker \"7\"".to_owned()).stack_size(200 << 10).spawn(work).unwrap()
    }

    #[inline(never)]
    fn named_panic() {
        panic!("as told, by name");
    }

    /// Needs about 100 bytes for each level.
    #[inline(never)]
    fn recurse(depth: u64) -> u64 {
        if depth == 0 { 0 } else { recurse(depth - 1) + std::hint::black_box([depth; 8])[0] }
    }

    /// Needs more stack for one function than there is, by far.
    #[inline(never)]
    fn huge_frame(value: u8) -> u64 {
        let frame = [value; 16 << 20];
        std::hint::black_box(&frame).iter().map(|&byte| u64::from(byte)).sum()
    }

    /// Several threads write lines at the same time, in pieces and whole, to both descriptors; so does the library.
    /// Each word says who wrote it.
    fn chatter() {
        use std::io::Write;
        const DOT: &str = ".";
        let barrier = std::sync::Arc::new(std::sync::Barrier::new(4));
        let write: [fn(u32); 4] = [
            |number| eprintln!("a{number} a{number}{} a{number}", DOT),
            |number| println!("b{number} b{number}{} b{number}", DOT),
            |number| {
                let mut out = std::io::stdout().lock();
                for piece in [format!("c{number} "), format!("c{number}. "), format!("c{number}\n")] {
                    out.write_all(piece.as_bytes()).and_then(|()| out.flush()).unwrap();
                }
            },
            |number| libos::kprintln!("d{number} d{number}{} d{number}", DOT),
        ];
        let threads = write.map(|write| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                barrier.wait();
                (0..300).for_each(write);
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        print!("the end comes without a line feed");
        std::io::stdout().flush().unwrap();
    }

    /// Several threads panic at the same moment.
    fn panics_at_once() {
        let barrier = std::sync::Arc::new(std::sync::Barrier::new(4));
        for number in 0..4 {
            let barrier = barrier.clone();
            let work = move || {
                barrier.wait();
                panic!("thread {number} as told");
            };
            thread::Builder::new().name(format!("worker-{number}")).spawn(work).unwrap();
        }
        thread::sleep(std::time::Duration::from_secs(60));
    }
}
