//! What a thread, or the handlers of a CPU, hold and have held: sections, and the last grants for a report.
//!
//! Constant in size and made of atomics: it is written on every grant and read by a report, which may come at any
//! moment.

use core::array;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use libos_contract::report::{Grant, REMEMBERED};

use super::device::{Device, devices};
use super::owners;
use crate::addr::VirtAddr;
use crate::arch::{cpu_local, per_thread};
use crate::instant::{AtomicInstant, Instant};
use crate::keys::{Access, Key, Rights};
use crate::time;
use crate::trace::{self, layout::kind};

/// How many devices can have keys, and so sections that a thread may have to be relieved of.
const DEVICES: usize = 15;

/// One grant: what for, when and by whom.
#[derive(Debug)]
struct Entry {
    /// Counts from 1; 0 for an entry that is not used.
    number: AtomicUsize,
    /// The device's place in the list, times 2, plus 1 for writing.
    what: AtomicU32,
    began: AtomicInstant,
    /// When time began, as long as it is open.
    ended: AtomicInstant,
    /// The return address of whoever asked for it.
    caller: AtomicU64,
}

impl Entry {
    const fn new() -> Self {
        Self {
            number: AtomicUsize::new(0),
            what: AtomicU32::new(0),
            began: AtomicInstant::new(Instant::BOOT),
            ended: AtomicInstant::new(Instant::BOOT),
            caller: AtomicU64::new(0),
        }
    }
}

/// What is kept for each thread, and for each CPU's trap handlers.
#[derive(Debug)]
pub(super) struct Record {
    sections: [AtomicU32; DEVICES],
    /// A bit for each key to which a fault handler gave the thread rights. Each counts as a section of the key's
    /// device.
    lent: AtomicU32,
    taken: AtomicUsize,
    grants: [Entry; REMEMBERED],
}

impl Record {
    const fn new() -> Self {
        Self {
            sections: [const { AtomicU32::new(0) }; DEVICES],
            lent: AtomicU32::new(0),
            taken: AtomicUsize::new(0),
            grants: [const { Entry::new() }; REMEMBERED],
        }
    }

    /// Leaves every section that the thread, which has ended, has not left.
    fn leave_sections(&self) {
        for (device, held) in devices().iter().zip(&self.sections) {
            for _ in 0..held.swap(0, Ordering::Relaxed) {
                device.leave_section();
            }
        }
        self.leave_lent_sections(Rights::CLOSED);
    }

    /// Leaves the sections of lent rights that `rights` no longer have.
    #[inline]
    fn leave_lent_sections(&self, rights: Rights) {
        if self.lent.load(Ordering::Relaxed) != 0 {
            for key in (1..16).filter(|&key| rights.access(key) == Access::Closed) {
                if self.lent.fetch_and(!(1 << key), Ordering::Relaxed) & 1 << key != 0 {
                    leave_section_of(key);
                }
            }
        }
    }

    #[inline]
    fn begin(&self, device: &Device, access: Access, caller: VirtAddr) -> usize {
        let number = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = &self.grants[number % REMEMBERED];
        entry.what.store(device.index() as u32 * 2 + u32::from(access == Access::Write), Ordering::Relaxed);
        entry.began.store(time::now(), Ordering::Relaxed);
        entry.ended.store(Instant::BOOT, Ordering::Relaxed);
        entry.caller.store(caller.as_u64(), Ordering::Relaxed);
        entry.number.store(number, Ordering::Relaxed);
        number
    }

    #[inline]
    fn end(&self, number: usize) {
        let entry = &self.grants[number % REMEMBERED];
        // Otherwise newer ones, inside of this one, have taken its place.
        if entry.number.load(Ordering::Relaxed) == number {
            entry.ended.store(time::now(), Ordering::Relaxed);
        }
    }
}

cpu_local! {
    /// What a CPU's trap handlers hold and have held.
    static HANDLERS: Record = Record::new();
}

per_thread! {
    /// What a thread holds and has held.
    static THREAD: Record = Record::new();
}

/// Writes the record of this CPU's trap handlers. Interrupts are disabled.
pub(crate) fn write_of_handlers(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    fmt::Display::fmt(HANDLERS.here(), f)
}

/// Writes the record of the running thread; nothing before there are threads.
pub(crate) fn write_of_thread(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    THREAD.here().map_or(Ok(()), |record| fmt::Display::fmt(record, f))
}

/// The running thread is killed: leaves the sections that it does not leave by itself any more.
pub(crate) fn leave_sections_of_thread() {
    if let Some(record) = THREAD.here() {
        record.leave_sections();
    }
}

