//! The commands of the group `transactions`.

use super::Doc;
use super::argument::key;

/// Sorted by name.
pub const DOCS: &[Doc] = &[
    Doc::new(
        "discard",
        "2.0.0",
        "Discard all commands issued after MULTI",
        "O(N), when N is the number of queued commands",
    ),
    Doc::new("exec", "1.2.0", "Execute all commands issued after MULTI", "Depends on commands in the transaction"),
    Doc::new("multi", "1.2.0", "Mark the start of a transaction block", "O(1)"),
    Doc::new("unwatch", "2.2.0", "Forget about all watched keys", "O(1)"),
    Doc::new(
        "watch",
        "2.2.0",
        "Watch the given keys to determine execution of the MULTI/EXEC block",
        "O(1) for every key.",
    )
    .arguments(&[key("key", 0).multiple()]),
];
