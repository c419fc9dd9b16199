//! The commands of the group `server`.

use super::Doc;
use super::argument::{block, integer, key, one_of, pattern, string, token};

/// Sorted by name.
pub const DOCS: &[Doc] = &[
    Doc::new(
        "command",
        "2.8.13",
        "Get array of Redis command details",
        "O(N) where N is the total number of Redis commands",
    )
    .tips(&["nondeterministic_output_order"]),
    Doc::new("command|count", "2.8.13", "Get total number of Redis commands", "O(1)"),
    Doc::new(
        "command|docs",
        "7.0.0",
        "Get array of specific Redis command documentation",
        "O(N) where N is the number of commands to look up",
    )
    .tips(&["nondeterministic_output_order"])
    .arguments(&[string("command-name").optional().multiple()]),
    Doc::new(
        "command|getkeys",
        "2.8.13",
        "Extract keys given a full Redis command",
        "O(N) where N is the number of arguments to the command",
    ),
    Doc::new(
        "command|getkeysandflags",
        "7.0.0",
        "Extract keys and access flags given a full Redis command",
        "O(N) where N is the number of arguments to the command",
    ),
    Doc::new("command|help", "5.0.0", "Show helpful text about the different subcommands", "O(1)"),
    Doc::new(
        "command|info",
        "2.8.13",
        "Get array of specific Redis command details, or all when no argument is given.",
        "O(N) where N is the number of commands to look up",
    )
    .history(&[("7.0.0", "Allowed to be called with no argument to get info on all commands.")])
    .tips(&["nondeterministic_output_order"])
    .arguments(&[string("command-name").optional().multiple()]),
    Doc::new(
        "command|list",
        "7.0.0",
        "Get an array of Redis command names",
        "O(N) where N is the total number of Redis commands",
    )
    .tips(&["nondeterministic_output_order"])
    .arguments(&[one_of(
        "filterby",
        &[
            string("module-name").after("MODULE"),
            string("category").after("ACLCAT"),
            pattern("pattern").after("PATTERN"),
        ],
    )
    .after("FILTERBY")
    .optional()]),
    Doc::new("config", "2.0.0", "A container for server configuration commands", "Depends on subcommand."),
    Doc::new(
        "config|get",
        "2.0.0",
        "Get the values of configuration parameters",
        "O(N) when N is the number of configuration parameters provided",
    )
    .history(&[("7.0.0", "Added the ability to pass multiple pattern parameters in one call")])
    .arguments(&[block("parameter", &[string("parameter")]).multiple()]),
    Doc::new("config|help", "5.0.0", "Show helpful text about the different subcommands", "O(1)"),
    Doc::new("config|resetstat", "2.0.0", "Reset the stats returned by INFO", "O(1)"),
    Doc::new("config|rewrite", "2.8.0", "Rewrite the configuration file with the in memory configuration", "O(1)"),
    Doc::new(
        "config|set",
        "2.0.0",
        "Set configuration parameters to the given values",
        "O(N) when N is the number of configuration parameters provided",
    )
    .history(&[("7.0.0", "Added the ability to set multiple parameters in one call.")])
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
    .arguments(&[block("parameter_value", &[string("parameter"), string("value")]).multiple()]),
    Doc::new("dbsize", "1.0.0", "Return the number of keys in the selected database", "O(1)")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    Doc::new(
        "flushall",
        "1.0.0",
        "Remove all keys from all databases",
        "O(N) where N is the total number of keys in all databases",
    )
    .history(&[
        ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
        ("6.2.0", "Added the `SYNC` flushing mode modifier."),
    ])
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    .arguments(&[
        one_of("async", &[token("async", "ASYNC").since("4.0.0"), token("sync", "SYNC").since("6.2.0")]).optional()
    ]),
    Doc::new(
        "flushdb",
        "1.0.0",
        "Remove all keys from the current database",
        "O(N) where N is the number of keys in the selected database",
    )
    .history(&[
        ("4.0.0", "Added the `ASYNC` flushing mode modifier."),
        ("6.2.0", "Added the `SYNC` flushing mode modifier."),
    ])
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    .arguments(&[
        one_of("async", &[token("async", "ASYNC").since("4.0.0"), token("sync", "SYNC").since("6.2.0")]).optional()
    ]),
    Doc::new("info", "1.0.0", "Get information and statistics about the server", "O(1)")
        .history(&[("7.0.0", "Added support for taking multiple section arguments.")])
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .arguments(&[string("section").optional().multiple()]),
    Doc::new("latency", "2.8.13", "A container for latency diagnostics commands", "Depends on subcommand."),
    Doc::new("latency|doctor", "2.8.13", "Return a human readable latency analysis report.", "O(1)").tips(&[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ]),
    Doc::new("latency|help", "2.8.13", "Show helpful text about the different subcommands.", "O(1)"),
    Doc::new(
        "latency|histogram",
        "7.0.0",
        "Return the cumulative distribution of latencies of a subset of commands or all.",
        "O(N) where N is the number of commands with latency information being \
         retrieved.",
    )
    .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
    .arguments(&[string("command").optional().multiple()]),
    Doc::new("latency|history", "2.8.13", "Return timestamp-latency samples for the event.", "O(1)")
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .arguments(&[string("event")]),
    Doc::new("latency|latest", "2.8.13", "Return the latest latency samples for all events.", "O(1)").tips(&[
        "nondeterministic_output",
        "request_policy:all_nodes",
        "response_policy:special",
    ]),
    Doc::new("latency|reset", "2.8.13", "Reset latency data for one or more events.", "O(1)")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .arguments(&[string("event").optional().multiple()]),
    Doc::new("memory", "4.0.0", "A container for memory diagnostics commands", "Depends on subcommand."),
    Doc::new("memory|doctor", "4.0.0", "Outputs memory problems report", "O(1)").tips(&[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ]),
    Doc::new("memory|help", "4.0.0", "Show helpful text about the different subcommands", "O(1)"),
    Doc::new(
        "memory|malloc-stats",
        "4.0.0",
        "Show allocator internal stats",
        "Depends on how much memory is allocated, could be slow",
    )
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    Doc::new(
        "memory|purge",
        "4.0.0",
        "Ask the allocator to release memory",
        "Depends on how much memory is allocated, could be slow",
    )
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    Doc::new("memory|stats", "4.0.0", "Show memory usage details", "O(1)").tips(&[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ]),
    Doc::new("memory|usage", "4.0.0", "Estimate the memory usage of a key", "O(N) where N is the number of samples.")
        .arguments(&[key("key", 0), integer("count").after("SAMPLES").optional()]),
    Doc::new(
        "shutdown",
        "1.0.0",
        "Synchronously save the dataset to disk and then shut down the server",
        "O(N) when saving, where N is the total number of keys in all databases when \
         saving data, otherwise O(1)",
    )
    .history(&[("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")])
    .arguments(&[
        one_of("nosave_save", &[token("nosave", "NOSAVE"), token("save", "SAVE")]).optional(),
        token("now", "NOW").since("7.0.0").optional(),
        token("force", "FORCE").since("7.0.0").optional(),
        token("abort", "ABORT").since("7.0.0").optional(),
    ]),
    Doc::new("slowlog", "2.2.12", "A container for slow log commands", "Depends on subcommand."),
    Doc::new("slowlog|get", "2.2.12", "Get the slow log's entries", "O(N) where N is the number of entries returned")
        .history(&[("4.0.0", "Added client IP address, port and name to the reply.")])
        .tips(&["request_policy:all_nodes", "nondeterministic_output"])
        .arguments(&[integer("count").optional()]),
    Doc::new("slowlog|help", "6.2.0", "Show helpful text about the different subcommands", "O(1)"),
    Doc::new("slowlog|len", "2.2.12", "Get the slow log's length", "O(1)").tips(&[
        "request_policy:all_nodes",
        "response_policy:agg_sum",
        "nondeterministic_output",
    ]),
    Doc::new(
        "slowlog|reset",
        "2.2.12",
        "Clear all entries from the slow log",
        "O(N) where N is the number of entries in the slowlog",
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    Doc::new("time", "2.6.0", "Return the current server time", "O(1)").tips(&["nondeterministic_output"]),
];
