//! The commands of the group `string`.

use super::Doc;
use super::argument::{block, double, integer, key, one_of, string, token, unix_time};

/// Sorted by name.
pub const DOCS: &[Doc] = &[
    Doc::new(
        "append",
        "2.0.0",
        "Append a value to a key",
        "O(1). The amortized time complexity is O(1) assuming the appended value is \
         small and the already present value is of any size, since the dynamic string \
         library used by Redis will double the free space available on every \
         reallocation.",
    )
    .arguments(&[key("key", 0), string("value")]),
    Doc::new("decr", "1.0.0", "Decrement the integer value of a key by one", "O(1)").arguments(&[key("key", 0)]),
    Doc::new("decrby", "1.0.0", "Decrement the integer value of a key by the given number", "O(1)")
        .arguments(&[key("key", 0), integer("decrement")]),
    Doc::new("get", "1.0.0", "Get the value of a key", "O(1)").arguments(&[key("key", 0)]),
    Doc::new("getdel", "6.2.0", "Get the value of a key and delete the key", "O(1)").arguments(&[key("key", 0)]),
    Doc::new("getex", "6.2.0", "Get the value of a key and optionally set its expiration", "O(1)").arguments(&[
        key("key", 0),
        one_of(
            "expiration",
            &[
                integer("seconds").after("EX"),
                integer("milliseconds").after("PX"),
                unix_time("unix-time-seconds").after("EXAT"),
                unix_time("unix-time-milliseconds").after("PXAT"),
                token("persist", "PERSIST"),
            ],
        )
        .optional(),
    ]),
    Doc::new(
        "getrange",
        "2.4.0",
        "Get a substring of the string stored at a key",
        "O(N) where N is the length of the returned string. The complexity is ultimately \
         determined by the returned length, but because creating a substring from an \
         existing string is very cheap, it can be considered O(1) for small strings.",
    )
    .arguments(&[key("key", 0), integer("start"), integer("end")]),
    Doc::new("getset", "1.0.0", "Set the string value of a key and return its old value", "O(1)")
        .deprecated("6.2.0", "`SET` with the `!GET` argument")
        .arguments(&[key("key", 0), string("value")]),
    Doc::new("incr", "1.0.0", "Increment the integer value of a key by one", "O(1)").arguments(&[key("key", 0)]),
    Doc::new("incrby", "1.0.0", "Increment the integer value of a key by the given amount", "O(1)")
        .arguments(&[key("key", 0), integer("increment")]),
    Doc::new("incrbyfloat", "2.6.0", "Increment the float value of a key by the given amount", "O(1)")
        .arguments(&[key("key", 0), double("increment")]),
    Doc::new(
        "lcs",
        "7.0.0",
        "Find longest common substring",
        "O(N*M) where N and M are the lengths of s1 and s2, respectively",
    )
    .arguments(&[
        key("key1", 0),
        key("key2", 0),
        token("len", "LEN").optional(),
        token("idx", "IDX").optional(),
        integer("len").after("MINMATCHLEN").optional(),
        token("withmatchlen", "WITHMATCHLEN").optional(),
    ]),
    Doc::new(
        "mget",
        "1.0.0",
        "Get the values of all the given keys",
        "O(N) where N is the number of keys to retrieve.",
    )
    .tips(&["request_policy:multi_shard"])
    .arguments(&[key("key", 0).multiple()]),
    Doc::new("mset", "1.0.1", "Set multiple keys to multiple values", "O(N) where N is the number of keys to set.")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .arguments(&[block("key_value", &[key("key", 0), string("value")]).multiple()]),
    Doc::new(
        "msetnx",
        "1.0.1",
        "Set multiple keys to multiple values, only if none of the keys exist",
        "O(N) where N is the number of keys to set.",
    )
    .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
    .arguments(&[block("key_value", &[key("key", 0), string("value")]).multiple()]),
    Doc::new("psetex", "2.6.0", "Set the value and expiration in milliseconds of a key", "O(1)").arguments(&[
        key("key", 0),
        integer("milliseconds"),
        string("value"),
    ]),
    Doc::new("set", "1.0.0", "Set the string value of a key", "O(1)")
        .history(&[
            ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
            ("6.0.0", "Added the `KEEPTTL` option."),
            ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
            ("7.0.0", "Allowed the `NX` and `GET` options to be used together."),
        ])
        .arguments(&[
            key("key", 0),
            string("value"),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")]).since("2.6.12").optional(),
            token("get", "GET").since("6.2.0").optional(),
            one_of(
                "expiration",
                &[
                    integer("seconds").after("EX").since("2.6.12"),
                    integer("milliseconds").after("PX").since("2.6.12"),
                    unix_time("unix-time-seconds").after("EXAT").since("6.2.0"),
                    unix_time("unix-time-milliseconds").after("PXAT").since("6.2.0"),
                    token("keepttl", "KEEPTTL").since("6.0.0"),
                ],
            )
            .optional(),
        ]),
    Doc::new("setex", "2.0.0", "Set the value and expiration of a key", "O(1)").arguments(&[
        key("key", 0),
        integer("seconds"),
        string("value"),
    ]),
    Doc::new("setnx", "1.0.0", "Set the value of a key, only if the key does not exist", "O(1)")
        .arguments(&[key("key", 0), string("value")]),
    Doc::new(
        "setrange",
        "2.2.0",
        "Overwrite part of a string at key starting at the specified offset",
        "O(1), not counting the time taken to copy the new string in place. Usually, \
         this string is very small so the amortized complexity is O(1). Otherwise, \
         complexity is O(M) with M being the length of the value argument.",
    )
    .arguments(&[key("key", 0), integer("offset"), string("value")]),
    Doc::new("strlen", "2.2.0", "Get the length of the value stored in a key", "O(1)").arguments(&[key("key", 0)]),
    Doc::new(
        "substr",
        "1.0.0",
        "Get a substring of the string stored at a key",
        "O(N) where N is the length of the returned string. The complexity is ultimately \
         determined by the returned length, but because creating a substring from an \
         existing string is very cheap, it can be considered O(1) for small strings.",
    )
    .deprecated("2.0.0", "`GETRANGE`")
    .arguments(&[key("key", 0), integer("start"), integer("end")]),
];
