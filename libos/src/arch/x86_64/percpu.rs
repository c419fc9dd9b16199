//! Each CPU's own data, reached by GS.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

/// What one CPU keeps for itself.
#[repr(C)]
pub struct PerCpu {
    this: UnsafeCell<*const PerCpu>,
    /// The thread that runs here; the scheduler's.
    pub(crate) current: AtomicPtr<crate::task::Thread>,
    /// The number of this CPU, from 0.
    pub id: u32,
    /// What IA32_PKRS holds, or a mark that this is not known; [`super::pks`]'s.
    pub(super) pkrs: AtomicU64,
    /// How many traps are being handled, one inside the other.
    pub(crate) trap_depth: AtomicU32,
    /// Whether the scheduler should choose again before the trap returns.
    pub(crate) reschedule: AtomicBool,
}

// SAFETY: `this` is written once, before any other code runs on the CPU; all else is atomic.
unsafe impl Sync for PerCpu {}

static BOOT_CPU: PerCpu = PerCpu {
    this: UnsafeCell::new(ptr::null()),
    current: AtomicPtr::new(ptr::null_mut()),
    id: 0,
    pkrs: AtomicU64::new(super::pks::UNKNOWN),
    trap_depth: AtomicU32::new(0),
    reschedule: AtomicBool::new(false),
};

/// Points GS at the boot CPU's data.
///
/// # Safety
/// Called once, on the boot CPU, before anything uses [`this`].
pub(super) unsafe fn init() {
    // SAFETY: nothing else runs yet, so nobody reads `this`.
    unsafe { *BOOT_CPU.this.get() = &raw const BOOT_CPU };
    GsBase::write(VirtAddr::from_ptr(&raw const BOOT_CPU));
}

/// The data of the CPU that runs this. A thread may move to another CPU at any time: use it with preemption off, or for
/// what may be out of date.
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
