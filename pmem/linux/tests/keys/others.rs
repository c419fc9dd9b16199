//! What other processes and other programs reach of a device: debuggers, and what exec(2) leaves.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command};

use libc::{c_long, c_void, pid_t};
use libos_contract::protection::Protection;
use libos_contract::rights::Rights;

use crate::calls::{BYTES, NEW, bytes};
use crate::child;
use crate::contexts::Open;
use crate::denials::{self, By, Denial, catch};
use crate::devices::{self, BEFORE, within};

/// Where in the device.
const PLACE: usize = 0x1100;

/// A process that has a device open, closed to all its threads, and does what it is told.
struct Holder {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// The thread that does what the process is told.
    thread: pid_t,
    /// The address of the device's byte.
    address: usize,
    file: tempfile::NamedTempFile,
}

/// What begins a line that a holder says.
const SAYS: &str = "the holder: ";

impl Holder {
    fn new(protection: Protection) -> Self {
        let file = devices::file();
        let words = [&protection.to_string(), file.path().to_str().unwrap()];
        let mut process = child::spawn("others::holds_a_device", &words);
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut holder = Self { process, orders, answers, thread: 0, address: 0, file };
        let answer = holder.answer();
        let (thread, address) = answer.split_once(' ').unwrap();
        (holder.thread, holder.address) = (thread.parse().unwrap(), address.parse().unwrap());
        holder
    }

    /// The next that it says.
    fn answer(&mut self) -> String {
        let mut lines = self.answers.by_ref().map(Result::unwrap);
        lines.find_map(|line| line.split_once(SAYS).map(|(_, said)| said.to_owned())).expect("it has said all")
    }

    /// Has it store to its device, outside of every grant.
    fn store(&mut self) -> String {
        self.orders.write_all(b"store\n").unwrap();
        self.answer()
    }

    /// What is in the device.
    fn bytes(&self) -> [u8; BYTES] {
        fs::read(self.file.path()).unwrap()[PLACE..PLACE + BYTES].try_into().unwrap()
    }

    /// Sees to it that the device is as it was.
    fn put_back(&self) {
        fs::OpenOptions::new()
            .write(true)
            .open(self.file.path())
            .unwrap()
            .write_all_at(&[BEFORE; BYTES], PLACE as u64)
            .unwrap();
    }

    fn process(&self) -> pid_t {
        self.process.id().cast_signed()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "a process with a device, for the tests of this file"]
fn holds_a_device() {
    let [protection, file] = child::words().try_into().unwrap();
    let device = devices::open(file, devices::protection(&protection)).unwrap();
    denials::install();
    let address = devices::address(&device, PLACE);
    println!("\n{SAYS}{} {address}", rustix::thread::gettid().as_raw_nonzero());
    for _ in std::io::stdin().lines() {
        // SAFETY: none, if it is denied. No reference into a device is ever made.
        let ((), denial) = catch(|| unsafe { (address as *mut u64).write_volatile(u64::from_ne_bytes(NEW)) });
        match denial {
            None => println!("{SAYS}stored"),
            Some(Denial { by: By::Key(_), .. }) => println!("{SAYS}denied"),
            Some(other) => panic!("{other:?}"),
        }
    }
}

/// process_vm_writev(2) and process_vm_readv(2).
fn write_by_call(holder: &Holder) -> Result<usize, i32> {
    let mut read = [0; BYTES];
    let local = |bytes: *const u8| libc::iovec { iov_base: bytes.cast_mut().cast(), iov_len: BYTES };
    let (from, to) = (local(NEW.as_ptr()), local(read.as_mut_ptr()));
    let remote = local(holder.address as *const u8);
    // SAFETY: the bytes of this process are its own, and the second ones are there to be written to.
    let (written, loaded) = unsafe {
        (
            bytes(libc::process_vm_writev(holder.process(), &raw const from, 1, &raw const remote, 1, 0)),
            bytes(libc::process_vm_readv(holder.process(), &raw const to, 1, &raw const remote, 1, 0)),
        )
    };
    assert_eq!((loaded, read), (Ok(BYTES), NEW));
    written
}

/// `/proc/PID/mem`.
fn write_by_file(holder: &Holder) -> Result<usize, i32> {
    let memory = fs::OpenOptions::new().write(true).open(format!("/proc/{}/mem", holder.process())).unwrap();
    memory.write_at(&NEW, holder.address as u64).map_err(|error| error.raw_os_error().unwrap())
}

/// PTRACE_POKEDATA and PTRACE_PEEKDATA.
fn write_by_debugger(holder: &Holder) -> Result<usize, i32> {
    let traced = Traced::new(holder.thread);
    let (at, word) = (holder.address as *mut c_void, i64::from_ne_bytes(NEW));
    traced.request(libc::PTRACE_POKEDATA, at, word as *mut c_void);
    let mut loaded: c_long = 0;
    // The system call stores the word there; the C library's function would return it.
    // SAFETY: the thread is stopped, and the word has a place.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_PEEKDATA, traced.0, at, &raw mut loaded) };
    assert_eq!((result, loaded), (0, word));
    Ok(BYTES)
}

#[test]
fn other_processes_reach_a_device_as_a_debugger_does() {
    for protection in devices::protections() {
        let mut holder = Holder::new(protection);
        let own = if protection == Protection::None { "stored" } else { "denied" };
        for write in [write_by_call, write_by_file, write_by_debugger] {
            assert_eq!(holder.bytes(), [BEFORE; BYTES], "{protection}");
            assert_eq!(write(&holder), Ok(BYTES), "{protection}");
            assert_eq!(holder.bytes(), NEW, "{protection}");
            holder.put_back();
            // The process itself may do no more than before.
            assert_eq!(holder.store(), own, "{protection}");
            holder.put_back();
        }
    }
}

/// A thread that is stopped, until this is dropped.
struct Traced(pid_t);

impl Traced {
    fn new(thread: pid_t) -> Self {
        let traced = Self(thread);
        traced.request(libc::PTRACE_ATTACH, std::ptr::null_mut(), std::ptr::null_mut());
        let mut status = 0;
        // SAFETY: the status has a place.
        assert_eq!(unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) }, thread);
        assert!(libc::WIFSTOPPED(status), "{status:#x}");
        traced
    }

    fn request(&self, request: libc::c_uint, address: *mut c_void, data: *mut c_void) {
        // SAFETY: what the requests of this file are given is there, and the thread is a process's of this test's.
        let result = unsafe { libc::ptrace(request, self.0, address, data) };
        assert_eq!(result, 0, "ptrace request {request:#x}: {}", std::io::Error::last_os_error());
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.request(libc::PTRACE_DETACH, std::ptr::null_mut(), std::ptr::null_mut());
    }
}

