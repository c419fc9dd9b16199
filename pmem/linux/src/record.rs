//! The last grants of each thread, for a report.
//!
//! Constant in size, made of atomics, and in a thread-local variable that needs neither a beginning nor an end: it is
//! written on every grant and read by a signal handler, which may come at any moment. Only its own thread uses it.

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use libos_contract::report::{Grant, REMEMBERED};
use libos_contract::rights::Access;

use crate::devices::{self, Name, OpenDevice};
use crate::ticks::{self, Scale};

/// One grant: what for, when and by whom.
struct Entry {
    /// Counts from 1; 0 for an entry that is not used.
    number: AtomicUsize,
    /// The device's place in the table, times 2, plus 1 for writing.
    what: AtomicU32,
    began: AtomicU64,
    /// 0 as long as it is open.
    ended: AtomicU64,
    /// Where it was asked for.
    taker: AtomicU64,
}

impl Entry {
    const fn unused() -> Self {
        Self {
            number: AtomicUsize::new(0),
            what: AtomicU32::new(0),
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            taker: AtomicU64::new(0),
        }
    }
}

impl Entry {
    /// Writes a line feed and the line of a report.
    fn write(&self, f: &mut fmt::Formatter<'_>, place: usize, scale: &Scale) -> fmt::Result {
        let what = self.what.load(Ordering::Relaxed);
        let name = devices::at(what as usize / 2).map(OpenDevice::name);
        let ended = self.ended.load(Ordering::Relaxed);
        let grant = Grant {
            place,
            access: if what % 2 == 1 { "write" } else { "read" },
            device: name.as_ref().map_or("?", Name::as_str),
            began: scale.nanoseconds(self.began.load(Ordering::Relaxed)),
            ended: (ended != 0).then(|| scale.nanoseconds(ended)),
            caller: self.taker.load(Ordering::Relaxed),
        };
        write!(f, "\n{grant}")
    }
}

/// What a thread has been granted.
struct Record {
    taken: AtomicUsize,
    grants: [Entry; REMEMBERED],
}

thread_local! {
    static THREAD: Record = const {
        Record { taken: AtomicUsize::new(0), grants: [const { Entry::unused() }; REMEMBERED] }
    };
}

/// The address of the instruction that this stands in: of the caller's, where it is inlined.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
fn here() -> u64 {
    let address;
    // SAFETY: it reads the instruction pointer.
    unsafe { core::arch::asm!("lea {}, [rip]", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}

/// Where nobody reports faults nobody asks.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn here() -> u64 {
    0
}

/// A grant of this thread's begins; its number, for [`end`]. Inlined, as are the scopes that call it, so that a report
/// names who asked for it.
#[inline(always)]
pub(crate) fn begin(device: OpenDevice, access: Access) -> usize {
    begin_at(device, access, here())
}

#[inline]
fn begin_at(device: OpenDevice, access: Access, taker: u64) -> usize {
    THREAD.with(|record| {
        let number = record.taken.load(Ordering::Relaxed) + 1;
        #[cfg(not(miri))]
        if number == 1 {
            crate::alternate::ensure();
        }
        record.taken.store(number, Ordering::Relaxed);
        let entry = &record.grants[number % REMEMBERED];
        entry.what.store(device.index() as u32 * 2 + u32::from(access == Access::Write), Ordering::Relaxed);
        entry.began.store(ticks::now(), Ordering::Relaxed);
        entry.ended.store(0, Ordering::Relaxed);
        entry.taker.store(taker, Ordering::Relaxed);
        entry.number.store(number, Ordering::Relaxed);
        number
    })
}

/// This thread's grant with this number ends.
#[inline]
pub(crate) fn end(number: usize) {
    THREAD.with(|record| {
        let entry = &record.grants[number % REMEMBERED];
        // Otherwise newer ones, inside of this one, have taken its place.
        if entry.number.load(Ordering::Relaxed) == number {
            entry.ended.store(ticks::now(), Ordering::Relaxed);
        }
    });
}

/// Calls `each` with this thread's last grants, the newest first, and their places in that order.
fn for_each(mut each: impl FnMut(usize, &Entry)) {
    THREAD.with(|record| {
        let numbers = (1..=record.taken.load(Ordering::Relaxed)).rev().take(REMEMBERED);
        (1..).zip(numbers).for_each(|(place, number)| each(place, &record.grants[number % REMEMBERED]));
    });
}

/// A line for each of this thread's last grants, the newest first, each after a line feed.
pub(crate) struct LastGrants;

impl fmt::Display for LastGrants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = Scale::now();
        let mut written = Ok(());
        let mut is_any = false;
        for_each(|place, entry| {
            is_any = true;
            written = written.and_then(|()| entry.write(f, place, &scale));
        });
        if is_any { written } else { f.write_str(" none") }
    }
}

/// Where this thread's last grants were asked for, the newest first; 0 in the places of those that there are not.
pub(crate) fn takers() -> [u64; REMEMBERED] {
    let mut takers = [0; REMEMBERED];
    for_each(|place, entry| takers[place - 1] = entry.taker.load(Ordering::Relaxed));
    takers
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_thread_remembers_its_last_grants_and_which_are_open() {
        let device = devices::at(devices::MOST - 1).unwrap();
        let text = thread::spawn(move || {
            assert_eq!(LastGrants.to_string(), " none");
            for _ in 0..REMEMBERED {
                end(begin(device, Access::Read));
            }
            let outer = begin(device, Access::Write);
            end(begin(device, Access::Read));
            let text = LastGrants.to_string();
            end(outer);
            assert!(!LastGrants.to_string().contains("still open"));
            text
        });
        let text = text.join().unwrap();
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(lines.len(), REMEMBERED);
        assert!(lines[0].starts_with("    #1 read of ") && lines[0].contains(" to "), "{text}");
        assert!(
            lines[1].starts_with("    #2 write of ") && lines[1].contains(" on, still open, taken at 0x"),
            "{text}"
        );
        assert!(lines[2..].iter().all(|line| line.contains(" read of ") && line.contains(" to ")), "{text}");
    }

    #[test]
    fn an_end_that_newer_grants_have_overtaken_changes_nothing() {
        let device = devices::at(devices::MOST - 1).unwrap();
        let text = thread::spawn(move || {
            let first = begin(device, Access::Write);
            let newer: Vec<_> = (0..REMEMBERED).map(|_| begin(device, Access::Read)).collect();
            end(first);
            let text = LastGrants.to_string();
            newer.into_iter().for_each(end);
            text
        });
        let text = text.join().unwrap();
        assert_eq!(text.matches("still open").count(), REMEMBERED, "{text}");
        assert!(!text.contains("write"), "{text}");
    }
}
