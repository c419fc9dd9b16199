//! Each CPU's own data, reached by GS.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

pub use libos_contract::limits::MAX_CPUS;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

use crate::sync::Held;

/// Sets of CPUs have a bit for each.
const _: () = assert!(MAX_CPUS <= u64::BITS as usize);

/// A number that only grows. Each CPU has its own, so counting disturbs no other.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts `number` more.
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }
}

/// What has happened on one CPU.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) switches: Counter,
    pub(crate) migrations: Counter,
    pub(crate) calls: Counter,
    pub(crate) shootdowns: Counter,
    pub(crate) shootdown_interrupts: Counter,
    pub(crate) shootdowns_deferred: Counter,
    pub(crate) interrupts: Counter,
    pub(crate) busy_ns: Counter,
}

impl Counters {
    const fn new() -> Self {
        Self {
            switches: Counter::new(),
            migrations: Counter::new(),
            calls: Counter::new(),
            shootdowns: Counter::new(),
            shootdown_interrupts: Counter::new(),
            shootdowns_deferred: Counter::new(),
            interrupts: Counter::new(),
            busy_ns: Counter::new(),
        }
    }

    fn read(&self) -> Statistics {
        let read = |counter: &Counter| counter.0.load(Ordering::Relaxed);
        Statistics {
            switches: read(&self.switches),
            migrations: read(&self.migrations),
            calls: read(&self.calls),
            shootdowns: read(&self.shootdowns),
            shootdown_interrupts: read(&self.shootdown_interrupts),
            shootdowns_deferred: read(&self.shootdowns_deferred),
            interrupts: read(&self.interrupts),
            busy_ns: read(&self.busy_ns),
        }
    }
}

/// What one CPU, or all together, have done since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Switches from one thread to another, idle threads included.
    pub switches: u64,
    /// Switches to a thread that ran on another CPU before, or for the first time.
    pub migrations: u64,
    /// Interrupts by which one CPU made another one look for threads.
    pub calls: u64,
    /// How often translations were dropped everywhere.
    pub shootdowns: u64,
    /// Interrupts that this took.
    pub shootdown_interrupts: u64,
    /// Notes that this left for CPUs that rested, instead of interrupts.
    pub shootdowns_deferred: u64,
    /// Interrupts that came, exceptions and non-maskable ones not counted.
    pub interrupts: u64,
    /// Nanoseconds in which threads ran, idle ones not counted.
    pub busy_ns: u64,
}

/// What each CPU that runs threads has done, with its number.
pub fn statistics_by_cpu() -> impl Iterator<Item = (u32, Statistics)> {
    online().map(|cpu| {
        let counted = cpu.counters.read();
        (cpu.id, Statistics { busy_ns: counted.busy_ns + cpu.busy_now(), ..counted })
    })
}

/// The sums over all CPUs. They are read one after the other while all run on.
pub fn statistics() -> Statistics {
    statistics_by_cpu().fold(Statistics::default(), |sum, (_, one)| Statistics {
        switches: sum.switches + one.switches,
        migrations: sum.migrations + one.migrations,
        calls: sum.calls + one.calls,
        shootdowns: sum.shootdowns + one.shootdowns,
        shootdown_interrupts: sum.shootdown_interrupts + one.shootdown_interrupts,
        shootdowns_deferred: sum.shootdowns_deferred + one.shootdowns_deferred,
        interrupts: sum.interrupts + one.interrupts,
        busy_ns: sum.busy_ns + one.busy_ns,
    })
}

/// What one CPU keeps for itself.
#[repr(C)]
pub struct PerCpu {
    this: UnsafeCell<*const PerCpu>,
    /// The thread that runs here; the scheduler's.
    pub(crate) current: AtomicPtr<crate::task::Thread>,
    /// The thread that runs here when no other is ready; the scheduler's.
    pub(crate) idle: AtomicPtr<crate::task::Thread>,
    /// The number of this CPU, from 0.
    pub id: u32,
    /// How many traps are being handled, one inside the other.
    pub(crate) trap_depth: AtomicU32,
    /// Whether a non-maskable interrupt is being handled.
    pub(crate) in_nmi: AtomicBool,
    /// Where the next page fault finds its stack; [`super::gdt`]'s.
    pub(super) page_fault_stack: super::gdt::PageFaultStack,
    /// What trap handlers hold and have held of persistent memory; `dax`'s.
    pub(crate) record: crate::dax::Record,
    /// What the protection-key register holds, or a mark that this is not known; [`super::key_rights`]'s.
    pub(super) key_rights: AtomicU64,
    /// Steps of trap handlers, by depth; [`super::single_step`]'s.
    pub(super) steps: [super::single_step::Step; super::single_step::DEPTHS],
    /// The local APIC's identifier.
    pub(super) apic_id: AtomicU32,
    /// Whether the CPU runs threads.
    pub(crate) online: AtomicBool,
    /// Whether the scheduler should choose again before the trap returns.
    pub(crate) reschedule: AtomicBool,
    /// When the running thread's slice ends, or `u64::MAX` while nobody waits for its CPU.
    pub(crate) slice_end: AtomicU64,
    /// The deadline for which the timer is armed, or `u64::MAX`.
    pub(crate) armed_for: AtomicU64,
    /// Since when other threads than the idle one run here, or `u64::MAX` while none does.
    busy_since: AtomicU64,
    /// Whether the CPU uses its cached translations; [`super::shootdown`]'s.
    pub(super) translations: AtomicU8,
    /// The spinlocks that are held here; [`crate::sync`]'s.
    pub(crate) held: Held,
    /// What has happened here since boot.
    pub(crate) counters: Counters,
}

