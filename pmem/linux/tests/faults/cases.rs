//! What a child does.

use std::arch::asm;
use std::path::PathBuf;
use std::thread;

use libos_contract::policy::FaultPolicy;
use libos_contract::protection::{Protection, ProtectionChoice};
use libos_contract::rights::{Access, Key};
use pmem_linux::fault::{self, FaultAction};
use pmem_linux::{Device, OpenOptions};
use pmem_medium::{Load, Medium, Store};

/// Where the stray accesses go.
pub const OFFSET: usize = 0x1230;

/// Stores four bytes at an address that the compiler knows nothing of.
#[inline(never)]
pub fn stray_store(address: usize, value: u32) {
    // SAFETY: none. It is what the device is to be protected from.
    unsafe { asm!("mov dword ptr [{}], {:e}", in(reg) address, in(reg) value, options(nostack)) };
}

/// The same, as a read.
#[inline(never)]
pub fn stray_load(address: usize) -> u32 {
    let value;
    // SAFETY: as for `stray_store`.
    unsafe { asm!("mov {:e}, dword ptr [{}]", out(reg) value, in(reg) address, options(nostack)) };
    value
}

/// Stores many bytes by one instruction.
#[inline(never)]
fn stray_fill(address: usize, count: usize) {
    // SAFETY: as for `stray_store`.
    unsafe { asm!("rep stosb", inout("rdi") address => _, inout("rcx") count => _, in("al") 1u8, options(nostack)) };
}

fn open(file: PathBuf, protection: ProtectionChoice) -> (Device, usize) {
    let device = OpenOptions::new().protection(protection).open(file).unwrap();
    let at = device.in_table().addresses().start + OFFSET;
    (device, at)
}

/// Runs the case with this name.
pub fn run(case: &str, file: PathBuf) {
    let (case, protection) = match case.strip_suffix("-unprotected") {
        Some(case) => (case, ProtectionChoice::Only(Protection::None)),
        None => (case, ProtectionChoice::Auto),
    };
    crate::other_signals::prepare(case);
    let (device, at) = open(file, protection);
    match case {
        "store" => stray_store(at, 7),
        "load" => println!("case: read {:#x}", stray_load(at)),
        "fill" => stray_fill(at, 100),
        "store-in-read-grant" => device.read(|_| stray_store(at, 7)).unwrap(),
        "store-after-grant" => after_grant(&device, at),
        "store-in-thread" => {
            let thread = thread::Builder::new().name("wild one".into());
            thread.spawn(move || stray_store(at, 7)).unwrap().join().unwrap();
        }
        "foreign-thread" => foreign_thread(&device, at),
        "relaxed" => relaxed(at),
        "relaxed-shapes" => crate::shapes::make(at - OFFSET),
        "relaxed-masked" => relaxed_masked(at),
        "relaxed-stack" => relaxed_stack(at),
        "handler-opens" => handler_opens(&device, at),
        "handler-in-vain" => with_handler(&device, |_| FaultAction::Retry, || stray_store(at, 7)),
        "handler-leaves-it" => with_handler(&device, |_| FaultAction::Policy, || stray_store(at, 7)),
        "handler-strays" => handler_strays(&device, at),
        "stacked-store" => {
            crate::other_signals::stack();
            let _second = second_device(protection);
            stray_store(at, 7);
        }
        "handler-of-the-one-before" => handler_of_the_one_before(device, protection),
        "write-protected" => {
            device.set_writable(0x1000..0x2000, false).unwrap();
            device.write(|grant| grant.store(OFFSET as u64, &[7])).unwrap().unwrap();
        }
        "jump" => {
            // SAFETY: as for `stray_store`.
            device.read(|_| unsafe { asm!("call {}", in(reg) at, clobber_abi("C")) }).unwrap();
        }
        "shrunk" => shrunk(&device),
        "forked" => forked(at),
        other => crate::other_signals::case(other),
    }
}

/// Another device, which is not in the way of the first one.
fn second_device(protection: ProtectionChoice) -> Device {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 12).unwrap();
    open(file.path().to_owned(), protection).0
}

fn after_grant(device: &Device, at: usize) {
    device.write(|grant| grant.fill(0, 1, 0x5a)).unwrap().unwrap();
    stray_store(at, 7);
}

/// Whether the kernel may read there for this thread.
pub fn is_readable(at: usize) -> bool {
    let mut pipe = [0; 2];
    // SAFETY: system calls that fail where there is nothing to read.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        libc::write(pipe[1], at as *const libc::c_void, 4) == 4
    }
}

