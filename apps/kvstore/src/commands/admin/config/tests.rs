//! `CONFIG` as a client sees it. Errors are redis-server 7.0.15's.

use crate::testing::Harness;

fn refused(name: &str, why: &str) -> String {
    format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {why}|")
}

#[test]
fn config_get_knows_every_parameter_of_redis() {
    // Those that redis-server 7.0.15 lists for `CONFIG GET *`.
    const REDIS: &str = include_str!("redis-7.0.15.txt");
    let mut client = Harness::new();
    let all = client.send("config get *");
    let told: Vec<&str> = all.split('|').skip(2).step_by(4).collect();
    for name in REDIS.split_whitespace() {
        assert!(told.contains(&name), "{name}");
        assert!(client.send(&format!("config get {name}")).starts_with(&format!("*2|${}|{name}|", name.len())));
    }
    assert_eq!(REDIS.split_whitespace().count(), 192);
    assert!(told.is_sorted());
}

#[test]
fn config_get_takes_several_patterns_and_tells_each_parameter_once() {
    let mut client = Harness::new();
    for (line, reply) in [
        ("config get nothing", "*0|"),
        ("config get TIMEOUT", "*2|$7|TIMEOUT|$1|0|"),
        ("config get repl-t* timeout REPL-timeout", "*4|$12|repl-timeout|$2|60|$7|timeout|$1|0|"),
        ("config get s[al]ve", "*2|$4|save|$0||"),
        ("config get appendonly appendfsync", "*4|$11|appendfsync|$6|always|$10|appendonly|$3|yes|"),
        ("config get slave-priority", "*2|$14|slave-priority|$3|100|"),
    ] {
        assert_eq!(client.send(line), reply, "{line}");
    }
}

#[test]
fn config_set_keeps_what_has_no_effect_here() {
    let mut client = Harness::new();
    for (name, value, told) in [
        ("save", "", ""),
        ("save", "900 1 300 10", "900 1 300 10"),
        ("appendonly", "yes", "yes"),
        ("appendonly", "no", "no"),
        ("appendfsync", "everysec", "everysec"),
        ("maxmemory-policy", "allkeys-LRU", "allkeys-lru"),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("hash-max-listpack-entries", "7", "7"),
        ("zset-max-ziplist-value", "1kb", "1024"),
        ("list-max-listpack-size", "-5", "-5"),
        ("hz", "50", "50"),
        ("lazyfree-lazy-user-del", "yes", "yes"),
        ("loglevel", "debug", "debug"),
        ("replica-priority", "3", "3"),
    ] {
        assert_eq!(client.send(&format!("config set {name} \"{value}\"")), "+OK|", "{name} {value}");
        let reply = format!("*2|${}|{name}|${}|{told}|", name.len(), told.len());
        assert_eq!(client.send(&format!("config get {name}")), reply);
    }
    assert_eq!(client.send("config get slave-priority"), "*2|$14|slave-priority|$1|3|", "the name of old");
}

#[test]
fn config_set_refuses_what_redis_refuses_and_what_would_be_untrue() {
    let mut client = Harness::new();
    client.shared.info.protection = "none".into();
    let nothing = "nothing notices stray accesses here, so nothing can follow them";
    for (line, reply) in [
        ("config set a 1 b", "-ERR syntax error|".into()),
        ("config set a", "-ERR wrong number of arguments for 'config|set' command|".into()),
        (
            "config set hz 20 nonsense 1",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'nonsense'|".into(),
        ),
        ("config set Databases 2 nonsense 1", refused("Databases", "can't set immutable config")),
        ("config set protection pks", refused("protection", "can't set immutable config")),
        ("config set dir /tmp", refused("dir", "can't set protected config")),
        ("config set HZ many", refused("hz", "argument couldn't be parsed into an integer")),
        ("config set slave-lazy-flush 1", refused("slave-lazy-flush", "argument must be 'yes' or 'no'")),
        ("config set hz 1 HZ 1", refused("HZ", "duplicate parameter")),
        ("config set maxmemory 1tb", refused("maxmemory", "argument must be a memory value")),
        ("config set requirepass secret", refused("requirepass", "there are no passwords")),
        ("config set requirepass \"\"", "+OK|".into()),
        ("config set min-replicas-to-write 1", refused("min-replicas-to-write", "there is no replication")),
        ("config set fault-policy relaxed", refused("fault-policy", nothing)),
        ("config set scrub-rate fast", refused("scrub-rate", "argument must be bytes per second, or 0")),
        ("config rewrite", "-ERR The server is running without a config file|".into()),
    ] {
        assert_eq!(client.send(line), reply, "{line}");
    }
}