/// Opens all keys to a thread: PKRU is a component of its XSAVE area (SDM volume 1, section 13.1), where CPUID says.
fn open_all(thread: pid_t) {
    const NT_X86_XSTATE: usize = 0x202;
    const PKRU: u32 = 9;
    let place = std::arch::x86_64::__cpuid_count(0xd, PKRU).ebx as usize;
    let traced = Traced::new(thread);
    let mut area = vec![0u8; 64 << 10];
    let mut vector = libc::iovec { iov_base: area.as_mut_ptr().cast(), iov_len: area.len() };
    traced.request(libc::PTRACE_GETREGSET, NT_X86_XSTATE as *mut c_void, (&raw mut vector).cast());
    let rights = &mut area[place..place + 4];
    assert_eq!(rights, Rights::CLOSED.bits().to_ne_bytes());
    rights.fill(0);
    traced.request(libc::PTRACE_SETREGSET, NT_X86_XSTATE as *mut c_void, (&raw mut vector).cast());
}

#[test]
fn a_debugger_gives_rights() {
    if !devices::keys_are_here() {
        return;
    }
    let mut holder = Holder::new(Protection::Pku);
    assert_eq!(holder.store(), "denied");
    assert_eq!(holder.bytes(), [BEFORE; BYTES]);
    open_all(holder.thread);
    assert_eq!(holder.store(), "stored");
    assert_eq!(holder.bytes(), NEW);
}

#[test]
fn exec_leaves_nothing_of_a_device() {
    for protection in devices::protections() {
        let file = devices::file();
        let words = [&protection.to_string(), file.path().to_str().unwrap()];
        assert_eq!(child::run("others::becomes_another_program", &words), Ok(()), "{protection}");
    }
}

#[test]
#[ignore = "becomes another program, so it is run in a process of its own"]
fn becomes_another_program() {
    let [protection, file] = child::words().try_into().unwrap();
    let device = devices::open(file, devices::protection(&protection)).unwrap();
    let mut program = Command::new(env::current_exe().unwrap());
    program.args(child::arguments("others::is_another_program"));
    let error = within(&device, Open::LoadsAndStores, || program.exec());
    panic!("exec: {error}");
}

#[test]
#[ignore = "what a process becomes by exec(2)"]
fn is_another_program() {
    let [protection, file] = child::words().try_into().unwrap();
    let path = fs::canonicalize(&file).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains(path.to_str().unwrap()), "{maps}");
    let is_it = |entry: fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|of| of == Path::new(&path));
    assert!(!fs::read_dir("/proc/self/fd").unwrap().map(Result::unwrap).any(is_it));
    if devices::keys_are_here() {
        assert_eq!(rights(), Rights::CLOSED);
    }
    // Nor is it locked.
    assert_eq!(devices::open(&file, devices::protection(&protection)).unwrap().protection(), protection);
    child::end();
}

/// This thread's rights.
fn rights() -> Rights {
    let (low, _high): (u32, u32);
    // SAFETY: there are keys, so the register exists. Reading it changes nothing.
    unsafe { std::arch::asm!("rdpkru", in("ecx") 0, out("eax") low, out("edx") _high) };
    Rights::from_bits(low)
}
