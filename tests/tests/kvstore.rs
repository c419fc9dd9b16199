//! The store as clients see it: commands, batches and limits. What it reports about its protection is in
//! `kvstore_protection.rs`.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use fastrand::Rng;
use holdfast_tests::machine::{CPUS, run};
use holdfast_tests::pattern::Pattern;
use holdfast_tests::random::random_bytes;
use holdfast_tests::resp::{Client, Reply};
use holdfast_tests::store::{Store, StoreImage, store_machine};
use xtask::qemu::MachineOptions;
use xtask::size::MIB;

fn store() -> (Store, StoreImage) {
    store_on(1)
}

/// A store on this many CPUs.
fn store_on(smp: u32) -> (Store, StoreImage) {
    let image = StoreImage::new(64 * MIB);
    (Store::start(MachineOptions { smp, ..store_machine(image.open()) }), image)
}

/// What `redis-cli` prints for these arguments.
fn redis_cli(address: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["-p", &address.port().to_string()]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn redis_cli_works() {
    for processors in CPUS {
        let (store, _image) = store_on(processors);
        for (command, answer) in [
            (&["ping"][..], "PONG"),
            (&["set", "greeting", "hello world"], "OK"),
            (&["get", "greeting"], "hello world"),
            (&["append", "greeting", "!"], "12"),
            (&["-3", "getrange", "greeting", "6", "-1"], "world!"),
            (&["get", "absent"], ""),
            (&["--no-raw", "get", "absent"], "(nil)"),
            (&["incrby", "number", "41"], "41"),
            (&["--no-raw", "incr", "number"], "(integer) 42"),
            (&["incr", "greeting"], "ERR value is not an integer or out of range"),
            (&["nonsense", "x"], "ERR unknown command 'nonsense', with args beginning with: 'x'"),
            (&["dbsize"], "2"),
            (&["del", "greeting", "number", "absent"], "2"),
            (&["dbsize"], "0"),
        ] {
            let found = redis_cli(store.address(), command);
            assert!(found.starts_with(answer) && found.is_empty() == answer.is_empty(), "{command:?}: {found}");
        }
    }
}

#[test]
fn redis_benchmark_ends_without_an_error() {
    for processors in CPUS {
        let (store, _image) = store_on(processors);
        for load in [["-n", "20000", "-c", "50", "-P", "16"], ["-n", "4000", "-c", "200", "-P", "1"]] {
            let port = store.address().port().to_string();
            let output = Command::new("redis-benchmark").args(["-p", &port, "-t", "set,get", "-q"]).args(load).output();
            let output = output.unwrap();
            let printed = String::from_utf8_lossy(&output.stdout).replace('\r', "\n");
            assert!(output.status.success(), "{output:?}");
            for command in ["SET: ", "GET: "] {
                let results = printed.lines().filter(|line| line.starts_with(command) && line.contains("per second"));
                assert_eq!(results.count(), 1, "{printed}");
            }
            let complaints = printed.to_lowercase() + &String::from_utf8_lossy(&output.stderr).to_lowercase();
            assert!(!complaints.contains("error"), "{output:?}");
        }
    }
}

#[test]
fn a_pipeline_is_answered_in_order_and_whole() {
    for processors in CPUS {
        let (store, _image) = store_on(processors);
        let mut client = store.client();
        let sets: Vec<String> = (0..1000).map(|number| format!("SET key:{number} value:{number}")).collect();
        assert!(client.pipeline(&sets).iter().all(|reply| *reply == Reply::ok()));
        let gets: Vec<String> = (0..1000).map(|number| format!("GET key:{number}")).collect();
        for (number, reply) in client.pipeline(&gets).into_iter().enumerate() {
            assert_eq!(reply.into_bytes().unwrap(), format!("value:{number}").as_bytes());
        }
    }
}

#[test]
fn a_client_that_half_closes_gets_its_answers() {
    let (store, _image) = store();
    let mut client = store.client();
    client.send(b"SET k v\r\nGET k\r\nPING\r\n").unwrap();
    client.finish_sending();
    assert_eq!(client.reply().unwrap(), Reply::ok());
    assert_eq!(client.reply().unwrap(), Reply::Bulk(b"v".to_vec()));
    assert_eq!(client.reply().unwrap(), Reply::Status("PONG".into()));
    assert!(client.reply().is_err(), "the server closes when everything is answered");
}

#[test]
fn three_hundred_clients_at_once_are_served() {
    for processors in CPUS {
        let (store, _image) = store_on(processors);
        let mut clients: Vec<Client> = (0..300).map(|_| store.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.set(&format!("key:{number}"), &[b'x'; 100]), Reply::ok());
        }
        assert_eq!(clients[0].command("DBSIZE"), Reply::Integer(300));
        assert_eq!(clients[0].info("connected_clients"), "300");
    }
}

