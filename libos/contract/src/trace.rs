//! What a region of traces looks like: the guest fills it, and the host reads it.
//!
//! All numbers are words of 8 bytes, little-endian, at multiples of 8.
//!
//! ```text
//!          0    header (below)
//!      4 KiB    threads: for each a slot of 32 bytes, its identifier modulo the number of slots: the identifier, then
//!               the name, 24 bytes
//!    132 KiB    a ring for each CPU, one after the other: a line of 64 bytes that begins with how many events were
//!               written ever, then the events, 32 bytes each
//!
//! event     0   the time-stamp counter
//!           8   bits 0 to 7 the kind, 8 to 15 the detail, 32 to 63 the thread
//!          16   the value
//!          24   the event's number on this CPU, from 1 on, written last: another number is of an event that was
//!               overwritten, or is not complete
//! ```

/// What a region begins with. The host writes it, so that no other device is taken for one.
pub const MAGIC: u64 = u64::from_le_bytes(*b"HFTRACE1");

/// Where in the header [`MAGIC`] is.
pub const HEADER_MAGIC: usize = 0;
/// How many CPUs there are at most; the host writes it.
pub const HEADER_CPUS: usize = 8;
/// Nanoseconds per count of the time-stamp counter, times 2^32; the guest writes it.
pub const HEADER_SCALE: usize = 16;
/// How many events fit into a ring; the guest writes it, last, and with that the trace begins.
pub const HEADER_CAPACITY: usize = 24;
/// The names of the persistent-memory devices, 16 bytes each.
pub const HEADER_DEVICES: usize = 64;

/// How many devices have names.
pub const DEVICES: usize = 64;
/// The bytes of a device's name.
pub const DEVICE_NAME: usize = 16;

/// Where the threads are.
pub const THREADS: usize = 4096;
/// How many slots for threads there are.
pub const THREAD_SLOTS: usize = 4096;
/// The bytes of such a slot.
pub const THREAD_SLOT: usize = 32;
/// Where in it the name is.
pub const THREAD_NAME: usize = 8;

/// Where the rings begin.
pub const RINGS: usize = THREADS + THREAD_SLOTS * THREAD_SLOT;
/// The bytes in front of a ring's events.
pub const RING_HEAD: usize = 64;
/// The bytes of an event.
pub const EVENT: usize = 32;

/// How many events fit into each of `cpus` rings of a region of `length` bytes: a power of two, or 0.
pub const fn capacity(length: usize, cpus: usize) -> usize {
    if length <= RINGS || cpus == 0 {
        return 0;
    }
    let events = ((length - RINGS) / cpus).saturating_sub(RING_HEAD) / EVENT;
    if events == 0 { 0 } else { 1 << events.ilog2() }
}

/// Where the ring of a CPU begins.
pub const fn ring(cpu: usize, capacity: usize) -> usize {
    RINGS + cpu * (RING_HEAD + capacity * EVENT)
}

/// The kinds of events, and what their thread, value and detail are.
pub mod kind {
    /// The thread gives its CPU to the thread `value`. Detail: why, of [`super::why`].
    pub const SWITCH: u8 = 1;
    /// The thread, or an interrupt that came while it ran, makes the thread `value` ready.
    pub const WAKE: u8 = 2;
    /// A grant begins, of the device `value`. Detail: bit 0 for writing, bit 1 in a trap handler.
    pub const GRANT: u8 = 3;
    /// The innermost grant that is open ends. Value and detail as it began.
    pub const RELEASE: u8 = 4;
    /// A stray access to the address `value`. Detail: 1 for a write.
    pub const FAULT: u8 = 5;
    /// An interrupt comes. Detail: its vector.
    pub const INTERRUPT: u8 = 6;
    /// Its handler is done.
    pub const RETURN: u8 = 7;
}

/// The name of the threads that run where no other wants to. No other thread has it.
pub const IDLE: &str = "idle";

/// Why a thread gives up its CPU.
pub mod why {
    /// An interrupt made another thread more urgent, or its time was up.
    pub const PREEMPTED: u8 = 0;
    /// It let others go first.
    pub const YIELDED: u8 = 1;
    /// It waits for a futex: one of std's locks, channels or joins.
    pub const FUTEX: u8 = 2;
    /// It waits for something of the library's, such as a socket.
    pub const QUEUE: u8 = 3;
    /// It sleeps for some time.
    pub const SLEEP: u8 = 4;
    /// It has ended.
    pub const ENDED: u8 = 5;
}
