//! Reports on the console: of a stray access, and of why the machine stops, before it does with a distinct status.
//!
//! Needs nothing that may be broken: no heap, no locks but the console's (which it breaks if it must), no scheduler.

#[cfg(feature = "unwind")]
use alloc::string::String;
use core::fmt;
#[cfg(feature = "unwind")]
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering;

use libos_contract::exit::{BOOT_REFUSED, FATAL_EXCEPTION, PANIC};
use libos_contract::report::{
    ABORTED, BACKTRACE, Code, Context, FATAL, FAULT, Frame, LAST_GRANTS, LAST_GRANTS_OF_HANDLERS, RIGHTS,
};

use crate::addr::VirtAddr;
use crate::arch::PageFault;
use crate::arch::trap::TrapFrame;
use crate::arch::{backtrace, interrupted, percpu};
use crate::keys::Rights;
use crate::sync::{IrqLock, Once, class};
use crate::{console, halt, kprintln, task};

/// Stops everything else and makes the console usable.
fn begin() {
    halt::claim();
    // What another CPU is about to say, such as where it has panicked, is worth its end.
    console::keep_others_out();
    halt::stop_others();
    // SAFETY: interrupts stay disabled here and the other CPUs have stopped, so whoever holds the console never
    // continues.
    unsafe { console::break_lock() };
    console::flush();
}

/// Prints who was running: thread and CPU. `traps` is how many trap handlers were at work when it happened.
fn print_context(traps: u32) {
    task::with_name(|name| {
        let context = Context { thread: task::current_id().into(), name, cpu: percpu::this().id, handlers: traps };
        kprintln!("{context}");
    });
}

/// Prints the instruction that was interrupted and what follows it.
fn print_code(frame: &TrapFrame) {
    let (code, length) = interrupted::code(frame);
    kprintln!("{}", Code(&code[..length]));
}

