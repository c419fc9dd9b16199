//! What the rooms above do when a thread ends: a table that `start` fills once, before there are threads.

use crate::sync::Once;

/// Who is called for what, on the thread that ends.
pub(crate) struct Hooks {
    /// The thread ends: takes from it what it could reach with rights of its own.
    pub(crate) ends: fn(),
    /// The thread is killed: leaves what it does not leave by itself any more.
    pub(crate) killed: fn(),
    /// The program's first thread is killed, and the program ends with it.
    pub(crate) main_killed: fn() -> !,
}

static HOOKS: Once<Hooks> = Once::new();

/// Says who is called, once.
pub(crate) fn set_hooks(hooks: Hooks) {
    HOOKS.call_once(|| hooks);
}

/// Who is called.
pub(super) fn hooks() -> &'static Hooks {
    HOOKS.get().expect("the boot names them before it starts a thread")
}
