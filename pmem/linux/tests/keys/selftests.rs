//! Linux's own test of protection keys, `tools/testing/selftests/mm/protection_keys.c`, case by case and by its names,
//! for devices: each has a device of its own under a key that chance has chosen, and the same is done to a device
//! without a key, where nothing may be denied.

use std::arch::asm;
use std::collections::BTreeSet;
use std::env;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::{ptr, thread};

use libos_contract::protection::Protection;
use pmem_linux::Device;
use pmem_medium::Medium;

use crate::calls::{self, BYTES};
use crate::child;
use crate::contexts::Open;
use crate::denials::{self, Access, By, Denial, catch};
use crate::devices::{self, within};

/// What there is here for a case.
enum Here {
    /// The case itself.
    Case(fn(&Case)),
    /// A test of this program.
    Test(&'static str),
    /// None, and why.
    Senseless(&'static str),
}

use Here::{Senseless, Test};

/// All cases, without the `test_` before each name.
#[rustfmt::skip]
const CASES: [(&str, Here); 22] = [
    ("read_of_write_disabled_region", Here::Case(read_of_write_disabled_region)),
    ("read_of_access_disabled_region", Here::Case(read_of_access_disabled_region)),
    ("read_of_access_disabled_region_with_page_already_mapped",
        Here::Case(read_of_access_disabled_region_with_page_already_mapped)),
    ("write_of_write_disabled_region", Here::Case(write_of_write_disabled_region)),
    ("write_of_write_disabled_region_with_page_already_mapped",
        Here::Case(write_of_write_disabled_region_with_page_already_mapped)),
    ("write_of_access_disabled_region", Here::Case(write_of_access_disabled_region)),
    ("write_of_access_disabled_region_with_page_already_mapped",
        Here::Case(write_of_access_disabled_region_with_page_already_mapped)),
    ("kernel_write_of_access_disabled_region", Here::Case(kernel_write_of_access_disabled_region)),
    ("kernel_write_of_write_disabled_region", Here::Case(kernel_write_of_write_disabled_region)),
    ("kernel_gup_of_access_disabled_region", Here::Case(kernel_gup_of_access_disabled_region)),
    ("kernel_gup_write_to_write_disabled_region", Here::Case(kernel_gup_write_to_write_disabled_region)),
    ("executing_on_unreadable_memory",
        Test("permissions::every_access_comes_to_what_rights_and_pages_say_together")),
    ("implicit_mprotect_exec_only_memory", Here::Case(implicit_mprotect_exec_only_memory)),
    ("mprotect_with_pkey_0", Here::Case(mprotect_with_pkey_0)),
    ("ptrace_of_child", Test("others::other_processes_reach_a_device_as_a_debugger_does")),
    ("pkey_init_state", Here::Case(pkey_init_state)),
    ("pkey_syscalls_on_non_allocated_pkey", Here::Case(pkey_syscalls_on_non_allocated_pkey)),
    ("pkey_syscalls_bad_args", Here::Case(pkey_syscalls_bad_args)),
    ("pkey_alloc_exhaust", Test("limits::a_device_without_a_key_is_refused_where_all_are_taken")),
    ("pkey_alloc_free_attach_pkey0", Here::Case(pkey_alloc_free_attach_pkey0)),
    ("ptrace_modifies_pkru", Test("others::a_debugger_gives_rights")),
    ("mprotect_pkey_on_unsupported_cpu",
        Senseless("where there are no keys no device asks for one: opening it is refused before")),
];

/// How often all are gone through, each time with other keys.
const ROUNDS: u64 = 6;
/// What a case stores.
const NEW: u64 = 0x5354_4f52_4544_2121;
/// Where in its device.
const PLACE: usize = 0x1238;

/// What a case has.
struct Case {
    device: Device,
    /// The device's key, if it has one.
    key: Option<u32>,
    address: usize,
    /// The device's file.
    file: tempfile::NamedTempFile,
}

impl Case {
    /// One whose device has a key that chance has chosen.
    fn new(protection: Protection, random: &mut fastrand::Rng) -> Self {
        // The kernel gives the lowest that is free; it may have one for memory that is only executable.
        let taken: Vec<_> = (0..random.u32(0..14)).map_while(|_| take_key()).collect();
        let file = devices::file();
        let device = devices::open(&file, protection).unwrap();
        taken.into_iter().for_each(|key| assert_eq!(free_key(key), 0));
        Self { key: devices::key(&device), address: devices::address(&device, PLACE), device, file }
    }

    /// Loads while so much is open; whether it was denied as it should be, if it should.
    fn load(&self, open: Open, is_denied: bool) {
        let (_, denial) = within(&self.device, open, || catch(|| load(self.address)));
        assert_eq!(denial, self.denial(Access::Load, is_denied));
    }

    /// The same with a store.
    fn store(&self, open: Open, is_denied: bool) {
        let ((), denial) = within(&self.device, open, || catch(|| store(self.address)));
        assert_eq!(denial, self.denial(Access::Store, is_denied));
        let stored = std::fs::read(self.file.path()).unwrap()[PLACE..PLACE + 8] == NEW.to_ne_bytes();
        assert!(stored || denial.is_some(), "nothing was stored");
    }

    fn denial(&self, access: Access, is_denied: bool) -> Option<Denial> {
        let key = self.key.filter(|_| is_denied)?;
        Some(Denial { by: By::Key(key), access, address: self.address })
    }

    /// What a system call returns that is refused where there is a key.
    fn refused(&self, otherwise: Result<usize, i32>) -> Result<usize, i32> {
        if self.key.is_some() { Err(libc::EFAULT) } else { otherwise }
    }

    /// The start of the page that the accesses are to.
    fn page(&self) -> usize {
        self.address - PLACE % 4096
    }
}

fn load(address: usize) -> u64 {
    let mut value: u64 = 0;
    // SAFETY: none, if it is denied; the value stays then. No reference into a device is ever made.
    unsafe { asm!("mov {}, [{}]", inout(reg) value, in(reg) address, options(nostack)) };
    value
}

fn store(address: usize) {
    // SAFETY: as for `load`.
    unsafe { asm!("mov [{}], {}", in(reg) address, in(reg) NEW, options(nostack)) };
}

/// A key from the kernel, of nobody.
fn take_key() -> Option<u32> {
    // SAFETY: a system call without pointers, which closes the new key.
    u32::try_from(unsafe { libc::syscall(libc::SYS_pkey_alloc, 0, 1) }).ok()
}

fn free_key(key: u32) -> i64 {
    // SAFETY: a system call without pointers. The tests free what is theirs, or nobody's.
    unsafe { libc::syscall(libc::SYS_pkey_free, key) }
}

/// pkey_mprotect(2) of a page of a device's; the error.
fn protect(page: usize, permissions: i32, key: u32) -> Result<(), i32> {
    // SAFETY: no reference into a device is ever made.
    let result = unsafe { libc::syscall(libc::SYS_pkey_mprotect, page, 4096, permissions, key) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap()) }
}

const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

fn read_of_write_disabled_region(case: &Case) {
    case.load(Open::Loads, false);
}

fn read_of_access_disabled_region(case: &Case) {
    case.load(Open::Nothing, true);
}

fn read_of_access_disabled_region_with_page_already_mapped(case: &Case) {
    case.load(Open::Loads, false);
    case.load(Open::Nothing, true);
}

fn write_of_write_disabled_region(case: &Case) {
    case.store(Open::Loads, true);
}

fn write_of_write_disabled_region_with_page_already_mapped(case: &Case) {
    case.store(Open::LoadsAndStores, false);
    case.store(Open::Loads, true);
}

fn write_of_access_disabled_region(case: &Case) {
    case.store(Open::Nothing, true);
}

fn write_of_access_disabled_region_with_page_already_mapped(case: &Case) {
    case.store(Open::LoadsAndStores, false);
    case.store(Open::Nothing, true);
    // And the other way round: what is known to be closed is open in the next grant.
    case.store(Open::LoadsAndStores, false);
}

/// A file with something to read.
fn other_file() -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[1; BYTES]).unwrap();
    file
}

