//! Grants end before a panic's hook runs.
//!
//! A panic aborts on this target, so no grant's scope is left, and `std` calls nothing of ours before it runs the hook.
//! So the library puts itself in front of `std`'s own hook. A program that replaces the hook, and does not call the one
//! that it has taken, has to end the grants itself. The message is formatted before any hook, in the scope.

extern crate std;

use alloc::boxed::Box;

use super::record;
use crate::arch::key_rights;
use crate::keys::Rights;

/// Ends every grant of the running thread, whatever scopes it is in: for a panic hook of the program's, in its first
/// line. Where panics unwind, the end of each scope gives back what was open around it.
pub fn end_grants() {
    key_rights::update(|_| Rights::CLOSED);
    record::leave_lent_sections(Rights::CLOSED);
}

/// Lets grants end before `std`'s own hook runs.
pub(crate) fn install() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        end_grants();
        usual(panic);
    }));
}
