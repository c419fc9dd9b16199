//! What a service manager does, done by hand: the store takes its socket, and tells how far it is.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::host::{HANG, Scratch, Server, program, refusal};

/// The program, to be started with this as the first of `count` sockets that are handed over.
fn handed(socket: OwnedFd, count: usize, arguments: &[&str]) -> Command {
    // They are the descriptors from 3 on, and are meant for the process with this number, which a shell stays.
    let script = format!("export LISTEN_FDS={count} LISTEN_PID=$$; exec \"$@\" 3<&0 4<&0 </dev/null");
    let store = program(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(store.get_program()).args(store.get_args());
    command.stdin(Stdio::from(socket));
    command
}

#[test]
fn a_socket_that_is_handed_over_is_served() {
    let scratch = Scratch::new();
    let file = scratch.file("pool");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::spawn(&mut handed(listener.into(), 1, &["--pmem", file.to_str().unwrap(), "--size", "64M"]));
    assert_eq!(server.port, address.port());
    let mut client = server.connect();
    assert_eq!(client.ask(&["set", "key", "value"]), "+OK");
    assert_eq!(client.ask(&["config", "get", "bind"]), "bind 127.0.0.1");
    assert_eq!(client.ask(&["config", "get", "port"]), format!("port {}", address.port()));
}

#[test]
fn the_service_of_systemd_starts_the_store() {
    let scratch = Scratch::new();
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let unit = std::fs::read_to_string(package.join("systemd/kvstore.service")).unwrap();
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/kvstore ")).unwrap();
    // Where systemd keeps the service's folder.
    let command = command.replace("%S/kvstore", scratch.file("").to_str().unwrap());
    let arguments: Vec<_> = command.split(' ').collect();
    let server = Server::spawn(&mut handed(TcpListener::bind("127.0.0.1:0").unwrap().into(), 1, &arguments));
    assert!(scratch.file("pmem0.img").is_file(), "{}", server.ready);
}

#[test]
fn what_is_handed_over_and_is_no_socket_to_listen_on_is_refused() {
    let scratch = Scratch::new();
    let pool = scratch.file("pool");
    let arguments = ["--pmem", pool.to_str().unwrap()];
    let file = File::open("/dev/null").unwrap();
    let (code, said) = refusal(&mut handed(file.into(), 1, &arguments));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the socket that the service manager hands over is of no use"), "{said}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, said) = refusal(&mut handed(listener.into(), 2, &arguments));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("hands over 2 sockets, and the store listens on one"), "{said}");
    assert!(!pool.exists(), "nothing was made");
}

#[test]
fn a_service_manager_hears_when_the_store_is_ready_and_when_it_stops() {
    let scratch = Scratch::new();
    let manager = UnixDatagram::bind(scratch.file("notify")).unwrap();
    manager.set_read_timeout(Some(HANG)).unwrap();
    let hear = || {
        let mut message = [0; 64];
        let len = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).trim_end().to_owned()
    };
    let file = scratch.file("pool");
    let mut command = program(&["--pmem", file.to_str().unwrap(), "--size", "64M", "--port", "0"]);
    let server = Server::spawn(command.env("NOTIFY_SOCKET", scratch.file("notify")));
    assert_eq!(hear(), "READY=1");
    server.signal("TERM");
    assert_eq!(hear(), "STOPPING=1");
    let (status, said) = server.wait();
    assert!(status.success() && said.ends_with("kvstore: stopped\n"), "{said}");
}

#[test]
fn a_service_manager_that_cannot_be_told_does_not_keep_the_store_from_serving() {
    let scratch = Scratch::new();
    let file = scratch.file("pool");
    let mut command = program(&["--pmem", file.to_str().unwrap(), "--size", "64M", "--port", "0"]);
    command.env("NOTIFY_SOCKET", scratch.file("nobody")).stderr(Stdio::piped());
    let server = Server::spawn(&mut command);
    assert_eq!(server.connect().ask(&["ping"]), "+PONG");
    server.signal("TERM");
    let (status, said) = server.wait_and_read_errors();
    assert!(status.success() && said.contains("cannot tell the service manager"), "{said}");
}
