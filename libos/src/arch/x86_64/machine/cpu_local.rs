//! Variables of which each CPU has its own, declared where they are used: nothing lists them all.
//!
//! The linker puts their initial values side by side; they are never written. Each CPU gets a copy before it runs
//! anything else, and keeps how far its copy is from them, so that reaching a variable takes one addition.

use core::ptr;

use super::percpu::{self, MAX_CPUS, PerCpu};

unsafe extern "C" {
    static cpu_local_start: u8;
    static cpu_local_end: u8;
    /// Room for [`MAX_CPUS`] copies.
    static cpu_local_copies: u8;
    static cpu_local_copies_end: u8;
}

/// A variable of which each CPU has its own; [`cpu_local!`] declares one.
pub(crate) struct CpuLocal<T>(T);

impl<T: Sync> CpuLocal<T> {
    /// A variable with this value at first.
    ///
    /// # Safety
    /// It is the value of a static in the section `.cpu_local`, and copies of its bytes are values of their own.
    pub(crate) const unsafe fn new(initial: T) -> Self {
        Self(initial)
    }

    /// That of the CPU that runs this. A thread may move to another CPU at any time: use it with interrupts disabled.
    #[inline(always)]
    pub(crate) fn here(&'static self) -> &'static T {
        self.on(percpu::this())
    }

    /// That of this CPU.
    #[inline(always)]
    pub(crate) fn on(&'static self, cpu: &PerCpu) -> &'static T {
        let address = ptr::from_ref(&self.0).expose_provenance().wrapping_add(cpu.local_offset());
        // SAFETY: the static lies among the initial values (`new`'s contract), and at the same place in the CPU's copy
        // is its own, of the same type and for ever; shared, as `T` allows. Of a CPU that has not begun, it is the
        // initial value.
        unsafe { &*ptr::with_exposed_provenance::<T>(address) }
    }
}

/// Makes the copy of the CPU with this number; how far it is from the initial values.
///
/// # Safety
/// Called once for each number, before anything of that CPU's is used.
pub(super) unsafe fn copy(id: usize) -> usize {
    let start = &raw const cpu_local_start;
    let length = (&raw const cpu_local_end).addr() - start.addr();
    let copies = (&raw const cpu_local_copies).cast_mut();
    assert!(copies.addr() + MAX_CPUS * length <= (&raw const cpu_local_copies_end).addr(), "every CPU has a copy");
    let copy = copies.wrapping_add(id * length);
    // SAFETY: the linker script gives room for so many copies, and nobody uses this one yet; values may be copied
    // (`CpuLocal::new`'s contract), and nobody writes to the initial ones.
    unsafe { ptr::copy_nonoverlapping(start, copy, length) };
    copy.expose_provenance().wrapping_sub(start.addr())
}

/// Declares a variable of which each CPU has its own. Its value is of atomics, without pointers into itself.
macro_rules! cpu_local {
    ($(#[$doc:meta])* $visibility:vis static $name:ident: $type:ty = $initial:expr;) => {
        $(#[$doc])*
        #[unsafe(link_section = ".cpu_local")]
        // SAFETY: it lies in the section; that its bytes may be copied is what who declares it says.
        $visibility static $name: $crate::arch::CpuLocal<$type> = unsafe { $crate::arch::CpuLocal::new($initial) };
    };
}
pub(crate) use cpu_local;