/// What only the room of the grants can say of them.
pub(crate) struct Grants {
    /// Writes rights, with the names of the devices that they open.
    pub(crate) rights: fn(Rights, &mut fmt::Formatter<'_>) -> fmt::Result,
    /// Writes the last grants of this CPU's trap handlers, a line for each.
    pub(crate) last_of_handlers: fn(&mut fmt::Formatter<'_>) -> fmt::Result,
    /// Writes the last grants of the running thread, a line for each.
    pub(crate) last_of_thread: fn(&mut fmt::Formatter<'_>) -> fmt::Result,
}

static GRANTS: Once<Grants> = Once::new();

/// Names who can say more of grants.
pub(crate) fn set_grants(grants: Grants) {
    GRANTS.call_once(|| grants);
}

/// What a function writes.
struct Written<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Written<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// Prints the rights of whoever was running.
fn print_rights(rights: Rights) {
    match GRANTS.get() {
        Some(grants) => kprintln!("{RIGHTS}{}", Written(|f: &mut fmt::Formatter<'_>| (grants.rights)(rights, f))),
        None => kprintln!("{RIGHTS}{rights}"),
    }
}

/// Prints the last grants of whoever was running: of this CPU's handlers, if it was one, and of the thread.
fn print_grants(traps: u32) {
    let Some(grants) = GRANTS.get() else { return };
    if traps != 0 {
        kprintln!("{LAST_GRANTS_OF_HANDLERS}{}", Written(grants.last_of_handlers));
    }
    if task::current_ref().is_some() {
        kprintln!("{LAST_GRANTS}{}", Written(grants.last_of_thread));
    }
}

/// Prints the frames from number `first` on: 0 is an interrupted instruction, the others are return addresses.
fn print_backtrace(first: usize, addresses: impl Iterator<Item = VirtAddr>) {
    kprintln!("{BACKTRACE}");
    for (depth, address) in (first..).zip(addresses) {
        kprintln!("{}", Frame { depth, address: address.as_u64() });
    }
}

fn traps() -> u32 {
    percpu::this().trap_depth.load(Ordering::Relaxed)
}

/// Stops the machine with this exit status after a report of why and where.
pub fn stop(status: u8, reason: fmt::Arguments<'_>) -> ! {
    if status == BOOT_REFUSED {
        refuse(reason);
    }
    begin();
    kprintln!("{FATAL}{reason}");
    print_context(traps());
    print_backtrace(1, backtrace::from_frame_pointer(backtrace::frame_pointer()));
    halt::exit(status)
}

/// Stops the machine because the boot cannot go on; the person who booted it can do something about the reason.
pub(crate) fn refuse(reason: fmt::Arguments<'_>) -> ! {
    begin();
    kprintln!("holdfast: cannot boot: {reason}");
    halt::exit(BOOT_REFUSED)
}

/// Stops the machine because of an exception, with a report whose first line is `what`.
pub(crate) fn fault(status: u8, frame: &TrapFrame, what: fmt::Arguments<'_>) -> ! {
    begin();
    print_fault(frame, what);
    halt::exit(status)
}

/// Stops the machine because of a page fault that is nobody's to handle. Of an overflow of a thread's stack it says
/// what to do about it.
pub(crate) fn page_fault(frame: &TrapFrame, fault: PageFault) -> ! {
    begin();
    let (access, address) = (fault.access(), fault.address);
    if let Some(overflow) = task::current_ref().and_then(|thread| thread.overflow(address)) {
        let (size, below) = (overflow.size, overflow.below);
        print_fault(
            frame,
            format_args!("stack overflow: {access} of {address:#018x}, {below} below the thread's stack of {size}"),
        );
        kprintln!("  what to do: {}", overflow.advice());
    } else {
        let reason = if fault.is_violation() { "not permitted there" } else { "nothing is mapped there" };
        print_fault(frame, format_args!("#PF page fault: {access} of {address:#018x}, {reason}"));
    }
    halt::exit(FATAL_EXCEPTION)
}

/// Stops the machine because it has failed, as `what` says.
pub(crate) fn failure(frame: &TrapFrame, what: fmt::Arguments<'_>) -> ! {
    fault(FATAL_EXCEPTION, frame, what)
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
    print_rights(frame.rights());
    kprintln!("{frame}");
    print_code(frame);
    print_grants(traps);
    print_backtrace(0, backtrace::from_trap(frame));
}

/// The end of every exception that nothing handles.
pub(crate) fn exception(frame: &TrapFrame) -> ! {
    fault(FATAL_EXCEPTION, frame, format_args!("{}", frame.exception()))
}

/// The end of a program that gave up: `std` has printed why.
pub(crate) fn abort() -> ! {
    begin();
    kprintln!("{ABORTED}");
    print_context(traps());
    print_backtrace(1, backtrace::from_frame_pointer(backtrace::frame_pointer()));
    halt::exit(PANIC)
}

/// Whether panics show where they were; [`show_backtraces`].
#[cfg(feature = "unwind")]
static SHOWS_BACKTRACES: AtomicBool = AtomicBool::new(false);

/// Has panics show where they were, if the program's environment asks for it as `std` has it.
#[cfg(feature = "unwind")]
pub(crate) fn show_backtraces(environment: &[String]) {
    let wanted = environment.iter().rfind(|variable| variable.starts_with("RUST_BACKTRACE="));
    SHOWS_BACKTRACES.store(wanted.is_some_and(|variable| !variable.ends_with("=0")), Ordering::Relaxed);
}

/// Where the running thread panics, for who asked by `RUST_BACKTRACE`: `libos-unwind` calls this, since `std` prints no
/// backtrace on this target and nothing is left of the stack where a panic is caught.
#[cfg(feature = "unwind")]
#[unsafe(no_mangle)]
extern "C" fn libos_panicking() {
    if SHOWS_BACKTRACES.load(Ordering::Relaxed) {
        print_backtrace(1, backtrace::from_frame_pointer(backtrace::frame_pointer()));
    }
}
