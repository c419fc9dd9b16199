//! Signals that concern no device go to whoever had them before.

use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cases::OFFSET;
use crate::child::{Outcome, lacks_keys, run};

/// Loads from where nothing is.
fn load_from_nowhere() {
    // SAFETY: none; it ends the process, or a handler does.
    unsafe { asm!("mov {}, qword ptr [{}]", out(reg) _, in(reg) 8usize, options(nostack)) };
}

fn overflow(depth: u64) -> u64 {
    let room = black_box([depth; 512]);
    if depth == u64::MAX { 0 } else { overflow(depth + 1) + room[7] }
}

extern "C" fn own_handler(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel has put it on the stack; and the process ends at once.
    unsafe {
        if (*info).si_addr() as usize == 8 {
            libc::_exit(42);
        }
        libc::_exit(43);
    }
}

/// Says that it was asked, without what a handler may not do.
fn say(who: &str) {
    // SAFETY: the bytes are there.
    unsafe { libc::write(libc::STDOUT_FILENO, who.as_ptr().cast(), who.len()) };
}

/// One from before the first device, of the old kind: it is told the signal's number and no more.
extern "C" fn first_handler(_: c_int) {
    say("\ncase: the first handler\n");
    // SAFETY: it may be called in a handler.
    unsafe { libc::_exit(42) }
}

/// Who had SIGSEGV before [`last_handler`].
static BEFORE_LAST: AtomicUsize = AtomicUsize::new(0);

/// One from after the first device. It passes everything on, as one does to which nothing belongs.
extern "C" fn last_handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    say("\ncase: the last handler\n");
    // SAFETY: whoever had the signal before is there, and takes a signal's three arguments: it is pmem's.
    let before = unsafe { mem::transmute::<usize, Handler>(BEFORE_LAST.load(Ordering::Relaxed)) };
    before(signal, info, context);
}

/// Has this done when SIGSEGV comes, and returns what was done.
fn handle(handler: usize, flags: c_int) -> usize {
    // SAFETY: the handlers of this file do what one may; the others are the system's.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        let mut before = action;
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, &mut before), 0);
        before.sa_sigaction
    }
}

/// What a case has before its device.
pub fn prepare(case: &str) {
    match case {
        "own-handler" => handle(own_handler as *const () as usize, libc::SA_SIGINFO),
        "stacked" | "stacked-store" => handle(first_handler as *const () as usize, 0),
        "ignored" => handle(libc::SIG_IGN, libc::SA_SIGINFO),
        "default" => handle(libc::SIG_DFL, libc::SA_SIGINFO),
        _ => return,
    };
}

/// Puts a handler on top of those that there are.
pub fn stack() {
    let before = handle(last_handler as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
    BEFORE_LAST.store(before, Ordering::Relaxed);
}

/// The case with this name, with a device open.
pub fn case(case: &str) {
    match case {
        "nowhere" | "own-handler" | "default" => load_from_nowhere(),
        "stacked" => {
            stack();
            load_from_nowhere();
        }
        "overflow" => println!("{}", overflow(0)),
        "sent" | "ignored" => {
            // SAFETY: a signal to this thread.
            unsafe { libc::raise(libc::SIGSEGV) };
        }
        "sent-trap" => {
            pmem_linux::fault::set_fault_policy(libos_contract::policy::FaultPolicy::Relaxed).unwrap();
            // SAFETY: a signal to this thread.
            unsafe { libc::raise(libc::SIGTRAP) };
        }
        other => panic!("no case {other}"),
    }
}

#[test]
fn an_access_that_leads_nowhere_is_no_fault_of_a_device() {
    for case in ["nowhere", "default"] {
        let outcome = run(case);
        outcome.assert_ended_by(libc::SIGSEGV);
        assert!(!outcome.text.contains("holdfast: FAULT"), "{}", outcome.text);
    }
}

#[test]
fn std_still_reports_that_a_stack_overflows() {
    let outcome = run("overflow");
    outcome.assert_ended_by(libc::SIGABRT);
    assert!(outcome.text.contains("has overflowed its stack"), "{}", outcome.text);
}

#[test]
fn a_handler_from_before_gets_its_faults() {
    let outcome = run("own-handler");
    assert_eq!(outcome.status.code(), Some(42), "{}", outcome.text);
}

/// Who was asked, in the order of it.
fn asked(outcome: &Outcome) -> Vec<&str> {
    outcome.text.lines().filter_map(|line| line.strip_prefix("case: the ")).collect()
}

#[test]
fn of_handlers_on_top_of_each_other_each_is_asked_once_and_the_newest_first() {
    let outcome = run("stacked");
    assert_eq!(outcome.status.code(), Some(42), "{}", outcome.text);
    assert_eq!(asked(&outcome), ["last handler", "first handler"]);
    assert!(!outcome.text.contains("holdfast: FAULT"), "{}", outcome.text);
}

/// A later handler that passes on does not hide a device's faults, nor does a handler from before get to see them; and
/// a second device, opened meanwhile, does not put pmem's handler on top once more.
#[test]
fn a_device_has_its_faults_whoever_is_before_and_behind_it() {
    if lacks_keys() {
        return;
    }
    let outcome = run("stacked-store");
    outcome.assert_ended_by(libc::SIGSEGV);
    outcome.assert_unchanged();
    assert_eq!(asked(&outcome), ["last handler"], "{}", outcome.text);
    let headline = format!("holdfast: FAULT stray write of {} at offset {OFFSET:#x} ", outcome.file.display());
    assert_eq!(outcome.text.matches(&headline).count(), 1, "{}", outcome.text);
    let control = run("stacked-store-unprotected");
    control.assert_survived();
    assert_eq!(control.bytes[OFFSET..OFFSET + 4], 7u32.to_le_bytes());
}

#[test]
fn a_signal_that_somebody_sends_ends_the_process() {
    run("sent").assert_ended_by(libc::SIGSEGV);
    run("sent-trap").assert_ended_by(libc::SIGTRAP);
}

#[test]
fn a_signal_that_was_ignored_still_is() {
    run("ignored").assert_survived();
}