#[test]
fn config_set_does_all_or_nothing() {
    let mut client = Harness::new();
    client.shared.info.protection = "none".into();
    for line in [
        "config set hz 50 scrub-rate 7 timeout x",
        "config set hz 50 scrub-rate 7 timeout 9 fault-policy strict",
        "config set hz 50 scrub-rate 7 maxclients 4000000000",
    ] {
        let reply = client.send(line);
        assert!(reply.starts_with("-ERR CONFIG SET failed"), "{line}: {reply}");
        let untouched = "*6|$2|hz|$2|10|$10|scrub-rate|$6|524288|$7|timeout|$1|0|";
        assert_eq!(client.send("config get hz scrub-rate timeout"), untouched, "{line}");
    }
    assert_eq!(client.send("config set hz 50 scrub-rate 7 timeout 9"), "+OK|");
    assert_eq!(client.send("config get hz scrub-rate timeout"), "*6|$2|hz|$2|50|$10|scrub-rate|$1|7|$7|timeout|$1|9|");
}

#[test]
fn config_set_has_its_effect() {
    let mut client = Harness::new();
    let most = client.shared.limits.clients;
    let too_many =
        format!("The operating system is not able to handle the specified number of clients, try with {most}");
    assert_eq!(client.send(&format!("config set maxclients {}", most + 1)), refused("maxclients", &too_many));
    assert_eq!(client.send("config set maxclients 7"), "+OK|");
    assert_eq!(client.shared.limits.clients, 7);
    assert_eq!(client.send(&format!("config set maxclients {most}")), "+OK|");
}

#[test]
fn maxmemory_refuses_what_adds_data_and_nothing_else() {
    let mut client = Harness::new();
    client.send(&format!("set k {}", "x".repeat(2000)));
    assert_eq!(client.send("config set maxmemory 1kb"), "+OK|");
    assert_eq!(client.send("config get maxmemory"), "*2|$9|maxmemory|$4|1024|");
    let oom = "-OOM command not allowed when used memory > 'maxmemory'.|";
    for (line, reply) in [
        ("set l 1", oom),
        ("append k x", oom),
        ("strlen k", ":2000|"),
        ("expire k 100", ":1|"),
        ("del k", ":1|"),
        ("set l 1", "+OK|"),
        ("config set maxmemory 0", "+OK|"),
    ] {
        assert_eq!(client.send(line), reply, "{line}");
    }
}

#[test]
fn config_get_of_many_patterns_is_done_in_pieces() {
    let mut client = Harness::new();
    let whole = client.send("config get *policy MaxMemory");
    assert!(whole.contains("|MaxMemory|"), "{whole}");
    let request = format!("config get *policy MaxMemory{} maxmemory\r\n", " *a *policy".repeat(2000));
    let (asked, mut turns, mut rest) = (client.shared.counters.commands, 0, request.as_bytes());
    while !rest.is_empty() {
        let room = client.client.room(&client.shared.limits).unwrap().unwrap();
        let count = room.len().min(rest.len());
        room[..count].copy_from_slice(&rest[..count]);
        client.client.input.filled(count);
        rest = &rest[count..];
    }
    while client.shared.counters.commands == asked || client.client.outbox.sendable().is_empty() {
        client.turn();
        turns += 1;
    }
    assert!(turns > 10, "{turns} turns");
    let told = String::from_utf8(client.client.outbox.sendable().to_vec()).unwrap().replace("\r\n", "|");
    assert!(told.contains("|MaxMemory|") && told.contains("|maxmemory-policy|"), "{told}");
    assert_eq!(told.matches("|maxmemory-policy|").count(), 1);
}