fn relaxed(at: usize) {
    fault::set_fault_policy(FaultPolicy::Relaxed).unwrap();
    for value in 1..=3 {
        stray_store(at, value);
        assert!(!is_readable(at), "it is left open");
    }
    assert_eq!(stray_load(at), 3);
    assert_eq!(fault::fault_count(), 4);
    fault::set_fault_policy(FaultPolicy::Strict).unwrap();
    assert!(fault::set_fault_policy(FaultPolicy::EndThread).unwrap_err().to_string().contains("locks"));
}

fn relaxed_masked(at: usize) {
    fault::set_fault_policy(FaultPolicy::Relaxed).unwrap();
    // SAFETY: sets of signals.
    unsafe {
        let mut trap = std::mem::zeroed();
        libc::sigemptyset(&mut trap);
        libc::sigaddset(&mut trap, libc::SIGTRAP);
        libc::pthread_sigmask(libc::SIG_BLOCK, &trap, std::ptr::null_mut());
        stray_store(at, 7);
        let mut now = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut now);
        assert_eq!(libc::sigismember(&now, libc::SIGTRAP), 1, "SIGTRAP is no longer blocked");
    }
}

/// A store with the stack pointer in the device.
fn store_from_stack(at: usize) {
    // SAFETY: as for `stray_store`; the stack pointer is back after it.
    unsafe {
        asm!(
            "mov {saved}, rsp", "mov rsp, {at}", "mov dword ptr [{at}], 7", "mov rsp, {saved}",
            saved = out(reg) _, at = in(reg) at,
        );
    }
}

fn relaxed_stack(at: usize) {
    fault::set_fault_policy(FaultPolicy::Relaxed).unwrap();
    store_from_stack(at);
}

/// A thread that `std` knows nothing of.
fn foreign_thread(device: &Device, at: usize) {
    extern "C" fn start(argument: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: `foreign_thread` has made it of these, and waits.
        let (device, at) = unsafe { &*argument.cast::<(&Device, usize)>() };
        device.read(|_| ()).unwrap();
        store_from_stack(*at);
        argument
    }
    let mut both = (device, at);
    // SAFETY: what the thread is given outlives it.
    unsafe {
        let mut thread = std::mem::zeroed();
        let argument = std::ptr::from_mut(&mut both).cast();
        assert_eq!(libc::pthread_create(&mut thread, std::ptr::null(), start, argument), 0);
        libc::pthread_join(thread, std::ptr::null_mut());
    }
}

fn with_handler(device: &Device, handler: fault::FaultHandler, act: impl FnOnce()) {
    // SAFETY: the handlers here compute, and make a system call at most.
    unsafe { device.set_fault_handler(Some(handler)) };
    act();
    // SAFETY: none is safe.
    unsafe { device.set_fault_handler(None) };
}

fn handler_opens(device: &Device, at: usize) {
    let open = |fault: &mut fault::Fault<'_, '_>| {
        let key = Key::from_number(fault.key()).unwrap();
        fault.set_rights(fault.rights().with(key, Access::Write));
        FaultAction::Retry
    };
    with_handler(device, open, || {
        // What the handler opens ends with the grant that it was opened in.
        device.read(|_| stray_store(at, 7)).unwrap();
        assert!(!is_readable(at));
    });
    assert_eq!(device.read(|grant| grant.view(OFFSET as u64..OFFSET as u64 + 4).unwrap().read_u32(0)).unwrap(), Ok(7));
}

fn handler_strays(device: &Device, at: usize) {
    let stray = |fault: &mut fault::Fault<'_, '_>| {
        let device = pmem_linux::devices::owner_of(fault.key()).unwrap();
        stray_store(device.addresses().start, 7);
        FaultAction::Policy
    };
    with_handler(device, stray, || stray_store(at, 7));
}

fn handler_of_the_one_before(first: Device, protection: ProtectionChoice) {
    let (file, place) = (PathBuf::from(first.name()), first.in_table());
    // SAFETY: a handler that does nothing.
    unsafe { first.set_fault_handler(Some(|_| FaultAction::Retry)) };
    drop(first);
    let (second, at) = open(file, protection);
    assert_eq!(second.in_table(), place);
    stray_store(at, 7);
}

fn shrunk(device: &Device) {
    let file = std::fs::OpenOptions::new().write(true).open(device.name()).unwrap();
    file.set_len(0x1000).unwrap();
    device.read(|grant| grant.load(OFFSET as u64, &mut [0; 4])).unwrap().unwrap();
}

/// A child that was forked strays into the device that its parent has.
fn forked(at: usize) {
    // SAFETY: the child only stores, and ends; the parent waits for it.
    unsafe {
        let child = libc::fork();
        assert_ne!(child, -1);
        if child == 0 {
            stray_store(at, 7);
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert!(
            libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV,
            "the child ended with {status:#x}"
        );
    }
}