fn kernel_write_of_access_disabled_region(case: &Case) {
    assert_eq!(calls::read_into(case.address, &other_file()), case.refused(Ok(BYTES)));
}

fn kernel_write_of_write_disabled_region(case: &Case) {
    let read = within(&case.device, Open::Loads, || calls::read_into(case.address, &other_file()));
    assert_eq!(read, case.refused(Ok(BYTES)));
}

/// The kernel takes the page itself, for a pipe.
fn kernel_gup_of_access_disabled_region(case: &Case) {
    let splice = || {
        let (_reader, writer) = std::io::pipe().unwrap();
        let page = libc::iovec { iov_base: case.page() as *mut libc::c_void, iov_len: 4096 };
        // SAFETY: the page is a device's, and is only read.
        let spliced = unsafe { libc::vmsplice(writer.as_raw_fd(), &raw const page, 1, 0) };
        calls::bytes(spliced)
    };
    assert_eq!(splice(), case.refused(Ok(4096)));
    assert_eq!(within(&case.device, Open::Loads, splice), Ok(4096));
}

/// The kernel loads, and stores, atomically.
fn kernel_gup_write_to_write_disabled_region(case: &Case) {
    let null = ptr::null::<libc::timespec>;
    let wait = || {
        // SAFETY: the word is a device's; the kernel reads it. What it compares it with is never there.
        let waited =
            unsafe { libc::syscall(libc::SYS_futex, case.address, libc::FUTEX_WAIT, 0xdada, null(), null(), 0) };
        calls::bytes(waited as isize)
    };
    let set = || {
        let own = 0u32;
        let set_to_seven = libc::FUTEX_OP(libc::FUTEX_OP_SET, 7, libc::FUTEX_OP_CMP_EQ, 0);
        let (one, wake) = (&raw const own, libc::FUTEX_WAKE_OP);
        // SAFETY: nobody waits for either word. The second is a device's, and the kernel stores to it.
        let set = unsafe { libc::syscall(libc::SYS_futex, one, wake, 0, null(), case.address, set_to_seven) };
        calls::bytes(set as isize)
    };
    assert_eq!(wait(), case.refused(Err(libc::EAGAIN)));
    assert_eq!(within(&case.device, Open::Loads, wait), Err(libc::EAGAIN));
    assert_eq!(within(&case.device, Open::Loads, set), case.refused(Ok(0)));
    assert_eq!(within(&case.device, Open::LoadsAndStores, set), Ok(0));
    assert_eq!(std::fs::read(case.file.path()).unwrap()[PLACE..PLACE + 4], [7, 0, 0, 0]);
}

