//! Each CPU's own data, reached by GS.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

pub use libos_contract::limits::MAX_CPUS;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

use super::cpu_local;

/// Sets of CPUs have a bit for each.
const _: () = assert!(MAX_CPUS <= u64::BITS as usize);

/// A number that only grows. Each CPU has its own, so counting disturbs no other.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The number.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts `number` more.
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }
}

/// What has happened on one CPU.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) calls: Counter,
    pub(crate) shootdowns: Counter,
    pub(crate) shootdown_interrupts: Counter,
    pub(crate) shootdowns_deferred: Counter,
    pub(crate) interrupts: Counter,
}

impl Counters {
    const fn new() -> Self {
        Self {
            calls: Counter::new(),
            shootdowns: Counter::new(),
            shootdown_interrupts: Counter::new(),
            shootdowns_deferred: Counter::new(),
            interrupts: Counter::new(),
        }
    }
}

/// What one CPU keeps for itself.
#[repr(C)]
pub struct PerCpu {
    this: UnsafeCell<*const PerCpu>,
    /// The thread that runs here, which [`mod@super::per_thread`] knows the head of, and only the scheduler more; null
    /// before there are threads.
    pub(crate) current: AtomicPtr<()>,
    /// How far this CPU's copy of [`super::cpu_local!`]'s variables is from their initial values.
    local_offset: AtomicUsize,
    /// The number of this CPU, from 0.
    pub id: u32,
    /// How many traps are being handled, one inside the other.
    pub(crate) trap_depth: AtomicU32,
    /// Whether a non-maskable interrupt is being handled.
    pub(crate) in_nmi: AtomicBool,
    /// What the protection-key register holds, or a mark that this is not known; [`super::key_rights`]'s.
    pub(super) key_rights: AtomicU64,
    /// The local APIC's identifier.
    pub(super) apic_id: AtomicU32,
    /// Whether the CPU runs threads.
    pub(crate) online: AtomicBool,
    /// Whether the scheduler should choose again before the trap returns.
    pub(crate) reschedule: AtomicBool,
    /// Whether the CPU uses its cached translations; [`super::shootdown`]'s.
    pub(super) translations: AtomicU8,
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
            local_offset: AtomicUsize::new(0),
            id,
            trap_depth: AtomicU32::new(0),
            in_nmi: AtomicBool::new(false),
            key_rights: AtomicU64::new(super::key_rights::UNKNOWN),
            apic_id: AtomicU32::new(0),
            online: AtomicBool::new(false),
            reschedule: AtomicBool::new(false),
            translations: AtomicU8::new(super::shootdown::translations::USED),
            counters: Counters::new(),
        }
    }

    pub(super) fn local_offset(&self) -> usize {
        self.local_offset.load(Ordering::Relaxed)
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
pub(in crate::arch) unsafe fn init(id: usize) {
    let cpu = &CPUS[id];
    // SAFETY: nothing else runs on this CPU yet, and others do not read `this`; the number is this CPU's own.
    unsafe {
        *cpu.this.get() = cpu;
        cpu.local_offset.store(cpu_local::copy(id), Ordering::Relaxed);
    }
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
#[inline]
pub fn this() -> &'static PerCpu {
    let pointer: *const PerCpu;
    // SAFETY: `init` pointed GS at a static `PerCpu` whose `this` field points at itself.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) pointer, offset = const offset_of!(PerCpu, this),
            options(nostack, readonly, preserves_flags));
        &*pointer
    }
}

/// The thread that runs this, as one instruction: right even if the thread moves to another CPU. Null before
/// there are threads.
#[inline]
pub(crate) fn current_thread() -> *mut () {
    let pointer;
    // SAFETY: as in `this`.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) pointer, offset = const offset_of!(PerCpu, current),
            options(nostack, readonly, preserves_flags));
    }
    pointer
}

/// The number of the CPU that runs this, from 0. A thread that is not pinned may be elsewhere when this returns.
#[inline]
pub fn current_id() -> u32 {
    let id: u32;
    // SAFETY: as in `this`.
    unsafe {
        asm!("mov {:e}, gs:[{offset}]", out(reg) id, offset = const offset_of!(PerCpu, id),
            options(nostack, readonly, preserves_flags));
    }
    id
}

/// Whether this CPU is handling a non-maskable interrupt, where a fault is final. As one instruction: a thread sees
/// false wherever it is.
#[inline]
pub(crate) fn in_nmi() -> bool {
    let flag: u8;
    // SAFETY: as in `this`.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg_byte) flag, offset = const offset_of!(PerCpu, in_nmi),
            options(nostack, readonly, preserves_flags));
    }
    flag != 0
}

/// How many traps this CPU is handling, as one instruction: a thread that runs in none sees 0 wherever it is.
#[inline]
pub(crate) fn trap_depth() -> u32 {
    let depth: u32;
    // SAFETY: as in `this`.
    unsafe {
        asm!("mov {:e}, gs:[{offset}]", out(reg) depth, offset = const offset_of!(PerCpu, trap_depth),
            options(nostack, readonly, preserves_flags));
    }
    depth
}

/// Whether this CPU is handling a trap. What may sleep asks this first.
#[inline]
pub(crate) fn in_trap() -> bool {
    trap_depth() != 0
}
