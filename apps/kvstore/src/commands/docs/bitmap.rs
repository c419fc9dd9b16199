//! The commands of the group `bitmap`.

use super::Doc;
use super::argument::{block, integer, key, one_of, string, token};

/// Sorted by name.
pub const DOCS: &[Doc] = &[
    Doc::new("bitcount", "2.6.0", "Count set bits in a string", "O(N)")
        .history(&[("7.0.0", "Added the `BYTE|BIT` option.")])
        .arguments(&[
            key("key", 0),
            block(
                "index",
                &[
                    integer("start"),
                    integer("end"),
                    one_of("index_unit", &[token("byte", "BYTE"), token("bit", "BIT")]).since("7.0.0").optional(),
                ],
            )
            .optional(),
        ]),
    Doc::new(
        "bitfield",
        "3.2.0",
        "Perform arbitrary bitfield integer operations on strings",
        "O(1) for each subcommand specified",
    )
    .arguments(&[
        key("key", 0),
        one_of(
            "operation",
            &[
                block("encoding_offset", &[string("encoding"), integer("offset")]).after("GET"),
                block(
                    "write",
                    &[
                        one_of("wrap_sat_fail", &[token("wrap", "WRAP"), token("sat", "SAT"), token("fail", "FAIL")])
                            .after("OVERFLOW")
                            .optional(),
                        one_of(
                            "write_operation",
                            &[
                                block(
                                    "encoding_offset_value",
                                    &[string("encoding"), integer("offset"), integer("value")],
                                )
                                .after("SET"),
                                block(
                                    "encoding_offset_increment",
                                    &[string("encoding"), integer("offset"), integer("increment")],
                                )
                                .after("INCRBY"),
                            ],
                        ),
                    ],
                ),
            ],
        )
        .optional()
        .multiple(),
    ]),
    Doc::new(
        "bitfield_ro",
        "6.0.0",
        "Perform arbitrary bitfield integer operations on strings. Read-only variant of \
         BITFIELD",
        "O(1) for each subcommand specified",
    )
    .arguments(&[
        key("key", 0),
        block("encoding_offset", &[string("encoding"), integer("offset")])
            .after("GET")
            .optional()
            .multiple()
            .multiple_token(),
    ]),
    Doc::new("bitop", "2.6.0", "Perform bitwise operations between strings", "O(N)").arguments(&[
        string("operation"),
        key("destkey", 0),
        key("key", 1).multiple(),
    ]),
    Doc::new("bitpos", "2.8.7", "Find first bit set or clear in a string", "O(N)")
        .history(&[("7.0.0", "Added the `BYTE|BIT` option.")])
        .arguments(&[
            key("key", 0),
            integer("bit"),
            block(
                "index",
                &[
                    integer("start"),
                    block(
                        "end_index",
                        &[
                            integer("end"),
                            one_of("index_unit", &[token("byte", "BYTE"), token("bit", "BIT")])
                                .since("7.0.0")
                                .optional(),
                        ],
                    )
                    .optional(),
                ],
            )
            .optional(),
        ]),
    Doc::new("getbit", "2.2.0", "Returns the bit value at offset in the string value stored at key", "O(1)")
        .arguments(&[key("key", 0), integer("offset")]),
    Doc::new("setbit", "2.2.0", "Sets or clears the bit at offset in the string value stored at key", "O(1)")
        .arguments(&[key("key", 0), integer("offset"), integer("value")]),
];