/// Memory that is only executable has a key from the kernel, which no grant opens, nor does its end.
fn implicit_mprotect_exec_only_memory(case: &Case) {
    const RETURN: u8 = 0xc3;
    let keys_are_here = devices::keys_are_here();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new page, with a function that returns at once.
    let page = unsafe {
        let page = libc::mmap(ptr::null_mut(), 4096, READ_WRITE, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        page.cast::<u8>().write(RETURN);
        assert_eq!(libc::mprotect(page, 4096, libc::PROT_EXEC), 0);
        page as usize
    };
    for open in [Open::Nothing, Open::LoadsAndStores, Open::Nothing] {
        within(&case.device, open, || {
            // SAFETY: the function that was put there.
            unsafe { asm!("call {}", in(reg) page, clobber_abi("C")) };
            let denial = catch(|| load(page)).1;
            let by_another = |denial: Denial| matches!(denial.by, By::Key(key) if Some(key) != case.key);
            // Without keys the CPU lets who executes read.
            assert_eq!(denial.is_some_and(by_another), keys_are_here, "{denial:?}");
        });
    }
    // SAFETY: the page is this one's.
    assert_eq!(unsafe { libc::munmap(page as *mut libc::c_void, 4096) }, 0);
}

/// Whoever takes a page out of its key opens it: the kernel asks nobody. A plain mprotect(2) leaves the key.
fn mprotect_with_pkey_0(case: &Case) {
    case.device.set_writable(0x1000..0x2000, false).unwrap();
    case.device.set_writable(0x1000..0x2000, true).unwrap();
    case.store(Open::Nothing, true);
    let Some(key) = case.key else { return };
    protect(case.page(), READ_WRITE, 0).unwrap();
    case.store(Open::Nothing, false);
    protect(case.page(), READ_WRITE, key).unwrap();
    case.store(Open::Nothing, true);
}

/// Rights stay a thread's own, however often the kernel switches to others with other rights.
fn pkey_init_state(case: &Case) {
    const TURNS: usize = 200;
    let source = other_file();
    let turn = |open, read| {
        within(&case.device, open, || {
            for _ in 0..TURNS {
                // SAFETY: the byte is a device's, and this thread may load it.
                let _ = (open != Open::Nothing).then(|| unsafe { (case.address as *const u8).read_volatile() });
                assert_eq!(calls::read_into(case.address, &source), read, "{open:?}");
                thread::yield_now();
            }
        });
    };
    thread::scope(|scope| {
        scope.spawn(|| turn(Open::LoadsAndStores, Ok(BYTES)));
        scope.spawn(|| turn(Open::Loads, case.refused(Ok(BYTES))));
        scope.spawn(|| turn(Open::Nothing, case.refused(Ok(BYTES))));
    });
    case.store(Open::Nothing, true);
}

fn pkey_syscalls_on_non_allocated_pkey(case: &Case) {
    let Some(own) = case.key else { return };
    for other in (1..16).filter(|&other| other != own) {
        assert_eq!(free_key(other), -1, "{other}");
        assert_eq!(protect(case.page(), libc::PROT_READ, other), Err(libc::EINVAL), "{other}");
    }
    case.store(Open::Nothing, true);
}

fn pkey_syscalls_bad_args(case: &Case) {
    if case.key.is_none() {
        return;
    }
    assert_eq!(protect(case.page(), libc::PROT_READ, 16 + 99), Err(libc::EINVAL));
    case.store(Open::Nothing, true);
}

/// The device's key is nobody else's, and 0 is nobody's; and what others take and give back does not open it.
fn pkey_alloc_free_attach_pkey0(case: &Case) {
    let mut taken = BTreeSet::new();
    while let Some(key) = take_key() {
        assert!(key != 0 && Some(key) != case.key && taken.insert(key), "{key}");
    }
    assert!(case.key.is_none() || !taken.is_empty());
    taken.into_iter().for_each(|key| assert_eq!(free_key(key), 0));
    case.store(Open::Nothing, true);
}

#[test]
fn the_cases_of_linux_come_to_the_same_for_devices() {
    for protection in devices::protections() {
        assert_eq!(child::run("selftests::all_cases", &[&protection.to_string()]), Ok(()));
    }
}

#[test]
#[ignore = "takes keys and signals of a process, so it is run in one of its own"]
fn all_cases() {
    let [protection] = child::words().try_into().unwrap();
    let protection = devices::protection(&protection);
    let mut keys = BTreeSet::new();
    for seed in 0..ROUNDS {
        let mut random = fastrand::Rng::with_seed(seed);
        for (name, here) in &CASES {
            let Here::Case(run) = here else { continue };
            let case = Case::new(protection, &mut random);
            denials::install();
            println!("{name}, round {seed}, key {:?}", case.key);
            keys.extend(case.key);
            run(&case);
        }
    }
    assert!(protection == Protection::None || keys.len() > 10, "chance has chosen few keys: {keys:?}");
    child::end();
}

#[test]
fn each_case_of_linux_is_a_test_here_or_has_a_reason_not_to_be() {
    let list = Command::new(env::current_exe().unwrap()).args(["--list", "--format=terse"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    for (name, here) in &CASES {
        match here {
            Here::Case(_) => {}
            Test(test) => assert!(list.lines().any(|line| line == format!("{test}: test")), "{name}: no test {test}"),
            Senseless(reason) => assert!(!reason.is_empty(), "{name}"),
        }
    }
}
