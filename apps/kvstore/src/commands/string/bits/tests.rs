//! Commands on bits as a client sees them. Replies are redis-server 7.0.15's.

use crate::testing::{Harness, dialogue};

#[test]
fn setbit_and_getbit() {
    const OFFSET: &str = "-ERR bit offset is not an integer or out of range|";
    const BIT: &str = "-ERR bit is not an integer or out of range|";
    dialogue(&[
        ("setbit k 7 1", ":0|"),
        ("get k", "$1|\u{1}|"),
        ("setbit k 7 0", ":1|"),
        ("setbit k 20 0", ":0|"),
        ("strlen k", ":3|"),
        ("pexpire k 1000", ":1|"),
        ("setbit k 1 1", ":0|"),
        ("pttl k", ":1000|"),
        ("getbit k 1", ":1|"),
        ("getbit k 100", ":0|"),
        ("getbit nothing 100", ":0|"),
        ("setbit k -1 1", OFFSET),
        ("setbit k 4294967296 1", OFFSET),
        ("getbit k x", OFFSET),
        ("setbit k 0 2", BIT),
        ("setbit k x 2", OFFSET),
        ("set n 123", "+OK|"),
        ("setbit n 6 0", ":0|"),
        ("setbit n 6 1", ":0|"),
        ("get n", "$3|323|"),
    ]);
}

#[test]
fn bitcount_and_bitpos() {
    dialogue(&[
        ("set k foobar", "+OK|"),
        ("bitcount k", ":26|"),
        ("bitcount k 0 0", ":4|"),
        ("bitcount k 1 1 byte", ":6|"),
        ("bitcount k 5 30 bit", ":17|"),
        ("bitcount k -2 -1", ":7|"),
        ("bitcount k 3 1", ":0|"),
        ("bitcount k -1 -2 nonsense", ":0|"),
        ("bitcount k 0 1 nonsense", "-ERR syntax error|"),
        ("bitcount k 0", "-ERR syntax error|"),
        ("bitcount k 0 x", "-ERR value is not an integer or out of range|"),
        ("bitcount nothing 0", ":0|"),
        ("bitpos k 1", ":1|"),
        ("bitpos k 0", ":0|"),
        ("bitpos k 1 2 -1 byte", ":17|"),
        ("bitpos k 1 7 15 bit", ":9|"),
        ("bitpos k 1 7 8 bit", ":-1|"),
        ("bitpos k 2", "-ERR The bit argument must be 1 or 0.|"),
        ("bitpos k 1 0 1 nonsense", "-ERR syntax error|"),
        ("bitpos nothing 1", ":-1|"),
        ("bitpos nothing 0", ":0|"),
        ("bitfield ones set u8 0 255 set u8 8 255", "*2|:0|:0|"),
        ("bitpos ones 0", ":16|"),
        ("bitpos ones 0 1", ":16|"),
        ("bitpos ones 0 0 -1", ":-1|"),
        ("bitpos ones 0 5", ":-1|"),
        ("set empty \"\"", "+OK|"),
        ("bitpos empty 0", ":-1|"),
    ]);
}

#[test]
fn bitop_combines_strings_of_any_length() {
    dialogue(&[
        ("set a abc", "+OK|"),
        ("set b AB", "+OK|"),
        ("bitop or r a b nothing", ":3|"),
        ("get r", "$3|abc|"),
        ("bitop and r a b", ":3|"),
        ("get r", "$3|AB\0|"),
        ("bitop xor r a b", ":3|"),
        ("get r", "$3|  c|"),
        ("bitop not r nothing", ":0|"),
        ("exists r", ":0|"),
        ("bitop not a a", ":3|"),
        ("bitop xor a a a", ":3|"),
        ("get a", "$3|\0\0\0|"),
        ("bitop not r a b", "-ERR BITOP NOT must be called with a single source key.|"),
        ("bitop nand r a b", "-ERR syntax error|"),
    ]);
}