// SAFETY: `this` is written once, before any other code runs on the CPU; all else is atomic or constant.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    const fn new(id: u32) -> Self {
        Self {
            this: UnsafeCell::new(ptr::null()),
            current: AtomicPtr::new(ptr::null_mut()),
            idle: AtomicPtr::new(ptr::null_mut()),
            id,
            trap_depth: AtomicU32::new(0),
            in_nmi: AtomicBool::new(false),
            page_fault_stack: super::gdt::PageFaultStack::new(),
            record: crate::dax::Record::new(),
            key_rights: AtomicU64::new(super::key_rights::UNKNOWN),
            steps: [const { super::single_step::Step::new() }; super::single_step::DEPTHS],
            apic_id: AtomicU32::new(0),
            online: AtomicBool::new(false),
            reschedule: AtomicBool::new(false),
            slice_end: AtomicU64::new(u64::MAX),
            armed_for: AtomicU64::new(u64::MAX),
            busy_since: AtomicU64::new(u64::MAX),
            translations: AtomicU8::new(super::shootdown::translations::USED),
            held: Held::new(),
            counters: Counters::new(),
        }
    }

    /// Notes that the CPU goes from its idle thread to another one, or back.
    pub(crate) fn set_busy(&self, busy: bool, now_ns: u64) {
        let since = self.busy_since.swap(if busy { now_ns } else { u64::MAX }, Ordering::Relaxed);
        if since != u64::MAX {
            self.counters.busy_ns.add(now_ns.saturating_sub(since));
        }
    }

    /// For how many nanoseconds it has not been idle by now.
    fn busy_now(&self) -> u64 {
        match self.busy_since.load(Ordering::Relaxed) {
            u64::MAX => 0,
            since => super::tsc::nanoseconds().saturating_sub(since),
        }
    }
}

static CPUS: [PerCpu; MAX_CPUS] = {
    let mut all = [const { PerCpu::new(0) }; MAX_CPUS];
    let mut id = 0;
    while id < MAX_CPUS {
        all[id] = PerCpu::new(id as u32);
        id += 1;
    }
    all
};

/// How many CPUs run threads.
static ONLINE: AtomicUsize = AtomicUsize::new(0);

/// Points GS at the data of the CPU with this number.
///
/// # Safety
/// Called once on each CPU, with a number of its own below [`MAX_CPUS`], before anything there uses [`this`].
pub(super) unsafe fn init(id: usize) {
    let cpu = &CPUS[id];
    // SAFETY: nothing else runs on this CPU yet, and others do not read `this`.
    unsafe { *cpu.this.get() = cpu };
    GsBase::write(VirtAddr::from_ptr(cpu));
}

/// Says that this CPU runs threads from now on.
pub(crate) fn set_online() {
    this().online.store(true, Ordering::Release);
    ONLINE.fetch_add(1, Ordering::Release);
}

/// How many CPUs run threads.
pub fn online_count() -> usize {
    ONLINE.load(Ordering::Acquire)
}

/// The data of the CPU with this number, which is below [`MAX_CPUS`].
pub(crate) fn get(id: u32) -> &'static PerCpu {
    &CPUS[id as usize]
}

/// Every CPU that runs threads.
pub(crate) fn online() -> impl Iterator<Item = &'static PerCpu> {
    CPUS.iter().filter(|cpu| cpu.online.load(Ordering::Acquire))
}

/// The data of the CPU that runs this. A thread may move to another CPU at any time: use it with interrupts disabled.
pub fn this() -> &'static PerCpu {
    let pointer: *const PerCpu;
    // SAFETY: `init` pointed GS at a static `PerCpu` whose `this` field points at itself.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) pointer, offset = const offset_of!(PerCpu, this),
            options(nostack, readonly, preserves_flags));
        &*pointer
    }
}

/// The thread that runs this, as one instruction: right even if the thread moves to another CPU. Null before there are
/// threads.
pub(crate) fn current_thread() -> *mut crate::task::Thread {
    let pointer;
    // SAFETY: as in `this`.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) pointer, offset = const offset_of!(PerCpu, current),
            options(nostack, readonly, preserves_flags));
    }
    pointer
}

/// The number of the CPU that runs this, from 0. A thread that is not pinned may be elsewhere when this returns.
pub fn current_id() -> u32 {
    let id: u32;
    // SAFETY: as in `this`.
    unsafe {
        asm!("mov {:e}, gs:[{offset}]", out(reg) id, offset = const offset_of!(PerCpu, id),
            options(nostack, readonly, preserves_flags));
    }
    id
}

/// Whether this CPU is handling a non-maskable interrupt, as one instruction.
pub(super) fn in_nmi() -> bool {
    let flag: u8;
    // SAFETY: as in `this`.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg_byte) flag, offset = const offset_of!(PerCpu, in_nmi),
            options(nostack, readonly, preserves_flags));
    }
    flag != 0
}

/// How many traps this CPU is handling, as one instruction: a thread that runs in none sees 0 wherever it is.
pub(crate) fn trap_depth() -> u32 {
    let depth: u32;
    // SAFETY: as in `this`.
    unsafe {
        asm!("mov {:e}, gs:[{offset}]", out(reg) depth, offset = const offset_of!(PerCpu, trap_depth),
            options(nostack, readonly, preserves_flags));
    }
    depth
}
