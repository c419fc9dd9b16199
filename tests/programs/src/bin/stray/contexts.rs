//! The contexts: who goes astray, and what is granted to whom at that time. Each is a function of its own, so that a
//! backtrace names it, and calls [`act`] once. What `black_box` stands for keeps the compiler from leaving a function
//! by jumping into the last one that it calls, and from making one of two that are alike.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use libos::arch::{interrupts, percpu, trap};
use libos::dax::{Device, Medium, devices};
use libos::task::{self, ThreadId, Timer, current_id, current_name};
use libos::time::now;

use crate::shapes::{OFFSET, act};

const CONTEXTS: [(&str, fn()); 12] = [
    ("no-grant", no_grant),
    ("read-grant", read_grant),
    ("other-device", other_device),
    ("other-thread", other_thread),
    ("after-revoke", after_revoke),
    ("interrupt", interrupt),
    ("nmi", nmi),
    ("timer", timer),
    ("new-thread", new_thread),
    ("migrated", migrated),
    ("small-page", small_page),
    ("huge-page", huge_page),
];

/// Enters the context with this name and acts in it.
pub(crate) fn enter(name: &str) {
    let context = CONTEXTS.iter().find(|context| context.0 == name).expect("a context");
    context.1();
    black_box(());
}

fn first() -> &'static Device {
    devices().first().expect("the test gives this program an NVDIMM")
}

fn second() -> &'static Device {
    devices().get(1).expect("the test gives this program two NVDIMMs")
}

/// By a thread to which nothing is granted.
#[inline(never)]
fn no_grant() {
    act();
    black_box(());
}

/// By a thread that may read the device.
#[inline(never)]
fn read_grant() {
    first().read_lock().unwrap().read(|_| act());
}

/// By a thread that may write to another device.
#[inline(never)]
fn other_device() {
    second().read_lock().unwrap().write(|_| act()).unwrap();
}

/// By one thread while another one may write.
#[inline(never)]
fn other_thread() {
    let (granted, wait_granted) = mpsc::channel();
    let (done, wait_done) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        first()
            .read_lock()
            .unwrap()
            .write(|_| {
                granted.send(()).unwrap();
                wait_done.recv().unwrap();
            })
            .unwrap();
    });
    wait_granted.recv().unwrap();
    act();
    done.send(()).unwrap();
    holder.join().unwrap();
}

/// By a thread whose permission to write has ended.
#[inline(never)]
fn after_revoke() {
    first().read_lock().unwrap().write(|_| {}).unwrap();
    act();
    black_box(());
}

/// Whether a handler has acted.
static ACTED: AtomicBool = AtomicBool::new(false);
/// How often handlers have run.
static HANDLED: AtomicU32 = AtomicU32::new(0);

