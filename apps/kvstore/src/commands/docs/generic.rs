//! The commands of the group `generic`.

use super::Doc;
use super::argument::{integer, key, one_of, pattern, string, token, unix_time};

/// Sorted by name.
pub const DOCS: &[Doc] = &[
    Doc::new(
        "copy",
        "6.2.0",
        "Copy a key",
        "O(N) worst case for collections, where N is the number of nested items. O(1) \
         for string values.",
    )
    .arguments(&[
        key("source", 0),
        key("destination", 1),
        integer("destination-db").after("DB").optional(),
        token("replace", "REPLACE").optional(),
    ]),
    Doc::new(
        "del",
        "1.0.0",
        "Delete a key",
        "O(N) where N is the number of keys that will be removed. When a key to remove \
         holds a value other than a string, the individual complexity for this key is \
         O(M) where M is the number of elements in the list, set, sorted set or hash. \
         Removing a single key that holds a string value is O(1).",
    )
    .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
    .arguments(&[key("key", 0).multiple()]),
    Doc::new("exists", "1.0.0", "Determine if a key exists", "O(N) where N is the number of keys to check.")
        .history(&[("3.0.3", "Accepts multiple `key` arguments.")])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .arguments(&[key("key", 0).multiple()]),
    Doc::new("expire", "1.0.0", "Set a key's time to live in seconds", "O(1)")
        .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
        .arguments(&[
            key("key", 0),
            integer("seconds"),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    Doc::new("expireat", "1.2.0", "Set the expiration for a key as a UNIX timestamp", "O(1)")
        .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
        .arguments(&[
            key("key", 0),
            unix_time("unix-time-seconds"),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    Doc::new("expiretime", "7.0.0", "Get the expiration Unix timestamp for a key", "O(1)").arguments(&[key("key", 0)]),
    Doc::new(
        "keys",
        "1.0.0",
        "Find all keys matching the given pattern",
        "O(N) with N being the number of keys in the database, under the assumption that \
         the key names in the database and the given pattern have limited length.",
    )
    .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
    .arguments(&[pattern("pattern")]),
    Doc::new("object", "2.2.3", "A container for object introspection commands", "Depends on subcommand."),
    Doc::new("object|encoding", "2.2.3", "Inspect the internal encoding of a Redis object", "O(1)")
        .tips(&["nondeterministic_output"])
        .arguments(&[key("key", 0)]),
    Doc::new("object|freq", "4.0.0", "Get the logarithmic access frequency counter of a Redis object", "O(1)")
        .tips(&["nondeterministic_output"])
        .arguments(&[key("key", 0)]),
    Doc::new("object|help", "6.2.0", "Show helpful text about the different subcommands", "O(1)"),
    Doc::new("object|idletime", "2.2.3", "Get the time since a Redis object was last accessed", "O(1)")
        .tips(&["nondeterministic_output"])
        .arguments(&[key("key", 0)]),
    Doc::new("object|refcount", "2.2.3", "Get the number of references to the value of the key", "O(1)")
        .tips(&["nondeterministic_output"])
        .arguments(&[key("key", 0)]),
    Doc::new("persist", "2.2.0", "Remove the expiration from a key", "O(1)").arguments(&[key("key", 0)]),
    Doc::new("pexpire", "2.6.0", "Set a key's time to live in milliseconds", "O(1)")
        .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
        .arguments(&[
            key("key", 0),
            integer("milliseconds"),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    Doc::new(
        "pexpireat",
        "2.6.0",
        "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
        "O(1)",
    )
    .history(&[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")])
    .arguments(&[
        key("key", 0),
        unix_time("unix-time-milliseconds"),
        one_of("condition", &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")])
            .since("7.0.0")
            .optional(),
    ]),
    Doc::new("pexpiretime", "7.0.0", "Get the expiration Unix timestamp for a key in milliseconds", "O(1)")
        .arguments(&[key("key", 0)]),
    Doc::new("pttl", "2.6.0", "Get the time to live for a key in milliseconds", "O(1)")
        .history(&[("2.8.0", "Added the -2 reply.")])
        .tips(&["nondeterministic_output"])
        .arguments(&[key("key", 0)]),
    Doc::new("randomkey", "1.0.0", "Return a random key from the keyspace", "O(1)")
        .tips(&["request_policy:all_shards", "nondeterministic_output"]),
    Doc::new("rename", "1.0.0", "Rename a key", "O(1)").arguments(&[key("key", 0), key("newkey", 1)]),
    Doc::new("renamenx", "1.0.0", "Rename a key, only if the new key does not exist", "O(1)")
        .history(&[(
            "3.2.0",
            "The command no longer returns an error when source and destination names are \
             the same.",
        )])
        .arguments(&[key("key", 0), key("newkey", 1)]),
    Doc::new(
        "scan",
        "2.8.0",
        "Incrementally iterate the keys space",
        "O(1) for every call. O(N) for a complete iteration, including enough command \
         calls for the cursor to return back to 0. N is the number of elements inside \
         the collection.",
    )
    .history(&[("6.0.0", "Added the `TYPE` subcommand.")])
    .tips(&["nondeterministic_output", "request_policy:special"])
    .arguments(&[
        integer("cursor"),
        pattern("pattern").after("MATCH").optional(),
        integer("count").after("COUNT").optional(),
        string("type").after("TYPE").since("6.0.0").optional(),
    ]),
    Doc::new(
        "touch",
        "3.2.1",
        "Alters the last access time of a key(s). Returns the number of existing keys \
         specified.",
        "O(N) where N is the number of keys that will be touched.",
    )
    .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
    .arguments(&[key("key", 0).multiple()]),
    Doc::new("ttl", "1.0.0", "Get the time to live for a key in seconds", "O(1)")
        .history(&[("2.8.0", "Added the -2 reply.")])
        .tips(&["nondeterministic_output"])
        .arguments(&[key("key", 0)]),
    Doc::new("type", "1.0.0", "Determine the type stored at key", "O(1)").arguments(&[key("key", 0)]),
    Doc::new(
        "unlink",
        "4.0.0",
        "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but \
         non blocking.",
        "O(1) for each key removed regardless of its size. Then the command does O(N) \
         work in a different thread in order to reclaim memory, where N is the number of \
         allocations the deleted objects where composed of.",
    )
    .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
    .arguments(&[key("key", 0).multiple()]),
];
