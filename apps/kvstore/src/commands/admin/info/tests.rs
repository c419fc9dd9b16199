//! `INFO` as clients see it.

use pmem::Pool;

use crate::testing::Harness;

/// Sends one request.
fn ask(client: &mut Harness, line: &str) -> String {
    String::from_utf8(client.bytes(format!("{line}\r\n").as_bytes())).unwrap()
}

/// The titles in a reply.
fn titles(reply: &str) -> Vec<&str> {
    reply.lines().filter_map(|line| line.strip_prefix("# ")).collect()
}

/// What follows `name:` on its line.
fn field(reply: &str, name: &str) -> String {
    let value = reply.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {reply}")).to_owned()
}

#[test]
fn info_shows_the_sections_that_are_asked_for() {
    const DEFAULT: [&str; 12] = [
        "Server",
        "Clients",
        "Memory",
        "Persistence",
        "Stats",
        "Replication",
        "CPU",
        "Modules",
        "Errorstats",
        "Cluster",
        "Keyspace",
        "Holdfast",
    ];
    let mut client = Harness::new();
    assert_eq!(titles(&ask(&mut client, "info")), DEFAULT);
    assert_eq!(titles(&ask(&mut client, "info Default")), DEFAULT);
    assert_eq!(titles(&ask(&mut client, "info CPU commandstats memory")), ["Memory", "CPU", "Commandstats"]);
    assert_eq!(titles(&ask(&mut client, "info commandstats default")).len(), DEFAULT.len() + 1);
    for all in ["info all", "info everything", "info cpu ALL"] {
        let reply = ask(&mut client, all);
        assert_eq!(titles(&reply).len(), DEFAULT.len() + 1, "{all}");
        assert_eq!(titles(&reply)[8], "Commandstats");
    }
    assert_eq!(ask(&mut client, "info nonsense"), "$0\r\n\r\n");
}

#[test]
fn info_commandstats_and_errorstats_count_calls_refusals_and_failures() {
    let mut client = Harness::new();
    for line in ["set k v", "incr k", "incr", "incr n", "client id", "client id x", "client", "auth x y", "nothing"] {
        ask(&mut client, line);
    }
    let stats = ask(&mut client, "info commandstats");
    let counts = |name: &str| {
        let text = field(&stats, &format!("cmdstat_{name}"));
        let number = |name: &str| text.split(',').find_map(|part| part.strip_prefix(name)?.parse::<u64>().ok());
        [number("calls="), number("rejected_calls="), number("failed_calls=")].map(Option::unwrap)
    };
    assert_eq!(counts("set"), [1, 0, 0]);
    assert_eq!(counts("incr"), [2, 1, 1]);
    assert_eq!(counts("client|id"), [1, 1, 0]);
    assert_eq!(counts("client"), [0, 1, 0]);
    assert_eq!(counts("auth"), [1, 0, 1]);
    assert!(!stats.contains("nothing") && !stats.contains("cmdstat_info"), "not counted before it is done: {stats}");
    let errors = ask(&mut client, "info errorstats");
    assert_eq!(field(&errors, "errorstat_ERR"), "count=5");
    assert_eq!(field(&errors, "errorstat_WRONGPASS"), "count=1");

    ask(&mut client, "config resetstat");
    assert_eq!(titles(&ask(&mut client, "info errorstats")), ["Errorstats"]);
    let stats = ask(&mut client, "info commandstats");
    assert_eq!(stats.matches("cmdstat_").count(), 2, "itself, and INFO: {stats}");
    assert_eq!(field(&ask(&mut client, "info stats"), "total_error_replies"), "0");
}

/// Clients and monitors take another id for another server's data.
#[test]
fn info_replication_tells_of_the_pools_history_which_goes_on_after_a_restart() {
    let told = |client: &mut Harness| {
        let reply = ask(client, "info replication");
        assert_eq!(field(&reply, "role") + &field(&reply, "second_repl_offset"), "master-1");
        assert_eq!(field(&reply, "master_replid2"), "0".repeat(40));
        (field(&reply, "master_replid"), field(&reply, "master_repl_offset").parse::<u64>().unwrap())
    };
    let mut client = Harness::new();
    let (id, begun) = told(&mut client);
    assert!(id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) && id != "0".repeat(40), "{id}");
    ask(&mut client, "set k v");
    ask(&mut client, "get k");
    assert_eq!(told(&mut client), (id.clone(), begun + 1));
    let pool = Pool::open(client.pool.close().unwrap()).unwrap();
    let mut again = Harness { pool, ..Harness::new() };
    let (same, later) = told(&mut again);
    assert!(same == id && later > begun, "{same} {later}");
}

#[test]
fn info_has_rates_of_the_last_moments() {
    let mut client = Harness::new();
    for _ in 0..20 {
        client.now_ms += 100;
        ask(&mut client, "ping");
    }
    client.now_ms += 100;
    let stats = ask(&mut client, "info stats");
    assert_eq!(field(&stats, "instantaneous_ops_per_sec"), "11", "16 times PING and this one in 1.6 s");
    // The harness has no sockets.
    assert_eq!(field(&stats, "instantaneous_input_kbps"), "0.00");
    client.now_ms += 3_600_000;
    assert_eq!(field(&ask(&mut client, "info stats"), "instantaneous_ops_per_sec"), "0");
}

#[test]
fn info_memory_remembers_the_most_that_was_used() {
    let mut client = Harness::new();
    ask(&mut client, &format!("set k {}", "x".repeat(50_000)));
    ask(&mut client, "ping");
    let full: u64 = field(&ask(&mut client, "info memory"), "used_memory").parse().unwrap();
    ask(&mut client, "del k");
    ask(&mut client, "config resetstat");
    let memory = ask(&mut client, "info memory");
    assert!(full > 50_000 && field(&memory, "used_memory").parse::<u64>().unwrap() < full, "{memory}");
    assert_eq!(field(&memory, "used_memory_peak"), full.to_string());
    assert!(field(&memory, "used_memory_peak_human").ends_with('K'));
    assert!(field(&memory, "used_memory_rss").parse::<u64>().unwrap() > 0, "this process has memory");
}

#[test]
fn info_cpu_has_the_processors_time() {
    let cpu = ask(&mut Harness::new(), "info cpu");
    for name in ["used_cpu_sys", "used_cpu_user", "used_cpu_sys_main_thread", "used_cpu_user_main_thread"] {
        let seconds = field(&cpu, name);
        assert_eq!(seconds.split_once('.').unwrap().1.len(), 6, "{seconds}");
        assert!(seconds.parse::<f64>().unwrap() >= 0.0);
    }
}

#[test]
fn info_shows_the_maxmemory_that_config_get_shows() {
    let mut client = Harness::new();
    for line in ["ping", "config set maxmemory 3mb", "config set maxmemory 0"] {
        client.send(line);
        let shown = field(&ask(&mut client, "info memory"), "maxmemory");
        let configured = client.send("config get maxmemory");
        assert!(configured.ends_with(&format!("|{shown}|")), "{line}: {shown} but {configured}");
    }
}
