//! What a program has sent before its end reaches its peers; peers that take nothing do not keep it from its end.

use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;

use holdfast_tests::machine::{PATIENCE, machine, outcome};
use xtask::forward::Forwarder;
use xtask::qemu::{Machine, Network};

const LENGTH: usize = 3_000_000;

/// Boots the program, and connects to it when it listens.
fn leave(way: &str, processors: u32) -> (Machine, PathBuf, Forwarder, TcpStream) {
    let mut options = machine("leave", &[way]);
    options.network = Network::User;
    options.smp = processors;
    let image = options.image.clone();
    let machine = Machine::start(options, None).unwrap();
    let listening = machine.console().wait_for_line(PATIENCE, |line| (line == "leave: listening").then_some(()));
    assert_eq!(listening, Some(()), "{:?}", machine.console().lines());
    let forwarder = machine.forward_any(7000).unwrap();
    let client = TcpStream::connect(forwarder.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    (machine, image, forwarder, client)
}

#[test]
fn what_was_written_before_the_end_arrives() {
    for (way, status) in [("return", 0), ("exit", 5), ("exit-in-thread", 6)] {
        for processors in [1, 2] {
            let (machine, image, _forwarder, mut client) = leave(way, processors);
            let mut got = Vec::new();
            client.read_to_end(&mut got).unwrap_or_else(|error| panic!("{way}: {error} after {} bytes", got.len()));
            assert_eq!(got.len(), LENGTH, "{way}, {processors} CPUs");
            assert!(got.iter().enumerate().all(|(at, &byte)| usize::from(byte) == at % 253), "{way}: other bytes");
            outcome(&machine, &image).expect_exit(status);
        }
    }
}

#[test]
fn a_peer_that_takes_nothing_does_not_keep_the_program_from_its_end() {
    let (machine, image, _forwarder, _client) = leave("to-the-deaf", 1);
    outcome(&machine, &image)
        .expect_exit(0)
        .expect_line("holdfast: 1 peers have not taken what was sent to them; it is lost");
}
