//! Variables of which each thread has its own, declared where they are used: nothing lists them all.
//!
//! As for those of the CPUs (see [`mod@super::cpu_local`]), the linker puts their initial values side by side. A
//! thread has a copy from its beginning to its end, and begins with a [`ThreadHead`], which says how far the copy is
//! from them. What a thread is otherwise, only the scheduler knows.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::num::NonZeroU32;
use core::ptr::{self, NonNull};

use super::percpu;

/// The linker script aligns the initial values to it.
const ALIGN: usize = 64;

unsafe extern "C" {
    static per_thread_start: u8;
    static per_thread_end: u8;
}

/// What every thread begins with.
#[derive(Debug)]
pub(crate) struct ThreadHead {
    /// How far the thread's variables are from their initial values.
    offset: usize,
    variables: NonNull<u8>,
    id: NonZeroU32,
}

// SAFETY: the memory of the variables is the thread's as long as this is there, and they are shared as their types,
// which are `Sync`, allow; this value only frees it.
unsafe impl Send for ThreadHead {}
// SAFETY: as for `Send`.
unsafe impl Sync for ThreadHead {}

/// The memory of one thread's variables. There are some: the library declares them.
fn layout() -> Layout {
    let length = (&raw const per_thread_end).addr() - (&raw const per_thread_start).addr();
    Layout::from_size_align(length, ALIGN).expect("the image's variables fit into memory")
}

impl ThreadHead {
    /// The head of a thread with this number, with variables that have their initial values; `None` when memory is
    /// full.
    pub(crate) fn new(id: NonZeroU32) -> Option<Self> {
        let start = &raw const per_thread_start;
        let layout = layout();
        // SAFETY: the length is not 0 (see `layout`).
        let variables = NonNull::new(unsafe { alloc(layout) })?;
        // SAFETY: the linker script puts so many bytes at the start; values may be copied (`PerThread::new`'s
        // contract), and nobody writes to the initial ones.
        unsafe { ptr::copy_nonoverlapping(start, variables.as_ptr(), layout.size()) };
        let offset = variables.as_ptr().expose_provenance().wrapping_sub(start.addr());
        Some(Self { offset, variables, id })
    }

    /// The thread's number.
    pub(crate) fn id(&self) -> NonZeroU32 {
        self.id
    }
}

impl Drop for ThreadHead {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; the thread has ended.
        unsafe { dealloc(self.variables.as_ptr(), layout()) };
    }
}

/// The head of the thread that runs this, for as long as the caller runs; `None` before there are threads.
#[inline(always)]
pub(crate) fn current<'a>() -> Option<&'a ThreadHead> {
    // SAFETY: the scheduler keeps the running thread's address there, which is that of its head, and the thread lives
    // as long as it runs this code.
    unsafe { percpu::current_thread().cast::<ThreadHead>().as_ref() }
}

/// The number of the thread that runs this; 0 before there are threads.
pub(crate) fn thread_id() -> u32 {
    current().map_or(0, |head| head.id.get())
}

/// A variable of which each thread has its own; [`per_thread!`] declares one.
pub(crate) struct PerThread<T>(T);

impl<T: Sync> PerThread<T> {
    /// A variable with this value at first.
    ///
    /// # Safety
    /// It is the value of a static in the section `.per_thread`, and copies of its bytes are values of their own that
    /// need no drop.
    pub(crate) const unsafe fn new(initial: T) -> Self {
        Self(initial)
    }

    /// That of the thread that runs this, for as long as the caller runs; `None` before there are threads.
    #[inline(always)]
    pub(crate) fn here<'a>(&'static self) -> Option<&'a T> {
        let offset = current()?.offset;
        let address = ptr::from_ref(&self.0).expose_provenance().wrapping_add(offset);
        // SAFETY: the static lies among the initial values (`new`'s contract), and at the same place in the thread's
        // copy is its own, of the same type, as long as the thread lives; shared, as `T` allows.
        Some(unsafe { &*ptr::with_exposed_provenance::<T>(address) })
    }
}

/// Declares a variable of which each thread has its own. Its value is of atomics, without pointers into itself, and
/// needs no drop.
macro_rules! per_thread {
    ($(#[$doc:meta])* static $name:ident: $type:ty = $initial:expr;) => {
        $(#[$doc])*
        #[unsafe(link_section = ".per_thread")]
        // SAFETY: it lies in the section; that its bytes may be copied is what who declares it says.
        static $name: $crate::arch::PerThread<$type> = unsafe { $crate::arch::PerThread::new($initial) };
    };
}
pub(crate) use per_thread;
