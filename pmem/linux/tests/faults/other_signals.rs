//! Signals that concern no device go to whoever had them before.

use std::arch::asm;
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::ptr;

use crate::child::run;

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

/// What a case has before its device.
pub fn prepare(case: &str) {
    let handler = match case {
        "own-handler" => own_handler as *const () as usize,
        "ignored" => libc::SIG_IGN,
        "default" => libc::SIG_DFL,
        _ => return,
    };
    // SAFETY: the handler only ends the process; the others are the system's.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut()), 0);
    }
}

/// The case with this name, with a device open.
pub fn case(case: &str) {
    match case {
        "nowhere" | "own-handler" | "default" => load_from_nowhere(),
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

#[test]
fn a_signal_that_somebody_sends_ends_the_process() {
    run("sent").assert_ended_by(libc::SIGSEGV);
    run("sent-trap").assert_ended_by(libc::SIGTRAP);
}

#[test]
fn a_signal_that_was_ignored_still_is() {
    run("ignored").assert_survived();
}
