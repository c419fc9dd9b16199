//! The end of everything: a report on the console, then a distinct exit status.
//!
//! Needs nothing that may be broken: no heap, no locks but the console's (which it breaks if it must), no scheduler.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

pub use libos_contract::exit::{BOOT_REFUSED, FATAL_EXCEPTION, PANIC, PROTECTION_FAULT};
use libos_contract::report::{ABORTED, FATAL, FAULT};

use crate::arch::trap::TrapFrame;
use crate::arch::{access, backtrace, cpu, interrupts, percpu};
use crate::drivers::power;
use crate::sync::{IrqLock, class};
use crate::{console, dax, kprintln, task, time};

/// The number of the CPU that makes a report, plus 1; 0 if none does.
static FAILING: AtomicU32 = AtomicU32::new(0);
/// How many other CPUs have stopped since.
static STOPPED: AtomicU32 = AtomicU32::new(0);

/// Whether a report has begun after which the machine stops.
pub(crate) fn is_failing() -> bool {
    FAILING.load(Ordering::Relaxed) != 0
}

/// How long the other CPUs may take to stop, in nanoseconds.
const STOP_LIMIT: u64 = 100_000_000;

/// Stops everything else and makes the console usable. A failure within the report ends at once; a second CPU that
/// fails leaves the report to the first.
fn begin() {
    interrupts::disable();
    let own = percpu::this().id + 1;
    match FAILING.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(failing) if failing == own => power::exit(i32::from(FATAL_EXCEPTION)),
        Err(_) => cpu::halt(),
    }
    // What another CPU is about to say, such as where it has panicked, is worth its end.
    console::keep_others_out();
    let others = percpu::online().filter(|cpu| cpu.id + 1 != own).count() as u32;
    interrupts::stop_others();
    let deadline = time::now_ns() + STOP_LIMIT;
    while STOPPED.load(Ordering::Acquire) < others && time::now_ns() < deadline {
        core::hint::spin_loop();
    }
    // SAFETY: interrupts stay disabled here and the other CPUs have stopped, so whoever holds the console never
    // continues.
    unsafe { console::break_lock() };
    console::flush();
}

/// On a non-maskable interrupt: whether this CPU is making a report. It stops if another one is.
pub(crate) fn is_reporting() -> bool {
    let failing = FAILING.load(Ordering::Acquire);
    if failing != 0 && failing != percpu::this().id + 1 {
        STOPPED.fetch_add(1, Ordering::Release);
        cpu::halt();
    }
    failing != 0
}

/// Prints who was running: thread and CPU. `traps` is how many trap handlers were at work when it happened.
fn print_context(traps: u32) {
    let (id, cpu) = (task::current_id(), percpu::this().id);
    // With quotes, and with escapes for what would end the line.
    task::with_name(|name| match traps {
        0 => kprintln!("  thread {id} {name:?} on cpu {cpu}"),
        1 => kprintln!("  thread {id} {name:?} on cpu {cpu}, in a handler that interrupted it"),
        _ => kprintln!("  thread {id} {name:?} on cpu {cpu}, in a handler that interrupted it, {traps} levels deep"),
    });
}

/// Prints the instruction that was interrupted and what follows it.
fn print_code(frame: &TrapFrame) {
    match access::code(frame) {
        (_, 0) => kprintln!("  code: unreadable"),
        (code, length) => kprintln!("  code:{}", Hexadecimal(&code[..length])),
    }
}

/// Bytes, each after a space.
struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
    }
}

/// Prints the last grants of whoever was running: of this CPU's handlers, if it was one, and of the thread.
fn print_grants(traps: u32) {
    if traps != 0 {
        kprintln!("  last grants of this cpu's handlers:{}", percpu::this().record);
    }
    if let Some(thread) = task::current_ref() {
        kprintln!("  last grants:{}", thread.record);
    }
}

/// Prints the frames from number `first` on: 0 is an interrupted instruction, the others are return addresses.
fn print_backtrace(first: usize, addresses: impl Iterator<Item = u64>) {
    kprintln!("  backtrace:");
    for (depth, address) in (first..).zip(addresses) {
        kprintln!("    #{depth} {address:#018x}");
    }
}

fn traps() -> u32 {
    percpu::this().trap_depth.load(Ordering::Relaxed)
}

/// Stops the machine with this exit status after a report of why and where.
pub fn stop(status: u8, reason: fmt::Arguments<'_>) -> ! {
    begin();
    kprintln!("{FATAL}{reason}");
    print_context(traps());
    print_backtrace(1, backtrace::from_frame_pointer(backtrace::frame_pointer()));
    power::exit(i32::from(status))
}

