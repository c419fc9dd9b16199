//! Values of other types than strings, which no command makes yet, as a client sees them. Expected replies are
//! redis-server 7.0.15's.

use pmem::{Op, ValueType};

use crate::testing::Harness;

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

/// A client of a pool with a hash `h`, a stream `x` that expires in 100 seconds, a value `u` of a type without a name,
/// and a string `s`.
fn client() -> Harness {
    let mut client = Harness::new();
    let at = client.now_ms + 100_000;
    let put = |key, value_type, expires_at_ms| Op::Put { key, value: b"\x01elements", value_type, expires_at_ms };
    let puts = [
        put(b"h", ValueType::HASH, None),
        put(b"x", ValueType::STREAM, Some(at)),
        put(b"u", ValueType::new(77), None),
        put(b"s", ValueType::STRING, None),
    ];
    client.pool.turn(|turn| turn.atomically(&puts)).unwrap().0.unwrap();
    client
}

/// The type and the bytes of a key's value.
fn held(client: &mut Harness, key: &[u8]) -> Option<(ValueType, Vec<u8>)> {
    let mut value = Vec::new();
    let meta = client.pool.turn(|turn| turn.get(key, &mut value)).unwrap().0.unwrap()?;
    Some((meta.value_type, value))
}

#[test]
fn no_command_on_strings_reads_or_changes_a_value_of_another_type() {
    let mut client = client();
    for line in [
        "get h",
        "getdel h",
        "getset h v",
        "set h v get",
        "set h v nx get",
        "getex h",
        "getex h ex 0",
        "append h v",
        "strlen h",
        "getrange h 0 -1",
        "substr h 0 -1",
        "setrange h 0 v",
        "setrange h 5 \"\"",
        "setrange h 536870912 v",
        "incr h",
        "decr h",
        "incrby h 2",
        "decrby h 2",
        "incrbyfloat h 1.5",
        "setbit h 7 1",
        "getbit h 7",
        "bitcount h",
        "bitcount h 0 x",
        "bitpos h 1",
        "bitop and d h s",
        "bitop or d s h",
        "bitfield h get u8 0",
        "bitfield h set u8 0 1",
        "bitfield_ro h get u8 0",
        "bitfield h",
    ] {
        assert_eq!(client.send(line), WRONG, "{line}");
        assert_eq!(held(&mut client, b"h"), Some((ValueType::HASH, b"\x01elements".to_vec())), "{line}");
    }
    assert_eq!(client.send("exists d"), ":0|");
    for line in ["lcs h s", "lcs s h len idx"] {
        assert_eq!(client.send(line), "-ERR The specified keys must contain string values|", "{line}");
    }
    for (line, reply) in [
        ("mget s h nothing u", "*4|$9|\u{1}elements|$-1|$-1|$-1|"),
        ("set h v nx", "$-1|"),
        ("setnx h v", ":0|"),
        ("msetnx new v h v", ":0|"),
    ] {
        assert_eq!(client.send(line), reply, "{line}");
    }
}

#[test]
fn commands_on_keys_know_and_keep_the_type_of_a_value() {
    let mut client = client();
    for (line, reply) in [
        ("type h", "+hash|"),
        ("type x", "+stream|"),
        ("type u", "+unknown|"),
        ("type s", "+string|"),
        ("scan 0 count 100 type HASH", "*2|$1|0|*1|$1|h|"),
        ("scan 0 count 100 type string", "*2|$1|0|*1|$1|s|"),
        ("scan 0 count 100 type zset", "*2|$1|0|*0|"),
        ("object encoding h", "$7|unknown|"),
        ("expire h 50", ":1|"),
        ("ttl h", ":50|"),
        ("rename h g", "+OK|"),
        ("copy g c", ":1|"),
        ("type g", "+hash|"),
        ("type c", "+hash|"),
        ("persist g", ":1|"),
        ("type g", "+hash|"),
        ("bitop not g s", ":9|"),
        ("type g", "+string|"),
        ("mset c v", "+OK|"),
        ("type c", "+string|"),
        ("set u v xx", "+OK|"),
        ("get u", "$1|v|"),
        ("del x", ":1|"),
    ] {
        assert_eq!(client.send(line), reply, "{line}");
    }
}

/// An expired value is no value of the wrong type: there is none.
#[test]
fn a_value_of_another_type_that_has_expired_is_not_there() {
    let mut client = client();
    client.now_ms += 100_001;
    for (line, reply) in [("get x", "$-1|"), ("append x v", ":1|"), ("type x", "+string|")] {
        assert_eq!(client.send(line), reply, "{line}");
    }
}
