//! Starting and stopping.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::host::{Scratch, Server, program, protection, refusal};

/// Runs the program with these arguments, which it is to refuse.
fn run(arguments: &[&str]) -> (i32, String) {
    refusal(&mut program(arguments))
}

#[test]
fn a_wrong_command_line_is_explained() {
    for arguments in [&["--nonsense"][..], &[], &["--pmem", "x", "--port", "many"]] {
        let (code, message) = run(arguments);
        assert_eq!(code, 2, "{message}");
        assert!(message.starts_with("kvstore: ") && message.contains("usage: kvstore --pmem FILE"), "{message}");
    }
    let help = program(&["--help"]).output().unwrap();
    assert!(help.status.success() && help.stdout.starts_with(b"kvstore: "));
}

#[test]
fn the_ready_line_says_what_serves() {
    let scratch = Scratch::new();
    let file = scratch.file("pool");
    let server = Server::start(&file);
    let (port, file, protection) = (server.port, file.display(), protection());
    let durable = durable(&std::env::temp_dir());
    let expected = format!("kvstore: ready on port {port} ({file} 64.0 MiB, protection {protection}, {durable})\n");
    assert_eq!(server.ready, expected);
    assert_eq!(server.connect().ask(&["ping"]), "+PONG");
}

/// What the store says of a file in this directory, by what stat(1) says of its file system.
fn durable(directory: &Path) -> &'static str {
    let output = Command::new("stat").args(["--file-system", "--format=%T"]).arg(directory).output().unwrap();
    match str::from_utf8(&output.stdout).unwrap().trim() {
        "tmpfs" | "ramfs" => "durable process by memory",
        _ => "durable power by sync",
    }
}

#[test]
fn what_acknowledged_writes_survive_is_said_and_can_be_asked_for() {
    let program_file = std::env::current_exe().unwrap();
    for directory in [program_file.parent().unwrap(), Path::new("/dev/shm")] {
        let Ok(scratch) = Scratch::below(directory) else { continue };
        let says = durable(directory);
        for asked in ["process", "power"] {
            let path = scratch.file(asked);
            let arguments = ["--pmem", path.to_str().unwrap(), "--size", "64M", "--port", "0", "--durable", asked];
            if asked == "power" && says.starts_with("durable process") {
                let (code, message) = run(&arguments);
                assert_eq!(code, 1, "{message}");
                let expected = "does not survive a loss of power: it is memory that goes with the power";
                assert!(message.contains(expected) && message.contains("`--durable process`"), "{message}");
                assert!(!path.exists(), "a refused start left a file");
                continue;
            }
            let server = Server::spawn(&mut program(&arguments));
            assert!(server.ready.contains(says), "{}", server.ready);
            let mut client = server.connect();
            let info = client.ask(&["info", "holdfast"]);
            let mut words = says.split(' ').skip(1).step_by(2);
            let [durable, by] = [words.next().unwrap(), words.next().unwrap()];
            assert!(info.contains(&format!("\r\ndurable:{durable}\r\ndurable_by:{by}\r\n")), "{info}");
            // One system call for what a write changes, wherever that lies, on a disk; none in memory.
            assert_eq!(client.ask(&["set", "first", "opens a segment"]), "+OK");
            let before = client.info("syncs");
            assert_eq!(client.ask(&["mset", "a", "1", "b", "2"]), "+OK");
            assert_eq!(client.info("syncs") - before, u64::from(by == "sync"));
        }
    }
}

#[test]
fn nothing_is_served_unprotected_unless_it_is_asked_for() {
    let scratch = Scratch::new();
    for choice in ["auto", "pku"] {
        let file = scratch.file(choice);
        let arguments = ["--pmem", file.to_str().unwrap(), "--size", "64M", "--port", "0", "--protection", choice];
        if protection() == "pku" {
            assert!(Server::spawn(&mut program(&arguments)).ready.contains(", protection pku, "));
        } else {
            let (code, message) = run(&arguments);
            assert_eq!(code, 1, "{message}");
            assert!(message.contains("has no protection keys") && message.contains("`--protection none`"), "{message}");
            assert!(!file.exists(), "a refused start left a file");
        }
    }
    let server = Server::start_with(&scratch.file("none"), &["--protection", "none"]);
    assert!(server.ready.contains(", protection none, "), "{}", server.ready);
    let info = server.connect().ask(&["info", "holdfast"]);
    assert!(info.contains("protection:none"), "{info}");
}

