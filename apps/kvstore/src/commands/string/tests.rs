//! Strings as a client sees them. Expected replies are redis-server 7.0.15's.

use crate::testing::dialogue;

#[test]
fn set_knows_its_options() {
    dialogue(&[
        ("set k v", "+OK|"),
        ("set k w nx", "$-1|"),
        ("set k w xx", "+OK|"),
        ("set z w xx", "$-1|"),
        ("set k x nx get", "$1|w|"),
        ("set k x get", "$1|w|"),
        ("set z y get", "$-1|"),
        ("set k x ex 100", "+OK|"),
        ("set k y keepttl", "+OK|"),
        ("ttl k", ":100|"),
        ("set k y", "+OK|"),
        ("ttl k", ":-1|"),
        ("set k v nx xx", "-ERR syntax error|"),
        ("set k v ex", "-ERR syntax error|"),
        ("set k v ex 1 px 1", "-ERR syntax error|"),
        ("set k v keepttl ex 1", "-ERR syntax error|"),
        ("set k v ex 0", "-ERR invalid expire time in 'set' command|"),
        ("set k v ex x", "-ERR value is not an integer or out of range|"),
        ("set k v px 9223372036854775807", "-ERR invalid expire time in 'set' command|"),
        ("set k v exat 1", "+OK|"),
        ("get k", "$-1|"),
        ("setex k 10 v", "+OK|"),
        ("psetex k 0 v", "-ERR invalid expire time in 'psetex' command|"),
        ("pttl k", ":10000|"),
        ("getex k persist", "$1|v|"),
        ("ttl k", ":-1|"),
        ("getex k px 1500", "$1|v|"),
        ("ttl k", ":2|"),
        ("getex k exat 1", "$1|v|"),
        ("exists k", ":0|"),
        ("getex k ex abc", "$-1|"),
    ]);
}

#[test]
fn strings_are_cut_and_joined() {
    dialogue(&[
        ("append k hello", ":5|"),
        ("append k \" world\"", ":11|"),
        ("strlen k", ":11|"),
        ("getrange k 0 -1", "$11|hello world|"),
        ("getrange k -5 -1", "$5|world|"),
        ("getrange k -5 -10", "$0||"),
        ("getrange k -100 3", "$4|hell|"),
        ("getrange k 3 9223372036854775807", "$8|lo world|"),
        ("getrange k 11 20", "$0||"),
        ("getrange z 0 -1", "$0||"),
        ("setrange k 6 there", ":11|"),
        ("get k", "$11|hello there|"),
        ("setrange z 2 x", ":3|"),
        ("get z", "$3|\0\0x|"),
        ("setrange k -1 x", "-ERR offset is out of range|"),
        ("setrange k 536870912 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)|"),
        ("setrange nothing 5 \"\"", ":0|"),
        ("exists nothing", ":0|"),
        ("getset k 1", "$11|hello there|"),
        ("getdel k", "$1|1|"),
        ("getdel k", "$-1|"),
        ("setnx k 1", ":1|"),
        ("setnx k 2", ":0|"),
    ]);
}

#[test]
fn several_keys_are_set_at_once() {
    dialogue(&[
        ("mset a 1 b 2 a 3", "+OK|"),
        ("mget a b c", "*3|$1|3|$1|2|$-1|"),
        ("msetnx c 1 a 9", ":0|"),
        ("exists c", ":0|"),
        ("msetnx c 1 d 2", ":1|"),
        ("mset a", "-ERR wrong number of arguments for 'mset' command|"),
        ("mset a 1 b", "-ERR wrong number of arguments for 'mset' command|"),
        ("del a b nothing a", ":2|"),
        ("dbsize", ":2|"),
        ("flushall sync", "+OK|"),
        ("dbsize", ":0|"),
    ]);
}

#[test]
fn numbers_count() {
    dialogue(&[
        ("incr n", ":1|"),
        ("incrby n 41", ":42|"),
        ("decr n", ":41|"),
        ("decrby n 50", ":-9|"),
        ("decrby n -9223372036854775808", "-ERR decrement would overflow|"),
        ("incrby n -9223372036854775808", "-ERR increment or decrement would overflow|"),
        ("set n 9223372036854775807", "+OK|"),
        ("incr n", "-ERR increment or decrement would overflow|"),
        ("set n \"1 \"", "+OK|"),
        ("incr n", "-ERR value is not an integer or out of range|"),
        ("incrbyfloat n 1", "-ERR value is not a valid float|"),
        ("set n 3.0", "+OK|"),
        ("incrbyfloat n 1.1", "$3|4.1|"),
        ("incrbyfloat n inf", "-ERR increment would produce NaN or Infinity|"),
        ("pexpire n 5000", ":1|"),
        ("incrbyfloat n 1e3", "$22|1004.09999999999999998|"),
        ("ttl n", ":5|"),
    ]);
}
