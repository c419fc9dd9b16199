//! The commands of the group `connection`.

use super::Doc;
use super::argument::{block, integer, one_of, string, token};

/// Sorted by name.
pub const DOCS: &[Doc] = &[
    Doc::new(
        "auth",
        "1.0.0",
        "Authenticate to the server",
        "O(N) where N is the number of passwords defined for the user",
    )
    .history(&[("6.0.0", "Added ACL style (username and password).")])
    .arguments(&[string("username").since("6.0.0").optional(), string("password")]),
    Doc::new("client", "2.4.0", "A container for client connection commands", "Depends on subcommand."),
    Doc::new("client|getname", "2.6.9", "Get the current connection name", "O(1)"),
    Doc::new("client|help", "5.0.0", "Show helpful text about the different subcommands", "O(1)"),
    Doc::new("client|id", "5.0.0", "Returns the client ID for the current connection", "O(1)"),
    Doc::new("client|info", "6.2.0", "Returns information about the current client connection.", "O(1)")
        .tips(&["nondeterministic_output"]),
    Doc::new(
        "client|kill",
        "2.4.0",
        "Kill the connection of a client",
        "O(N) where N is the number of client connections",
    )
    .history(&[
        ("2.8.12", "Added new filter format."),
        ("2.8.12", "`ID` option."),
        ("3.2.0", "Added `master` type in for `TYPE` option."),
        (
            "5.0.0",
            "Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward \
             compatibility.",
        ),
        ("6.2.0", "`LADDR` option."),
    ])
    .arguments(&[one_of(
        "filter",
        &[
            string("ip:port").deprecated("2.8.12"),
            one_of(
                "new-format",
                &[
                    integer("client-id").after("ID").since("2.8.12").optional(),
                    one_of(
                        "normal_master_slave_pubsub",
                        &[
                            token("normal", "NORMAL"),
                            token("master", "MASTER").since("3.2.0"),
                            token("slave", "SLAVE"),
                            token("replica", "REPLICA").since("5.0.0"),
                            token("pubsub", "PUBSUB"),
                        ],
                    )
                    .after("TYPE")
                    .since("2.8.12")
                    .optional(),
                    string("username").after("USER").optional(),
                    string("ip:port").after("ADDR").optional(),
                    string("ip:port").after("LADDR").since("6.2.0").optional(),
                    string("yes/no").after("SKIPME").optional(),
                ],
            )
            .multiple(),
        ],
    )]),
    Doc::new(
        "client|list",
        "2.4.0",
        "Get the list of client connections",
        "O(N) where N is the number of client connections",
    )
    .history(&[
        ("2.8.12", "Added unique client `id` field."),
        ("5.0.0", "Added optional `TYPE` filter."),
        ("6.0.0", "Added `user` field."),
        (
            "6.2.0",
            "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and the optional `ID` \
             filter.",
        ),
        ("7.0.0", "Added `resp`, `multi-mem`, `rbs` and `rbp` fields."),
        ("7.0.3", "Added `ssub` field."),
    ])
    .tips(&["nondeterministic_output"])
    .arguments(&[
        one_of(
            "normal_master_replica_pubsub",
            &[
                token("normal", "NORMAL"),
                token("master", "MASTER"),
                token("replica", "REPLICA"),
                token("pubsub", "PUBSUB"),
            ],
        )
        .after("TYPE")
        .since("5.0.0")
        .optional(),
        block("id", &[integer("client-id").multiple()]).after("ID").since("6.2.0").optional(),
    ]),
    Doc::new("client|no-evict", "7.0.0", "Set client eviction mode for the current connection", "O(1)")
        .arguments(&[one_of("enabled", &[token("on", "ON"), token("off", "OFF")])]),
    Doc::new("client|reply", "3.2.0", "Instruct the server whether to reply to commands", "O(1)")
        .arguments(&[one_of("on_off_skip", &[token("on", "ON"), token("off", "OFF"), token("skip", "SKIP")])]),
    // Of Redis 7.2: current client libraries send it.
    Doc::new("client|setinfo", "7.2.0", "Set information specific to the client or connection", "O(1)")
        .arguments(&[one_of("attr", &[string("libname").after("LIB-NAME"), string("libver").after("LIB-VER")])]),
    Doc::new("client|setname", "2.6.9", "Set the current connection name", "O(1)")
        .arguments(&[string("connection-name")]),
    Doc::new("echo", "1.0.0", "Echo the given string", "O(1)").arguments(&[string("message")]),
    Doc::new("hello", "6.0.0", "Handshake with Redis", "O(1)")
        .history(&[(
            "6.2.0",
            "`protover` made optional; when called without arguments the command reports the \
             current connection's context.",
        )])
        .arguments(&[block(
            "arguments",
            &[
                integer("protover"),
                block("username_password", &[string("username"), string("password")]).after("AUTH").optional(),
                string("clientname").after("SETNAME").optional(),
            ],
        )
        .optional()]),
    Doc::new("ping", "1.0.0", "Ping the server", "O(1)")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .arguments(&[string("message").optional()]),
    Doc::new("quit", "1.0.0", "Close the connection", "O(1)"),
    Doc::new("reset", "6.2.0", "Reset the connection", "O(1)"),
    Doc::new("select", "1.0.0", "Change the selected database for the current connection", "O(1)")
        .arguments(&[integer("index")]),
];