/// Runs `use_record` with the record of the running context: the thread's, or of the CPU's handlers; `None` before
/// there are threads.
#[inline]
fn with_record<R>(use_record: impl FnOnce(&Record) -> R) -> Option<R> {
    if crate::arch::percpu::in_trap() {
        // A handler stays on its CPU.
        Some(use_record(HANDLERS.here()))
    } else {
        THREAD.here().map(use_record)
    }
}

/// What a fault handler may make of the interrupted context's rights if it wants them to be `wanted`: the same, without
/// keys that nobody owns or whose device is going away. In a thread each key that it opens counts as a section.
pub(super) fn lend(before: Rights, wanted: Rights, in_thread: bool) -> Rights {
    let mut rights = wanted;
    let record = THREAD.here().filter(|_| in_thread);
    for key in (1..16).filter_map(Key::from_number) {
        let number = key.number();
        if wanted.access(number) == Access::Closed || wanted.access(number) == before.access(number) {
            continue;
        }
        let lent = record.is_some_and(|record| record.lent.load(Ordering::Relaxed) & 1 << number != 0);
        match (owners::owner(number), record) {
            (Some(_), Some(_)) if lent => {}
            (Some(device), Some(record)) if device.enter_section() => {
                record.lent.fetch_or(1 << number, Ordering::Relaxed);
            }
            // A trap handler's rights end with it: see `lifecycle`.
            (Some(_), None) => {}
            _ => rights = rights.with(key, before.access(number)),
        }
    }
    if let Some(record) = record {
        record.leave_lent_sections(rights);
    }
    rights
}

/// The running thread's rights have been restored to these: leaves the sections of lent rights that it has no more.
pub(super) fn leave_lent_sections(rights: Rights) {
    if let Some(record) = THREAD.here()
        && !crate::arch::percpu::in_trap()
    {
        record.leave_lent_sections(rights);
    }
}

/// Enters a section of the owner of this key for one instruction that is let through; false if the device is going
/// away.
pub(super) fn enter_section_of(key: u8) -> bool {
    owners::owner(key).is_some_and(Device::enter_section)
}

/// Leaves a section that keeps the owner of this key.
pub(crate) fn leave_section_of(key: u8) {
    if let Some(device) = owners::owner(key) {
        device.leave_section();
    }
}

/// A section of the running context begins (`1`) or ends (`-1`).
#[inline]
pub(super) fn count_section(device: &Device, change: i32) {
    with_record(|record| {
        if let Some(held) = record.sections.get(device.index()) {
            held.fetch_add(change.cast_unsigned(), Ordering::Relaxed);
        }
    });
}

/// A grant of the running context begins, asked for at `caller`; its number, for [`end_grant`].
#[inline]
pub(super) fn begin_grant(device: &Device, access: Access, caller: VirtAddr) -> usize {
    trace(kind::GRANT, device, access);
    with_record(|record| record.begin(device, access, caller)).unwrap_or(0)
}

/// The grant with this number ends.
#[inline]
pub(super) fn end_grant(device: &Device, access: Access, number: usize) {
    with_record(|record| record.end(number));
    trace(kind::RELEASE, device, access);
}

#[inline]
fn trace(kind: u8, device: &Device, access: Access) {
    let detail = u8::from(access == Access::Write) | u8::from(crate::arch::percpu::in_trap()) << 1;
    trace::record(kind, detail, device.index() as u64);
}

impl fmt::Display for Record {
    /// A line for each grant that is remembered, the last one first, each after a line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.taken.load(Ordering::Relaxed);
        if last == 0 {
            return f.write_str(" none");
        }
        let numbers: [usize; REMEMBERED] = array::from_fn(|back| last.saturating_sub(back));
        for (place, number) in (1..).zip(numbers.into_iter().filter(|&number| number != 0)) {
            let entry = &self.grants[number % REMEMBERED];
            let what = entry.what.load(Ordering::Relaxed);
            let name = devices().get(what as usize / 2).map_or("?", Device::name);
            let access = if what % 2 == 1 { "write" } else { "read" };
            let (began, ended) = (entry.began.load(Ordering::Relaxed), entry.ended.load(Ordering::Relaxed));
            let grant = Grant {
                place,
                access,
                device: name,
                began: began.as_nanos(),
                ended: (ended != Instant::BOOT).then_some(ended.as_nanos()),
                caller: entry.caller.load(Ordering::Relaxed),
            };
            write!(f, "\n{grant}")?;
        }
        Ok(())
    }
}
