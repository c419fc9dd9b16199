//! Clients that hold connections rather than memory.

use holdfast_tests::resp::Client;

use crate::scene::Scene;
use crate::{SIZES, SMALLEST};

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

#[test]
fn half_requests_leave_nothing_behind() {
    Scene::boot(SMALLEST).endure(half_a_request_each);
}

#[test]
#[ignore = "takes minutes; `cargo xtask test hostile` runs it"]
fn connections_do_not_end_any_machine() {
    for memory in SIZES {
        Scene::boot(memory).endure(half_a_request_each);
    }
}