#[test]
fn a_fault_policy_is_for_who_notices_stray_accesses() {
    let scratch = Scratch::new();
    if protection() == "pku" {
        let server = Server::start_with(&scratch.file("pool"), &["--fault-policy", "relaxed"]);
        assert!(server.connect().ask(&["info", "holdfast"]).contains("fault_policy:relaxed"));
    }
    let file = scratch.file("none");
    let (code, message) = run(&["--pmem", file.to_str().unwrap(), "--protection", "none", "--fault-policy", "strict"]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("nothing notices stray accesses") && !file.exists(), "{message}");
}

#[test]
fn what_cannot_be_opened_is_named() {
    let scratch = Scratch::new();
    let nowhere = scratch.file("no/such/place");
    let (code, message) = run(&["--pmem", nowhere.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(message.contains("no/such/place"), "{message}");

    let foreign = scratch.file("foreign");
    std::fs::write(&foreign, vec![b'x'; 8 << 20]).unwrap();
    let (code, message) = run(&["--pmem", foreign.to_str().unwrap(), "--port", "0"]);
    assert_eq!(code, 1, "{message}");
    assert!(std::fs::read(&foreign).unwrap().iter().all(|byte| *byte == b'x'), "it was left as it is");

    let file = scratch.file("pool");
    let server = Server::start(&file);
    let (code, message) = run(&["--pmem", file.to_str().unwrap(), "--port", "0"]);
    assert_eq!(code, 1, "one server at a time");
    assert!(message.contains("in use"), "{message}");
    drop(server);
    let (code, message) = run(&["--pmem", file.to_str().unwrap(), "--size", "1M", "--port", "0"]);
    assert_eq!(code, 1, "{message}");
}

#[test]
fn a_busy_port_is_named() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (code, message) = run(&["--pmem", scratch.file("pool").to_str().unwrap(), "--size", "8M", "--port", &port]);
    assert_eq!(code, 1);
    assert!(message.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{message}");
}

#[test]
fn shutdown_answers_others_and_ends_in_order() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.file("pool"));
    let (mut first, mut second) = (server.connect(), server.connect());
    assert_eq!(first.ask(&["set", "k", "v"]), "+OK");
    assert_eq!(second.ask(&["get", "k"]), "v");
    first.write(b"get k\r\nshutdown\r\nget k\r\n");
    assert_eq!(first.read(), "v", "what was asked before is answered");
    assert_eq!(first.read_to_end(), b"");
    assert_eq!(second.read_to_end(), b"");
    let (status, output) = server.wait();
    assert!(status.success());
    assert_eq!(output, "kvstore: stopped\n");
}

#[test]
fn a_log_without_a_reader_does_not_end_the_store() {
    let scratch = Scratch::new();
    let mut server = Server::start(&scratch.file("pool"));
    server.stop_reading();
    let mut client = server.connect();
    assert_eq!(client.ask(&["set", "k", "v"]), "+OK");
    client.write(b"SHUTDOWN\r\n");
    // It prints that it has stopped.
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn sigterm_and_its_kin_end_the_store_in_good_order() {
    for signal in ["TERM", "INT", "HUP"] {
        let scratch = Scratch::new();
        let file = scratch.file("pool");
        let server = Server::start(&file);
        assert_eq!(server.connect().ask(&["set", "k", "v"]), "+OK");
        server.signal(signal);
        let (status, printed) = server.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {printed}");
        assert!(printed.ends_with("kvstore: stopped\n"), "{signal}: {printed}");
        let opened = Server::start(&file).connect().ask(&["info", "holdfast"]);
        assert!(opened.contains("from a checkpoint"), "{signal}: {opened}");
    }
}
