//! What the functions do where `std` is particular about it, called as C would call them.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{ptr, thread};

use hermit_abi::errno::{EAGAIN, EBADF, EFAULT, EINVAL, EISDIR, ENOENT, ENOSYS, ENOTTY, ESPIPE, ETIMEDOUT};
use hermit_abi::{O_APPEND, O_CREAT, O_DIRECTORY, O_NONBLOCK, O_RDONLY, O_RDWR, pollfd, timespec};

/// A check's name, and the check.
type Check = (&'static str, fn());

pub(crate) const CHECKS: &[Check] = &[
    ("a failure is returned and left in errno", both),
    ("errno is the thread's own", per_thread),
    ("poll fails with -1", poll),
    ("a futex's outcome is no error of the thread", futex),
    ("entropy fills the buffer", entropy),
    ("join waits for the function's return, and not for a stranger", join),
    ("a list that does not fit is refused whole", listing),
    ("nothing that is open can be brought to a store", fsync),
    ("flags and positions", flags),
    ("clocks and sleeping", clocks),
    ("an allocation that cannot be is null", memory),
    ("num_cpus counts the CPUs", cpus),
];

fn errno() -> i32 {
    // SAFETY: reads a number.
    let (one, other) = unsafe { (hermit_abi::get_errno(), hermit_abi::errno()) };
    assert_eq!(one, other);
    one
}

/// Fails unless the result is this negative error number, and errno the positive one.
fn expect_error(result: impl Into<i64>, number: i32) {
    assert_eq!((result.into(), errno()), (-i64::from(number), number));
}

fn open(path: &CStr, flags: i32) -> i32 {
    // SAFETY: a C string.
    unsafe { hermit_abi::open(path.as_ptr(), flags, 0o777) }
}

fn close(fd: i32) {
    // SAFETY: the descriptor is the caller's, who does not use it again.
    assert_eq!(unsafe { hermit_abi::close(fd) }, 0);
}

fn both() {
    let mut byte = 0u8;
    // SAFETY: buffers of the lengths that are named, or null, which is what is tried.
    unsafe {
        expect_error(hermit_abi::read(-1, &mut byte, 1) as i64, EBADF);
        expect_error(hermit_abi::write(9999, &byte, 1) as i64, EBADF);
        expect_error(hermit_abi::read(0, ptr::null_mut(), 1) as i64, EFAULT);
        expect_error(hermit_abi::open(ptr::null(), O_RDONLY, 0), EFAULT);
        expect_error(hermit_abi::stat(c"/nothing".as_ptr(), ptr::null_mut()), EFAULT);
        expect_error(hermit_abi::unlink(c"/nothing".as_ptr()), ENOENT);
        expect_error(hermit_abi::close(-5), EBADF);
        expect_error(hermit_abi::lseek(1, 0, hermit_abi::SEEK_CUR) as i64, ESPIPE);
        expect_error(hermit_abi::ioctl(1, 12345, ptr::null_mut()), ENOTTY);
        expect_error(hermit_abi::fcntl(1, 12345, 0), EINVAL);
    }
    expect_error(open(c"/", 0o40), EINVAL);
    // A success leaves the number as it was.
    let fd = open(c"/", O_RDONLY | O_DIRECTORY);
    assert!(fd >= 3 && errno() == EINVAL);
    close(fd);
}

fn per_thread() {
    expect_error(open(c"/nothing", O_RDONLY), ENOENT);
    thread::spawn(|| {
        assert_eq!(errno(), 0);
        // SAFETY: a descriptor that is not open.
        expect_error(unsafe { hermit_abi::close(-1) }, EBADF);
    })
    .join()
    .unwrap();
    assert_eq!(errno(), ENOENT);
}

fn poll() {
    // SAFETY: no entries, or more than there may be, which is what is tried.
    unsafe {
        assert_eq!((hermit_abi::poll(ptr::null_mut(), 1, 0), errno()), (-1, EFAULT));
        let mut entry = pollfd { fd: 1, events: 0, revents: 0 };
        assert_eq!((hermit_abi::poll(&mut entry, 1 << 20, 0), errno()), (-1, EINVAL));
        assert_eq!(hermit_abi::poll(ptr::null_mut(), 0, 5), 0);
    }
    let mut entries = [-1, 999, 1].map(|fd| pollfd { fd, events: hermit_abi::POLLOUT, revents: -1 });
    // SAFETY: three entries.
    assert_eq!(unsafe { hermit_abi::poll(entries.as_mut_ptr(), 3, -1) }, 2);
    assert_eq!(entries.map(|entry| entry.revents), [0, hermit_abi::POLLNVAL, hermit_abi::POLLOUT]);
}

fn futex() {
    let word = AtomicU32::new(3);
    let short = timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    // SAFETY: the word and the time live here.
    unsafe {
        hermit_abi::close(-1);
        assert_eq!(hermit_abi::futex_wait(word.as_ptr(), 4, ptr::null(), 1), -EAGAIN);
        assert_eq!(hermit_abi::futex_wait(word.as_ptr(), 3, &short, 1), -ETIMEDOUT);
        assert_eq!(hermit_abi::futex_wait(ptr::null_mut(), 3, &short, 1), -EINVAL);
        assert_eq!(hermit_abi::futex_wake(word.as_ptr(), i32::MAX), 0);
    }
    assert_eq!(errno(), EBADF, "the error of before");
}

fn entropy() {
    let mut buffers = [[0u8; 1000]; 2];
    for buffer in &mut buffers {
        // SAFETY: the buffer is as long as is said.
        assert_eq!(unsafe { hermit_abi::read_entropy(buffer.as_mut_ptr(), buffer.len(), 0) }, 1000);
        assert!(buffer.iter().collect::<std::collections::HashSet<_>>().len() > 100);
    }
    assert_ne!(buffers[0], buffers[1]);
    // SAFETY: as above; and null, which is what is tried.
    unsafe {
        expect_error(hermit_abi::read_entropy(buffers[0].as_mut_ptr(), 10, 1 << 20) as i64, EINVAL);
        expect_error(hermit_abi::read_entropy(ptr::null_mut(), 10, 0) as i64, EFAULT);
    }
}

fn join() {
    static DONE: AtomicBool = AtomicBool::new(false);
    extern "C" fn slow(milliseconds: usize) {
        thread::sleep(Duration::from_millis(milliseconds as u64));
        DONE.store(true, Ordering::SeqCst);
    }
    let priority = hermit_abi::NORMAL_PRIO.into();
    // SAFETY: the function takes any number.
    let id = unsafe { hermit_abi::spawn2(slow, 50, priority, 1 << 16, -1) };
    assert_ne!(id, 0);
    // SAFETY: takes a number.
    unsafe { hermit_abi::join(id) };
    assert!(DONE.load(Ordering::SeqCst), "join returned before the function");
    let before = Instant::now();
    // SAFETY: as above; the one is over, the other never was.
    unsafe {
        hermit_abi::join(id);
        hermit_abi::join(1_000_000);
    }
    assert!(before.elapsed() < Duration::from_secs(10));
    // SAFETY: as above; a stack that there cannot be.
    assert_eq!(unsafe { hermit_abi::spawn2(slow, 0, priority, 1 << 40, -1) }, 0);
}

fn listing() {
    for number in 0..20 {
        std::fs::create_dir_all(format!("/list/directory-{number}")).unwrap();
    }
    let fd = open(c"/list", O_RDONLY | O_DIRECTORY);
    let mut buffer = [0u64; 256];
    let into = buffer.as_mut_ptr().cast();
    // SAFETY: the buffer is at least as long as is said.
    unsafe {
        expect_error(hermit_abi::getdents64(fd, into, 400), EINVAL);
        let length = hermit_abi::getdents64(fd, into, 2048);
        assert!(length > 400, "{length}");
        assert_eq!(hermit_abi::getdents64(fd, into, 2048), 0, "the end");
        assert_eq!(hermit_abi::lseek(fd, 0, hermit_abi::SEEK_SET), 0);
        assert_eq!(hermit_abi::getdents64(fd, into, 2048), length);
        expect_error(hermit_abi::getdents64(1, into, 2048), hermit_abi::errno::ENOTDIR);
        let mut byte = 0;
        expect_error(hermit_abi::read(fd, &mut byte, 1) as i64, EISDIR);
    }
    close(fd);
}

fn fsync() {
    unsafe extern "C" {
        /// Declared by later versions of `hermit-abi`.
        fn sys_fsync(fd: i32) -> i32;
    }
    let fd = open(c"/stored", O_RDWR | O_CREAT);
    // SAFETY: takes a number.
    unsafe {
        expect_error(sys_fsync(fd), ENOSYS);
        expect_error(sys_fsync(-1), EBADF);
    }
    close(fd);
}

fn flags() {
    let fd = open(c"/flags", O_RDWR | O_CREAT | O_APPEND);
    // SAFETY: numbers, and a buffer of the length that is named.
    unsafe {
        assert_eq!(hermit_abi::fcntl(fd, hermit_abi::F_GETFL, 0), O_RDWR | O_APPEND);
        assert_eq!(hermit_abi::write(fd, b"one".as_ptr(), 3), 3);
        assert_eq!(hermit_abi::fcntl(fd, hermit_abi::F_SETFL, O_NONBLOCK), 0);
        assert_eq!(hermit_abi::fcntl(fd, hermit_abi::F_GETFL, 0) & O_APPEND, 0);
        // Both descriptors have one position.
        let other = hermit_abi::dup(fd);
        assert!(other > fd);
        assert_eq!(hermit_abi::lseek(other, 1, hermit_abi::SEEK_SET), 1);
        assert_eq!(hermit_abi::lseek(fd, 0, hermit_abi::SEEK_CUR), 1);
        close(other);
        assert_eq!(hermit_abi::lseek(fd, 0, hermit_abi::SEEK_END), 3);
        expect_error(hermit_abi::lseek(fd, -4, hermit_abi::SEEK_END) as i64, EINVAL);
        expect_error(hermit_abi::lseek(fd, 0, 99) as i64, EINVAL);
    }
    close(fd);
}

fn clocks() {
    let mut time = timespec { tv_sec: -1, tv_nsec: -1 };
    let wrong = [timespec { tv_sec: 0, tv_nsec: 1_000_000_000 }, timespec { tv_sec: -1, tv_nsec: 0 }];
    // SAFETY: times that live here, or null, which is what is tried.
    unsafe {
        for clock in [hermit_abi::CLOCK_REALTIME, hermit_abi::CLOCK_MONOTONIC] {
            assert_eq!(hermit_abi::clock_gettime(clock, &mut time), 0);
            assert!(time.tv_sec >= 0 && (0..1_000_000_000).contains(&time.tv_nsec), "{time:?}");
        }
        expect_error(hermit_abi::clock_gettime(77, &mut time), EINVAL);
        expect_error(hermit_abi::clock_gettime(hermit_abi::CLOCK_REALTIME, ptr::null_mut()), EFAULT);
        expect_error(hermit_abi::nanosleep(ptr::null()), EFAULT);
        wrong.iter().for_each(|span| expect_error(hermit_abi::nanosleep(span), EINVAL));
        let before = Instant::now();
        assert_eq!(hermit_abi::nanosleep(&timespec { tv_sec: 0, tv_nsec: 3_000_000 }), 0);
        assert!(before.elapsed() >= Duration::from_millis(3));
    }
}

fn cpus() {
    let parallelism = thread::available_parallelism().unwrap().get();
    assert_eq!((num_cpus::get(), num_cpus::get_physical()), (parallelism, parallelism));
}

fn memory() {
    // SAFETY: sizes and alignments are numbers; what is allocated is freed as it was allocated.
    unsafe {
        assert!(hermit_abi::malloc(1 << 50, 8).is_null() && hermit_abi::malloc(8, 3).is_null());
        let block = hermit_abi::malloc(100, 4096);
        assert!(!block.is_null() && block.addr().is_multiple_of(4096));
        block.write(7);
        assert!(hermit_abi::realloc(block, 100, 4096, 1 << 50).is_null());
        assert_eq!(block.read(), 7, "the old one is intact");
        hermit_abi::free(block, 100, 4096);
        let zeroed = hermit_abi::alloc_zeroed(1000, 16);
        assert!(std::slice::from_raw_parts(zeroed, 1000).iter().all(|&byte| byte == 0));
        hermit_abi::dealloc(zeroed, 1000, 16);
    }
}
