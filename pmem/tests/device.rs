//! The host's device: a mapped file, locked for one process, with the same grants as the guest's.

mod scratch;

use pmem::device::OpenError;
use pmem::medium::WriteError;
use pmem::pool::Executor;
use pmem::protection::{PolicyError, fault_policy, set_fault_policy};
use pmem::{Device, Error, FormatOptions, Load, Medium, Pool, Store, WriteProtectError, inspect};

use scratch::Scratch;

#[test]
fn a_pool_lives_in_a_file() {
    let file = Scratch::new("pool");
    let device = Device::create(&file.0, 4 << 20).unwrap();
    let mut pool = Pool::open_or_format(device, &FormatOptions::new([1; 16])).unwrap();
    pool.turn(|turn| turn.put(b"key", b"value", Some(5))).unwrap().0.unwrap();
    // Dropped as if killed: nothing but the commit wrote it.
    drop(pool);

    let bytes = std::fs::read(&file.0).unwrap();
    let summary = inspect(&Device::open_read_only(&file.0).unwrap()).unwrap();
    assert_eq!((summary.report.keys, summary.uuid), (1, [1; 16]));
    assert!(summary.to_string().contains("keys:      1\n"), "{summary}");
    assert_eq!(std::fs::read(&file.0).unwrap(), bytes, "looking changed the image");

    let mut pool = Pool::open(Device::open(&file.0).unwrap()).unwrap();
    let mut value = Vec::new();
    let meta = pool.turn(|turn| turn.get(b"key", &mut value)).unwrap().0.unwrap().unwrap();
    assert_eq!((value.as_slice(), meta.expires_at_ms), (b"value".as_slice(), Some(5)));
}

/// A thread for each segment, all at once.
struct Crowd;

impl Executor for Crowd {
    fn run<T: Send>(&self, jobs: usize, scan: impl Fn(usize) -> T + Sync, merge: impl FnMut(T)) {
        let scan = &scan;
        let scanned: Vec<T> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..jobs).map(|job| scope.spawn(move || scan(job))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        scanned.into_iter().rev().for_each(merge);
    }
}

#[test]
fn many_threads_recover_what_one_does() {
    let file = Scratch::new("threads");
    let mut pool = Pool::format(Device::create(&file.0, 4 << 20).unwrap(), &FormatOptions::new([1; 16])).unwrap();
    for number in 0..3000u32 {
        let key = (number % 1700).to_le_bytes();
        pool.turn(|turn| turn.put(&key, &[number as u8; 300], None)).unwrap().0.unwrap();
    }
    let stats = pool.stats();
    drop(pool);
    let mut told = Vec::new();
    let device = Device::open_copy_on_write(&file.0).unwrap();
    let mut crowd = Pool::open_with(device, u64::MAX, &Crowd, |progress| told.push(progress)).unwrap();
    let alone = Pool::open(Device::open_copy_on_write(&file.0).unwrap()).unwrap();
    assert_eq!(crowd.report(), alone.report());
    assert_eq!((crowd.stats().keys, crowd.stats().live_bytes), (1700, stats.live_bytes));
    for number in 1300..3000u32 {
        let mut value = Vec::new();
        crowd.turn(|turn| turn.get(&(number % 1700).to_le_bytes(), &mut value)).unwrap().0.unwrap().unwrap();
        assert_eq!(value, [number as u8; 300]);
    }
    assert_eq!(told.len(), crowd.report().segments_used as usize);
    assert!(told.windows(2).all(|two| two[0].bytes < two[1].bytes && two[0].records <= two[1].records));
    let last = told.last().unwrap();
    assert_eq!((last.bytes, last.records), (last.of_bytes, crowd.report().records));
}

#[test]
fn an_image_belongs_to_one_process() {
    let file = Scratch::new("lock");
    let device = Device::create(&file.0, 1 << 20).unwrap();
    assert!(matches!(Device::create(&file.0, 1 << 20), Err(OpenError::Exists(_))));
    assert!(matches!(Device::open(&file.0), Err(OpenError::InUse(_))));
    assert!(matches!(Device::open_read_only(&file.0), Err(OpenError::InUse(_))));
    drop(device);
    let readers = [Device::open_read_only(&file.0).unwrap(), Device::open_read_only(&file.0).unwrap()];
    assert!(matches!(Device::open(&file.0), Err(OpenError::InUse(_))));
    assert!(readers[0].is_read_only());
    assert_eq!(readers[0].write(|_| ()), Err(WriteError::ReadOnly));
    assert_eq!(Pool::open(&readers[1]).unwrap_err(), Error::ReadOnly);
}

