//! The contexts: who goes astray, and what is granted to whom at that time.

/// What the fault report shows of the rights of someone to whom nothing is granted.
const NOTHING: &str = "0x55555554 (key 0 always open, the others closed)";
/// And of someone who may read `pmem0`.
const READ_FIRST: &str = "0x55555558 (key 0 always open, key 1 pmem0 read, the others closed)";
/// And of someone who may write to `pmem1`.
const WRITE_SECOND: &str = "0x55555544 (key 0 always open, key 2 pmem1 write, the others closed)";

/// A situation in which an access goes astray.
#[derive(Debug)]
pub struct Context {
    /// The name, which the guest program `stray` knows too.
    pub name: &'static str,
    /// Who does it, in a few words.
    pub what: &'static str,
    /// What heads its column, short.
    pub heading: &'static str,
    /// The rights that the report has to show.
    pub(super) rights: &'static str,
    /// The thread that the report has to name.
    pub(super) thread: &'static str,
    /// Whether it is a handler that has interrupted that thread.
    pub(super) is_handler: bool,
    /// The functions of the guest program that the backtrace has to name outside of the shape's, from the innermost
    /// on.
    pub(super) functions: &'static [&'static str],
    /// The CPUs that the machine has, at least.
    pub(super) processors: u32,
    /// Whether it may read `pmem0`.
    pub(super) may_read: bool,
    /// Whether `pmem0` is large enough for a page of 1 GiB.
    pub(super) is_huge: bool,
}

const NO_GRANT: Context = Context {
    name: "no-grant",
    what: "a thread to which nothing is granted",
    heading: "no grant",
    rights: NOTHING,
    thread: "main",
    is_handler: false,
    functions: &["no_grant", "main"],
    processors: 1,
    may_read: false,
    is_huge: false,
};

/// All contexts, in the order of the table.
pub const CONTEXTS: [Context; 12] = [
    NO_GRANT,
    Context {
        name: "read-grant",
        what: "a thread that may read the device",
        heading: "read grant",
        rights: READ_FIRST,
        functions: &["read_grant", "main"],
        may_read: true,
        ..NO_GRANT
    },
    Context {
        name: "other-device",
        what: "a thread that may write to another device",
        heading: "other device",
        rights: WRITE_SECOND,
        functions: &["other_device", "main"],
        ..NO_GRANT
    },
    Context {
        name: "other-thread",
        what: "a thread while another one may write",
        heading: "other thread",
        functions: &["other_thread", "main"],
        ..NO_GRANT
    },
    Context {
        name: "after-revoke",
        what: "a thread whose permission to write has ended",
        heading: "after revoke",
        functions: &["after_revoke", "main"],
        ..NO_GRANT
    },
    Context {
        name: "interrupt",
        what: "a device's interrupt handler, while the interrupted thread may write",
        heading: "interrupt",
        is_handler: true,
        functions: &["on_interrupt", "interrupt", "main"],
        ..NO_GRANT
    },
    Context {
        name: "nmi",
        what: "the handler of a non-maskable interrupt, while the interrupted thread may write",
        heading: "NMI",
        is_handler: true,
        functions: &["on_nmi", "nmi", "main"],
        ..NO_GRANT
    },
    Context {
        name: "timer",
        what: "a timer's function, while the interrupted thread may write",
        heading: "timer",
        is_handler: true,
        functions: &["on_timer", "timer", "main"],
        ..NO_GRANT
    },
    Context {
        name: "new-thread",
        what: "a thread that one that may write has started",
        heading: "new thread",
        thread: "<unnamed>",
        functions: &["started"],
        ..NO_GRANT
    },
    Context {
        name: "migrated",
        what: "a thread that may read, moved to another CPU where one that may write has just run",
        heading: "migrated",
        rights: READ_FIRST,
        functions: &["migrated", "main"],
        processors: 2,
        may_read: true,
        ..NO_GRANT
    },
    Context {
        name: "small-page",
        what: "a thread to which nothing is granted, to a page of 4 KiB (elsewhere they have 2 MiB)",
        heading: "4 KiB page",
        functions: &["small_page", "main"],
        ..NO_GRANT
    },
    Context {
        name: "huge-page",
        what: "a thread to which nothing is granted, to a page of 1 GiB",
        heading: "1 GiB page",
        functions: &["huge_page", "main"],
        is_huge: true,
        ..NO_GRANT
    },
];

impl Context {
    /// The context with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CONTEXTS.iter().find(|context| context.name == name)
    }
}
