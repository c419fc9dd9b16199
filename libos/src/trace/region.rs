//! The region: handed over at boot, then written by every CPU.

use core::array;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::layout;
use crate::arch::{counter, interrupts, percpu, thread_id};

/// Where the region is mapped; null if there is none.
static REGION: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// How many events fit into a ring, and how many rings there are.
static CAPACITY: AtomicUsize = AtomicUsize::new(0);
static CPUS: AtomicUsize = AtomicUsize::new(0);

/// Whether a region of this length has room for anything.
pub(crate) fn fits(length: usize) -> bool {
    length >= layout::RINGS
}

/// Begins to record in this region; how many events of each CPU it has room for. `None` if the host has not made it for
/// a trace, or with too little room: it is left alone then.
///
/// # Safety
/// The region is mapped with this length, for ever, and it [`fits`].
pub(crate) unsafe fn begin(region: NonNull<u8>, length: usize) -> Option<usize> {
    let region = region.as_ptr();
    // SAFETY: the caller's; the header is in the region.
    let header = |offset| unsafe { word(region, offset) };
    let cpus = header(layout::HEADER_CPUS).load(Ordering::Relaxed).min(percpu::MAX_CPUS as u64) as usize;
    let capacity = layout::capacity(length, cpus);
    if header(layout::HEADER_MAGIC).load(Ordering::Relaxed) != layout::MAGIC || capacity == 0 {
        return None;
    }
    header(layout::HEADER_SCALE).store(counter::scale(), Ordering::Relaxed);
    header(layout::HEADER_CAPACITY).store(capacity as u64, Ordering::Release);
    CPUS.store(cpus, Ordering::Relaxed);
    CAPACITY.store(capacity, Ordering::Relaxed);
    REGION.store(region, Ordering::Release);
    Some(capacity)
}

/// A word of the region.
///
/// # Safety
/// `region` is what [`begin`] was given, and `offset`, a multiple of eight, is within its length.
unsafe fn word<'a>(region: *mut u8, offset: usize) -> &'a AtomicU64 {
    // SAFETY: the caller's: the word is mapped for ever, and aligned, since the region begins at a page. It is only
    // ever reached as an atomic; that the host reads it at the same time is the same as another CPU doing so.
    unsafe { AtomicU64::from_ptr(region.add(offset).cast()) }
}

/// Records an event of the running thread, if anybody wants one. See [`layout::kind`] for what its parts are.
#[inline(always)]
pub(crate) fn record(kind: u8, detail: u8, value: u64) {
    let region = REGION.load(Ordering::Relaxed);
    if !region.is_null() {
        write(region, kind, detail, value);
    }
}

#[cold]
fn write(region: *mut u8, kind: u8, detail: u8, value: u64) {
    let what = u64::from(kind) | u64::from(detail) << 8 | u64::from(thread_id()) << 32;
    // The ring stays this CPU's until the event is written, and the times in it do not go back.
    let enabled = interrupts::disable();
    let (cpu, capacity) = (percpu::this().id as usize, CAPACITY.load(Ordering::Relaxed));
    if cpu < CPUS.load(Ordering::Relaxed) {
        let ring = layout::ring(cpu, capacity);
        // SAFETY: `layout::capacity` has made the rings of all CPUs fit into the region.
        let word = |offset| unsafe { word(region, ring + offset) };
        // One step, for a non-maskable interrupt may come in between, and then has the next place.
        let number = word(0).fetch_add(1, Ordering::Relaxed);
        let event = layout::RING_HEAD + (number as usize & (capacity - 1)) * layout::EVENT;
        word(event + 24).store(0, Ordering::Release);
        word(event).store(counter::read(), Ordering::Relaxed);
        word(event + 8).store(what, Ordering::Relaxed);
        word(event + 16).store(value, Ordering::Relaxed);
        word(event + 24).store(number + 1, Ordering::Release);
    }
    interrupts::restore(enabled);
}

/// Whether anybody wants events.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    !REGION.load(Ordering::Relaxed).is_null()
}

/// Gives a thread its name in the trace.
pub(crate) fn name_thread(thread: u32, name: &str) {
    let region = REGION.load(Ordering::Relaxed);
    if region.is_null() {
        return;
    }
    let slot = layout::THREADS + thread as usize % layout::THREAD_SLOTS * layout::THREAD_SLOT;
    // SAFETY: the slots are in front of the rings, and a region has rings.
    unsafe { word(region, slot) }.store(u64::from(thread), Ordering::Relaxed);
    put(region, slot + layout::THREAD_NAME..slot + layout::THREAD_SLOT, name);
}

/// Gives a device its name in the trace.
pub(crate) fn name_device(index: usize, name: &str) {
    let region = REGION.load(Ordering::Relaxed);
    if !region.is_null() && index < layout::DEVICES {
        let at = layout::HEADER_DEVICES + index * layout::DEVICE_NAME;
        put(region, at..at + layout::DEVICE_NAME, name);
    }
}

/// Puts a text into a range of the header or of the threads' slots, as far as it fits, with zeros after it.
fn put(region: *mut u8, range: Range<usize>, text: &str) {
    let mut bytes = text.bytes();
    for at in range.step_by(8) {
        let part: [u8; 8] = array::from_fn(|_| bytes.next().unwrap_or(0));
        // SAFETY: what is in front of the rings is in the region.
        unsafe { word(region, at) }.store(u64::from_le_bytes(part), Ordering::Relaxed);
    }
}