#[test]
fn nonsense_on_the_wire_costs_only_its_own_connection() {
    let (store, _image) = store();
    let mut faithful = store.client();
    faithful.set("key", b"value");
    for nonsense in
        [&b"*1\r\n$-5\r\nx\r\n"[..], b"*99999999999\r\n", b"*1\r\n:1\r\n", b"*2\r\n$3\r\nGET\r\n$999999999999\r\n"]
    {
        let mut client = store.client();
        client.send(nonsense).unwrap();
        let reply = client.reply().unwrap();
        assert!(matches!(&reply, Reply::Error(error) if error.starts_with("ERR Protocol error")), "{reply:?}");
        assert!(client.reply().is_err(), "the connection goes on after {nonsense:?}");
        assert_eq!(faithful.get("key").unwrap(), b"value");
    }
    // Half a request, and then nothing more.
    let mut client = store.client();
    client.send(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$100\r\nhalf").unwrap();
    drop(client);
    assert_eq!(faithful.get("key").unwrap(), b"value");
}

#[test]
fn a_value_of_sixteen_megabytes_is_kept() {
    let image = StoreImage::new(128 * MIB);
    let store = Store::boot(&image);
    let value = random_bytes(&mut Rng::with_seed(1), 16 << 20);
    let mut client = store.client();
    assert_eq!(client.set("large", &value), Reply::ok());
    assert!(client.get("large").unwrap() == value);
    assert_eq!(client.command("STRLEN large"), Reply::Integer(16 << 20));
    store.kill();
    let store = Store::boot(&image);
    assert!(store.client().get("large").unwrap() == value);
}

#[test]
fn a_full_pool_refuses_writes_and_keeps_everything_else() {
    let image = StoreImage::new(32 * MIB);
    let store = Store::boot(&image);
    let mut client = store.client();
    let value = |number: usize| random_bytes(&mut Rng::with_seed(number as u64), 10_000);
    let fill = |client: &mut Client, from: usize| {
        let refused = (from..).map(|number| (number, client.set(&format!("key:{number}"), &value(number))));
        refused.into_iter().find(|(_, reply)| *reply != Reply::ok()).unwrap()
    };
    let (count, refusal) = fill(&mut client, 0);
    assert!(matches!(&refusal, Reply::Error(error) if error.starts_with("OOM ")), "{refusal:?}");
    assert!(count > 500, "full after {count} values of 10 kB in 32 MiB");
    // The refused key is not there; reading goes on.
    assert_eq!(client.get(&format!("key:{count}")), None);
    for number in (0..count).step_by(97) {
        assert!(client.get(&format!("key:{number}")).unwrap() == value(number));
    }
    // Deleting makes room again.
    for number in (0..count).step_by(2) {
        assert_eq!(client.command(&format!("DEL key:{number}")), Reply::Integer(1));
    }
    let (end, _) = fill(&mut client, count);
    assert!(end - count > count / 4, "{} new values fit after {} of {count} were deleted", end - count, count / 2);
    store.kill();
    let store = Store::boot(&image);
    let mut client = store.client();
    for number in 0..end {
        let expected = (number >= count || number % 2 == 1).then(|| value(number));
        assert!(client.get(&format!("key:{number}")) == expected, "key:{number}");
    }
    assert_eq!(client.command("FLUSHALL"), Reply::ok());
    assert_eq!(client.set("key", &value(0)), Reply::ok());
}

#[test]
fn an_image_that_is_no_pool_is_refused_and_left_alone() {
    let image = Pattern::new(64 * MIB, 64 * MIB, 3);
    let outcome = run(store_machine(image.open()));
    outcome.expect_exit(1);
    let told = outcome.after("kvstore: ");
    assert!(told.contains("pmem0") && told.contains("`cargo xtask pool check FILE`"), "{outcome}");
    assert_eq!(image.changes(), [], "{outcome}");
}

#[test]
fn a_machine_without_persistent_memory_is_told_what_it_lacks() {
    let image = StoreImage::new(64 * MIB);
    let mut options = store_machine(image.open());
    options.pmem.clear();
    let outcome = run(options);
    outcome.expect_exit(1);
    assert!(outcome.after("kvstore: ").contains("pmem0"), "{outcome}");
}

#[test]
fn info_tells_the_memory_and_the_processors_time_of_the_machine() {
    let began = Instant::now();
    let (store, _image) = store_on(4);
    let mut client = store.client();
    let seconds: f64 = client.info("used_cpu_user").parse().unwrap();
    // One of the CPUs may have been at work all the time; the others had hardly anything to do.
    let elapsed = began.elapsed().as_secs_f64();
    assert!(0.0 < seconds && seconds < 2.0 * elapsed, "{seconds} s of 4 CPUs in {elapsed} s");
    assert!(client.info("used_memory_rss").parse::<u64>().unwrap() < 256 * MIB);
    assert!(client.info("cmdstat_info").starts_with("calls=2,"));
}

#[test]
fn client_list_has_the_guests_own_address_and_client_kill_ends_a_connection() {
    let (store, _image) = store();
    let (mut client, mut idle) = (store.client(), store.client());
    let Reply::Integer(id) = idle.command("CLIENT ID") else { panic!("no number") };
    let list = String::from_utf8(client.command("CLIENT LIST").into_bytes().unwrap()).unwrap();
    let line = list.lines().find(|line| line.starts_with(&format!("id={id} "))).unwrap();
    assert!(line.contains(" addr=10.0.2.2:") && line.contains(" laddr=10.0.2.15:6379 fd="), "{line}");
    assert_eq!(client.command(&format!("CLIENT KILL ID {id}")), Reply::Integer(1));
    assert!(idle.try_command(&[b"PING"]).is_err());
    assert_eq!(client.command("PING"), Reply::Status("PONG".into()));
}

#[test]
fn protected_mode_is_not_for_a_machine_whose_clients_are_all_on_others() {
    let (store, _image) = store();
    let mut client = store.client();
    let value = |client: &mut Client| client.command("CONFIG GET protected-mode");
    let off = Reply::Array(vec![Reply::Bulk(b"protected-mode".to_vec()), Reply::Bulk(b"no".to_vec())]);
    assert_eq!(value(&mut client), off);
    let Reply::Error(why) = client.command("CONFIG SET protected-mode yes") else { panic!("it would lock us out") };
    assert!(why.contains("every client of this machine is on another one"), "{why}");
    assert_eq!((value(&mut client), store.client().command("PING")), (off, Reply::Status("PONG".into())));
}
