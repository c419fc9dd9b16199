//! What tests have a non-maskable interrupt do: it comes where nothing else does, between any two instructions.

use core::sync::atomic::{AtomicUsize, Ordering};

/// The address of the `fn()` that handles a non-maskable interrupt; 0 if there is none.
static NMI_HANDLER: AtomicUsize = AtomicUsize::new(0);

/// Sets what a non-maskable interrupt does, beyond being counted if nobody has asked for it. The handler runs closed
/// like every other, on the stack for such interrupts, between any two instructions: it must not wait, allocate, or
/// take a lock. Those by which a report stops the other CPUs do not reach it.
pub fn set_nmi_handler(handler: Option<fn()>) {
    NMI_HANDLER.store(handler.map_or(0, |handler| handler as usize), Ordering::Release);
}

/// The handler that was set.
pub(super) fn nmi_handler() -> Option<fn()> {
    let handler = NMI_HANDLER.load(Ordering::Acquire);
    // SAFETY: only `set_nmi_handler` stores there; what is not 0 is the address of a `fn()`.
    (handler != 0).then(|| unsafe { core::mem::transmute::<usize, fn()>(handler) })
}