/// What a handler does: acts once, when it has interrupted the granted thread. Another thread may be running when the
/// time has come; the next interrupt will do.
fn handle() {
    if current_name() == "main" && !ACTED.load(Ordering::SeqCst) {
        act();
        ACTED.store(true, Ordering::SeqCst);
    }
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// Raises interrupts of this thread, which may write, until the handler has acted.
fn raise_while_granted(raise: impl Fn()) {
    first()
        .read_lock()
        .unwrap()
        .write(|_| {
            while !ACTED.load(Ordering::SeqCst) {
                let before = HANDLED.load(Ordering::SeqCst);
                raise();
                while HANDLED.load(Ordering::SeqCst) == before {
                    std::hint::spin_loop();
                }
            }
        })
        .unwrap();
}

/// By a device's interrupt handler that interrupts a thread that may write.
#[inline(never)]
fn interrupt() {
    fn on_interrupt(_: usize) {
        handle();
        black_box("interrupt");
    }
    stay_on(cpu());
    serial::prepare(on_interrupt);
    raise_while_granted(serial::raise);
}

/// By the handler of a non-maskable interrupt of a thread that may write.
#[inline(never)]
fn nmi() {
    fn on_nmi() {
        handle();
        black_box("nmi");
    }
    trap::set_nmi_handler(Some(on_nmi));
    raise_while_granted(|| assert!(interrupts::send_nmi(cpu())));
}

/// By a timer's function that interrupts a thread that may write.
#[inline(never)]
fn timer() {
    fn on_timer(_: usize) {
        handle();
        black_box("timer");
    }
    let timer = Timer::new(on_timer, 0);
    raise_while_granted(|| timer.arm(now() + Duration::from_millis(1)));
}

/// By a thread that was started by one that may write.
#[inline(never)]
fn new_thread() {
    fn started() {
        act();
        black_box(());
    }
    first().read_lock().unwrap().write(|_| thread::spawn(started).join().unwrap()).unwrap();
}

fn cpu() -> u32 {
    percpu::this().id
}

/// Takes the running thread to this CPU and keeps it there.
fn stay_on(cpu: u32) {
    let own = ThreadId::new(current_id()).expect("this is a thread");
    assert!(task::pin(own, Some(cpu)), "there is no cpu {cpu}");
}

/// By a thread that may read and has moved to another CPU, on which a thread that may write has just run.
#[inline(never)]
fn migrated() {
    /// How often the thread that may write has given way.
    static TURNS: AtomicU32 = AtomicU32::new(0);
    static DONE: AtomicBool = AtomicBool::new(false);
    stay_on(cpu());
    let from = cpu();
    let to = (from + 1) % percpu::online_count() as u32;
    assert_ne!(from, to, "the test gives this context two CPUs");
    let writer = thread::spawn(move || {
        stay_on(to);
        first()
            .read_lock()
            .unwrap()
            .write(|_| {
                while !DONE.load(Ordering::SeqCst) {
                    TURNS.fetch_add(1, Ordering::SeqCst);
                    thread::yield_now();
                }
            })
            .unwrap();
    });
    first().read_lock().unwrap().read(|_| {
        stay_on(to);
        println!("stray: moved from cpu {from}");
        // Both are on the same CPU now, and nobody else is: the writer gives way to this thread.
        let turns = TURNS.load(Ordering::SeqCst);
        while TURNS.load(Ordering::SeqCst) == turns {
            thread::yield_now();
        }
        act();
    });
    DONE.store(true, Ordering::SeqCst);
    writer.join().unwrap();
}

fn expect_page_size(size: u64) {
    assert_eq!(first().leaf(OFFSET as u64).map(|leaf| leaf.size), Some(size));
}

/// By a thread to which nothing is granted, to a page of 4 KiB.
#[inline(never)]
fn small_page() {
    let page = (OFFSET - OFFSET % 4096) as u64;
    // A change of part of a large page splits it, and nothing puts it together again.
    first().set_writable(page..page + 4096, false).unwrap();
    first().set_writable(page..page + 4096, true).unwrap();
    expect_page_size(4096);
    act();
    black_box(());
}

/// By a thread to which nothing is granted, to a page of 1 GiB.
#[inline(never)]
fn huge_page() {
    expect_page_size(1 << 30);
    act();
    black_box(());
}

/// The serial port as a source of interrupts: it raises one when it has nothing to send and is asked to say so.
pub(crate) mod serial {
    use libos::arch::{port, vectors};

    /// COM1's interrupt enable register.
    pub(crate) const INTERRUPT_ENABLE: u16 = 0x3f9;
    /// An interrupt is wanted when the transmitter is empty.
    pub(crate) const TRANSMITTER_EMPTY: u8 = 0b10;
    /// Its line at the interrupt controller.
    const LINE: u32 = 4;

    /// Lets `handler` run for the port's interrupts, on the CPU that runs this.
    pub(crate) fn prepare(handler: fn(usize)) {
        fn silence_then(handler: usize) {
            // SAFETY: the console's driver polls the port; without interrupts it is as it was.
            unsafe { port::outb(INTERRUPT_ENABLE, 0) };
            // SAFETY: the argument is the `fn(usize)` that was cast below.
            let handler: fn(usize) = unsafe { std::mem::transmute(handler) };
            handler(0);
        }
        let vector = vectors::allocate_vector(silence_then, handler as usize).expect("a free vector");
        assert!(vectors::route_gsi(LINE, vector, false, false), "no interrupt controller has line {LINE}");
    }

    /// Raises the interrupt.
    pub(crate) fn raise() {
        // SAFETY: `prepare` was called, so the interrupt has a handler.
        unsafe { port::outb(INTERRUPT_ENABLE, TRANSMITTER_EMPTY) };
    }
}