#[test]
fn write_protection_checks_its_argument() {
    let file = Scratch::new("pages");
    let device = Device::create(&file.0, 8192).unwrap();
    assert_eq!(device.set_writable(0..100, false), Err(WriteProtectError::Misaligned(0..100)));
    assert!(matches!(device.set_writable(4096..12288, false), Err(WriteProtectError::OutOfRange(_))));
    assert_eq!(device.set_writable(0..8192, false), Ok(()));
    assert_eq!(device.set_writable(4096..8192, true), Ok(()));
    device.write(|grant| grant.store(4096, b"stored").unwrap()).unwrap();
    assert_eq!(device.read(|grant| grant.view(0..8).unwrap().read_u64(0)), Ok(Ok(0)));
    drop(device);
    let device = Device::open_read_only(&file.0).unwrap();
    assert_eq!(device.set_writable(0..4096, true), Err(WriteProtectError::ReadOnly));
    assert_eq!(device.set_writable(0..4096, false), Ok(()));
}

#[test]
fn errors_name_the_file() {
    let missing = Scratch::new("missing");
    let error = Device::open(&missing.0).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    std::fs::write(&missing.0, b"").unwrap();
    assert!(matches!(Device::open(&missing.0), Err(OpenError::Empty(_))));
}

#[test]
fn views_copy_compare_and_check_bounds() {
    let file = Scratch::new("views");
    let device = Device::create(&file.0, 8192).unwrap();
    let lock = device.read_lock().unwrap();
    lock.write(|grant| {
        let mut view = grant.view_mut(64..192).unwrap();
        view.fill(7).unwrap();
        view.copy_from(8, b"123456789").unwrap();
        view.write_u64(120, 0x0102_0304_0506_0708).unwrap();
        assert!(view.copy_from(120, b"123456789").is_err());
        assert!(view.copy_from(u64::MAX, b"1").is_err());
        view.write_back().unwrap();
        grant.fence();
        // A read grant nests within.
        assert_eq!(lock.read(|grant| grant.view(64..72).unwrap().read_u8(7).unwrap()), 7);
        assert!(grant.view_mut(8190..8193).is_err());
    })
    .unwrap();
    lock.read(|grant| {
        let view = grant.view(64..192).unwrap();
        assert!(view.slice(8..17).unwrap().equals(b"123456789").unwrap());
        assert!(!view.slice(8..17).unwrap().equals(b"12345678x").unwrap());
        assert!(!view.slice(8..17).unwrap().equals(b"123").unwrap());
        assert_eq!(view.read_u64(120).unwrap(), 0x0102_0304_0506_0708);
        assert_eq!((view.read_u32(0).unwrap(), view.read_u16(126).unwrap()), (0x0707_0707, 0x0102));
        assert!(view.read_u16(127).is_err() && view.slice(100..129).is_err());
        #[expect(clippy::reversed_empty_ranges, reason = "that is what must be refused")]
        let backwards = grant.view(10..5);
        assert!(backwards.is_err() && grant.view(8192..8193).is_err() && grant.view(8192..8192).is_ok());
    });
    let counters = device.counters();
    assert_eq!((counters.read_grants, counters.write_grants), (2, 1));
    assert_eq!((counters.bytes_stored, counters.lines_written_back, counters.fences), (128 + 9 + 8, 2, 1));
}

#[test]
fn a_fault_policy_can_be_had_where_something_notices_stray_accesses() {
    let file = Scratch::new("policy");
    let device = Device::create(&file.0, 8192).unwrap();
    assert_eq!(set_fault_policy("lenient"), Err(PolicyError::Unknown));
    if device.protection() == "none" {
        assert!(std::env::var_os("HOLDFAST_REQUIRE_KEYS").is_none(), "no protection keys here");
        // No other test here has a device with keys, then.
        assert_eq!((fault_policy(), set_fault_policy("relaxed")), (None, Err(PolicyError::Unprotected)));
        return;
    }
    assert_eq!(fault_policy().as_deref(), Some("strict"));
    assert_eq!(set_fault_policy("relaxed"), Ok(()));
    assert_eq!(fault_policy().as_deref(), Some("relaxed"));
    let refused = set_fault_policy("end-thread").unwrap_err();
    assert!(matches!(&refused, PolicyError::Refused(_)) && refused.to_string().contains("locks"), "{refused}");
    assert_eq!(fault_policy().as_deref(), Some("relaxed"), "what is refused changes nothing");
    assert_eq!(set_fault_policy("strict"), Ok(()));
}
