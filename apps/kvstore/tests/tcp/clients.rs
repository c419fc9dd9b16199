//! What clients know of each other, and do to each other.

use std::net::{IpAddr, TcpStream, UdpSocket};

use crate::host::{Scratch, Server};

#[test]
fn client_kill_ends_the_connection_of_a_client_that_asks_for_nothing() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let (mut client, mut idle) = (server.connect(), server.connect());
    let id = idle.ask(&["client", "id"]);
    let address = idle.stream().local_addr().unwrap().to_string();
    assert!(client.ask(&["client", "list"]).contains(&format!("addr={address} laddr=127.0.0.1:{} ", server.port)));
    assert_eq!(client.ask(&["client", "kill", "id", id.trim_start_matches(':')]), ":1");
    assert_eq!(idle.read_to_end(), b"");
    assert!(!client.ask(&["client", "list"]).contains(&address));
    assert_eq!(client.info("connected_clients"), 1);
    let itself = client.stream().local_addr().unwrap().to_string();
    assert_eq!(client.ask(&["client", "kill", &itself]), "+OK");
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn client_info_has_the_address_that_was_reached_and_not_the_one_that_was_bound() {
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.file("pool"), &["--bind", "::"]);
    for address in ["127.0.0.1", "::1"] {
        let stream = TcpStream::connect((address, server.port)).unwrap();
        let (ours, theirs) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        let mut client = server.over(stream);
        let mapped = |shown: std::net::SocketAddr| match shown {
            std::net::SocketAddr::V4(v4) => format!("[{}]:{}", v4.ip().to_ipv6_mapped(), v4.port()),
            v6 => v6.to_string(),
        };
        let info = client.ask(&["client", "info"]);
        assert!(info.contains(&format!(" addr={} laddr={} ", mapped(ours), mapped(theirs))), "{info}");
    }
}

/// An address of this machine by which others reach it, if it has one.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Chooses a route; nothing is sent.
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

#[test]
fn protected_mode_refuses_clients_beyond_loopback_until_it_is_ended() {
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.file("pool"), &["--bind", "0.0.0.0"]);
    let mut inside = server.connect();
    assert_eq!(inside.ask(&["config", "get", "protected-mode"]), "protected-mode yes");
    let Some(outer) = outer_address() else {
        return println!("this machine has no other address than loopback: only the decision is tested");
    };
    let outside = || server.over(TcpStream::connect((outer, server.port)).unwrap());
    let told = String::from_utf8(outside().read_to_end()).unwrap();
    assert!(told.starts_with("-DENIED Redis is running in protected mode because "), "{told}");
    assert!(told.ends_with("accepting connections from the outside.\r\n") && told.matches('\n').count() == 1);
    assert_eq!((inside.info("rejected_connections"), inside.info("connected_clients")), (1, 1));
    assert_eq!(inside.ask(&["config", "set", "protected-mode", "no"]), "+OK");
    assert_eq!(outside().ask(&["ping"]), "+PONG");
    drop(server);

    let server = Server::start_with(&scratch.file("pool"), &["--bind", "0.0.0.0", "--protected-mode", "no"]);
    assert_eq!(server.over(TcpStream::connect((outer, server.port)).unwrap()).ask(&["ping"]), "+PONG");
}