#[test]
fn bitop_on_many_long_strings_is_done_in_several_turns() {
    let mut client = Harness::new();
    client.send("setbit k 7999999 1");
    let request = format!("bitop or r{}", " k".repeat(100));
    client.client.input.push(format!("{request}\r\n").as_bytes());
    let mut turns = 0;
    while client.client.has_request(&client.shared.limits) {
        client.turn();
        turns += 1;
    }
    assert!(turns > 10, "{turns} turns for 100 MB");
    assert_eq!(client.send("bitpos r 1"), ":1000000|:7999999|");
}

#[test]
fn bitfield_has_integers_of_any_width() {
    const FORM: &str =
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.|";
    dialogue(&[
        ("bitfield k set i8 0 -100 get u8 0 incrby i5 #1 9", "*3|:0|:156|:-7|"),
        ("bitfield k incrby u2 100 1 overflow sat incrby u2 102 1", "*2|:1|:1|"),
        ("bitfield k incrby u2 100 3 overflow sat incrby u2 102 3 overflow fail incrby u2 102 1", "*3|:0|:3|$-1|"),
        ("bitfield k overflow sat set u8 0 -1 get u8 0", "*2|:158|:255|"),
        ("bitfield k get i64 0", "*1|:-54043195528445952|"),
        ("bitfield k set i64 0 -9223372036854775808 incrby i64 0 -1", "*2|:-54043195528445952|:9223372036854775807|"),
        ("bitfield k get u64 0", FORM),
        ("bitfield k get i65 0", FORM),
        ("bitfield k get x 0", FORM),
        ("bitfield k get u8 -1", "-ERR bit offset is not an integer or out of range|"),
        ("bitfield k get u8", "-ERR syntax error|"),
        ("bitfield k overflow", "-ERR syntax error|"),
        ("bitfield k overflow nonsense", "-ERR Invalid OVERFLOW type specified|"),
        ("bitfield k set u8 0 x", "-ERR value is not an integer or out of range|"),
        ("bitfield k overflow sat", "*0|"),
        ("bitfield_ro k get u8 0 set u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand|"),
        ("bitfield_ro nothing get u8 1000000", "*1|:0|"),
        ("exists nothing", ":0|"),
        ("bitfield s overflow sat set i8 0 -9223372036854775808 set i8 0 -129 get i8 0", "*3|:0|:127|:-128|"),
        ("bitfield new overflow fail set u8 0 256", "*1|$-1|"),
        ("get new", "$1|\0|"),
    ]);
}

/// A request in the protocol's own form, of words without spaces.
fn encoded(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let arguments = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    std::iter::once(format!("*{}\r\n", words.len())).chain(arguments).collect::<String>().into_bytes()
}

#[test]
fn bitfield_without_memory_for_its_reply_changes_nothing() {
    let mut client = Harness::new();
    let request = encoded(&format!("bitfield k{}", " incrby u32 0 1".repeat(2000)));
    let (most, last) = request.split_at(request.len() - 1);
    assert_eq!(client.bytes(most), b"");
    let mut taken = client.shared.memory.charge();
    taken.grow(client.shared.memory.free()).unwrap();
    assert!(client.bytes(last).starts_with(b"-OOM "));
    drop(taken);
    assert_eq!(client.send("exists k"), ":0|");
    assert!(client.bytes(&request).ends_with(b":2000\r\n"));
}

#[test]
fn bitfield_asks_for_the_memory_of_its_window() {
    let mut client = Harness::new();
    let end = 8 * (client.shared.limits.parser.argument - 1);
    let mut taken = client.shared.memory.charge();
    taken.grow(client.shared.memory.free() - 64 * 1024).unwrap();
    let request = format!("bitfield k set u8 0 1 set u8 {end} 1");
    assert!(client.send(&request).starts_with("-OOM "));
    drop(taken);
    assert_eq!(client.send(&request), "*2|:0|:0|");
    let used = client.shared.memory.used();
    assert!(used < 64 * 1024, "{used}");
}