/// Stops the machine because the boot cannot go on; the person who booted it can do something about the reason.
pub(crate) fn refuse(reason: fmt::Arguments<'_>) -> ! {
    begin();
    kprintln!("holdfast: cannot boot: {reason}");
    power::exit(i32::from(BOOT_REFUSED))
}

/// Stops the machine because of an exception, with a report whose first line is `what`.
pub(crate) fn fault(status: u8, frame: &TrapFrame, what: fmt::Arguments<'_>) -> ! {
    begin();
    print_fault(frame, what);
    power::exit(i32::from(status))
}

/// Stops the machine because a thread's stack has overflowed, with a report whose first line is `what`, and which says
/// what to do about it.
pub(crate) fn overflow(frame: &TrapFrame, what: fmt::Arguments<'_>, advice: &str) -> ! {
    begin();
    print_fault(frame, what);
    kprintln!("  what to do: {advice}");
    power::exit(i32::from(FATAL_EXCEPTION))
}

/// Keeps reports of several CPUs apart.
static REPORT: IrqLock<(), class::Report> = IrqLock::new(());

/// Reports a fault after which the machine goes on. If the faulting code ran with interrupts disabled, it may have been
/// printing itself: then nothing is printed if the console stays busy.
pub(crate) fn report(frame: &TrapFrame, what: fmt::Arguments<'_>) {
    if frame.is_thread() {
        let _alone = REPORT.lock();
        print_fault(frame, what);
    } else if console::wait_until_free() {
        print_fault(frame, what);
    }
}

fn print_fault(frame: &TrapFrame, what: fmt::Arguments<'_>) {
    kprintln!("{FAULT}{what}");
    // This exception's own handler is not what did it.
    let traps = traps().saturating_sub(1);
    print_context(traps);
    kprintln!("  rights {}", dax::NamedRights(frame.rights()));
    kprintln!("{frame}");
    print_code(frame);
    print_grants(traps);
    print_backtrace(0, backtrace::from_trap(frame));
}

/// Names of the exceptions (SDM volume 3A, table 6-1).
const EXCEPTIONS: [&str; 22] = [
    "#DE divide error",
    "#DB debug exception",
    "NMI non-maskable interrupt",
    "#BP breakpoint",
    "#OF overflow",
    "#BR bound range exceeded",
    "#UD invalid opcode",
    "#NM device not available",
    "#DF double fault",
    "coprocessor segment overrun",
    "#TS invalid TSS",
    "#NP segment not present",
    "#SS stack-segment fault",
    "#GP general protection",
    "#PF page fault",
    "reserved exception 15",
    "#MF x87 floating-point error",
    "#AC alignment check",
    "#MC machine check",
    "#XM SIMD floating-point exception",
    "#VE virtualization exception",
    "#CP control protection exception",
];

/// The end of every exception that nothing handles.
pub(crate) fn exception(frame: &TrapFrame) -> ! {
    let name = EXCEPTIONS.get(frame.vector as usize).unwrap_or(&"reserved exception");
    fault(FATAL_EXCEPTION, frame, format_args!("{name} (vector {})", frame.vector))
}

/// The end of a program that gave up: `std` has printed why.
pub(crate) fn abort() -> ! {
    begin();
    kprintln!("{ABORTED}");
    print_context(traps());
    print_backtrace(1, backtrace::from_frame_pointer(backtrace::frame_pointer()));
    power::exit(i32::from(PANIC))
}

/// Where the running thread panics, for who asked by `RUST_BACKTRACE`: `libos-unwind` calls this, since `std` prints no
/// backtrace on this target and nothing is left of the stack where a panic is caught.
#[cfg(feature = "unwind")]
#[unsafe(no_mangle)]
extern "C" fn libos_panicking() {
    let environment = &crate::cmdline::options().environment;
    let wanted = |variable: &&alloc::string::String| variable.starts_with("RUST_BACKTRACE=");
    if environment.iter().rfind(wanted).is_some_and(|variable| !variable.ends_with("=0")) {
        print_backtrace(1, backtrace::from_frame_pointer(backtrace::frame_pointer()));
    }
}

/// Stops the machine: `fatal!(status, "format", arguments…)`.
macro_rules! fatal {
    ($status:expr, $($argument:tt)*) => {
        $crate::fatal::stop($status, format_args!($($argument)*))
    };
}
pub(crate) use fatal;
