//! How many instructions a grant takes, counted one by one: a process that takes grants is run in single steps by its
//! parent (ptrace(2)). The same everywhere, whatever the computer does besides.
//!
//!     cargo run --release -p pmem-linux --example grant_instructions

use std::error::Error;
use std::hint::black_box;
use std::io;
use std::ptr;

use libc::{c_int, c_void, pid_t};
use libos_contract::protection::{Protection, ProtectionChoice};
use pmem_linux::{Device, NoKey, OpenError, OpenOptions};

/// What is counted: a name, and what is done once.
type Counted = (&'static str, fn(&Device));

const COUNTED: [Counted; 4] = [
    ("nothing", |_| ()),
    ("a read grant", |device| device.read_lock().unwrap().read(|_| black_box(()))),
    ("a write grant", |device| device.read_lock().unwrap().write(|_| black_box(())).unwrap()),
    ("a read grant in a write grant", |device| {
        let lock = device.read_lock().unwrap();
        lock.write(|_| lock.read(|_| black_box(()))).unwrap();
    }),
];

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!("grant-instructions-{}", std::process::id()));
    std::fs::write(&file, [0; 4096])?;
    for protection in [Protection::None, Protection::Pku] {
        let choice = ProtectionChoice::Only(protection);
        match OpenOptions::new().protection(choice).open(&file) {
            Ok(device) => show(protection, &device)?,
            Err(OpenError::NoKey(_, NoKey::NotHere)) => println!("{protection}: this computer has no keys"),
            Err(error) => return Err(error.into()),
        }
    }
    std::fs::remove_file(&file)?;
    Ok(())
}

fn show(protection: Protection, device: &Device) -> io::Result<()> {
    let counts: Vec<_> = COUNTED.iter().map(|(_, done)| count(|| done(device))).collect::<io::Result<_>>()?;
    for ((name, _), count) in COUNTED.iter().zip(&counts).skip(1) {
        println!("{protection}: {name} takes {} instructions", count - counts[0]);
    }
    Ok(())
}

/// How many instructions `f` takes, and the call of it, once what it does for the first time is done.
fn count(f: impl Fn()) -> io::Result<u64> {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => be_counted(f),
        child => count_steps(child),
    }
}

/// What the child does: `f` between two breakpoints.
fn be_counted(f: impl Fn()) -> ! {
    f();
    // SAFETY: the parent traces this process, and takes the breakpoints for itself.
    unsafe {
        if libc::ptrace(libc::PTRACE_TRACEME, 0, ptr::null_mut::<c_void>(), ptr::null_mut::<c_void>()) == 0 {
            std::arch::asm!("int3");
            f();
            std::arch::asm!("int3");
        }
        libc::_exit(0)
    }
}

/// What the parent does: counts single steps from one breakpoint to the other.
fn count_steps(child: pid_t) -> io::Result<u64> {
    wait_for_stop(child)?;
    let mut count = 0;
    loop {
        request(libc::PTRACE_SINGLESTEP, child, ptr::null_mut())?;
        wait_for_stop(child)?;
        // SAFETY: all zeros are a signal's reasons, which the kernel fills in.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        request(libc::PTRACE_GETSIGINFO, child, (&raw mut info).cast())?;
        if info.si_code != libc::TRAP_TRACE {
            break;
        }
        count += 1;
    }
    request(libc::PTRACE_CONT, child, ptr::null_mut())?;
    wait(child).map(|_| count)
}

fn request(request: libc::c_uint, child: pid_t, data: *mut c_void) -> io::Result<()> {
    // SAFETY: the child is stopped, and what the kernel fills in is there.
    let result = unsafe { libc::ptrace(request, child, ptr::null_mut::<c_void>(), data) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn wait_for_stop(child: pid_t) -> io::Result<()> {
    let status = wait(child)?;
    if libc::WIFSTOPPED(status) { Ok(()) } else { Err(io::Error::other("the process has ended")) }
}

fn wait(child: pid_t) -> io::Result<c_int> {
    let mut status = 0;
    // SAFETY: the child is this process's, and the status has a place.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } == child {
        Ok(status)
    } else {
        Err(io::Error::last_os_error())
    }
}
