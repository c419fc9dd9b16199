//! Clients that hold connections rather than memory.

use holdfast_tests::resp::{Client, Reply};

use super::scene::Scene;
use super::{SIZES, SMALLEST};

/// Clients that begin a large request, send a little of it and go.
fn half_a_request_each(scene: &Scene) {
    const AT_ONCE: usize = 50;
    for _ in 0..4 {
        let mut clients: Vec<Client> = (0..AT_ONCE).map(|_| scene.store().client()).collect();
        for client in &mut clients {
            client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\nhalf").unwrap();
        }
    }
}

/// As many clients as there may be, which ask for nothing, and one more, who is told so.
fn more_clients_than_there_may_be(scene: &Scene) {
    let mut watcher = scene.store().client();
    let [most, held] = watcher.counts(["maxclients", "used_memory_clients"]);
    let mut idle = Vec::new();
    while watcher.count("connected_clients") < most {
        idle.push(scene.store().client());
        assert_eq!(idle.last_mut().unwrap().command("PING"), Reply::Status("PONG".into()));
    }
    let now = watcher.count("used_memory_clients");
    assert!(now < held + 64 * 1024, "{} idle clients hold {} bytes", idle.len(), now - held);
    let refused = Reply::Error("ERR max number of clients reached".into());
    assert_eq!(scene.store().client().reply().unwrap(), refused);
    assert!(watcher.count("rejected_connections") >= 1);
    // Who has come before is served all the time.
    assert_eq!(idle[0].command("PING"), Reply::Status("PONG".into()));
    println!("{} MiB: {most} clients", scene.memory >> 20);
    drop(idle);
    while watcher.count("connected_clients") >= most {}
    assert_eq!(scene.store().client().command("PING"), Reply::Status("PONG".into()));
}

#[test]
fn clients_beyond_the_limit_are_refused_in_words_and_counted() {
    Scene::boot(SMALLEST).endure(more_clients_than_there_may_be);
}

#[test]
fn half_requests_leave_nothing_behind() {
    Scene::boot(SMALLEST).endure(half_a_request_each);
}

#[test]
#[ignore = "takes minutes; `cargo xtask test hostile` runs it"]
fn connections_do_not_end_any_machine() {
    for memory in SIZES {
        for hostile in [half_a_request_each, more_clients_than_there_may_be] {
            Scene::boot(memory).endure(hostile);
        }
    }
}
