//! Servers in the guest and their clients outside, on the way that `cargo xtask run` gives them: the forwarder, QEMU's
//! user network, virtio-net.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::machine::{CPUS, PATIENCE, machine};
use xtask::forward::Forwarder;
use xtask::qemu::{Machine, MachineOptions, Network};
use xtask::size::MIB;

const ECHO: u16 = 7000;
const SUM: u16 = 7001;
const POUR: u16 = 7002;
const COUNT: u16 = 7003;

/// Boots the program `servers` and waits until it accepts connections.
fn servers(smp: u32) -> Machine {
    let options = MachineOptions { smp, network: Network::User, memory: 256 * MIB, ..machine("servers", &[]) };
    let machine = Machine::start(options, None).unwrap();
    let ready = machine.console().wait_for_line(PATIENCE, |line| (line == "servers: ready").then_some(()));
    assert!(ready.is_some(), "{:?}", machine.console().lines());
    machine
}

fn connect(server: &Forwarder) -> TcpStream {
    connect_to(server.address())
}

fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Bytes that differ from place to place and from seed to seed.
fn data(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32).map(|at| ((at ^ seed << 20).wrapping_mul(0x9e37_79b9) >> 24) as u8).collect()
}

/// Sends one message and expects it back.
fn exchange(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut back = vec![0; message.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == message, "other bytes came back than were sent");
}

/// How many connections the guest's servers still have.
fn connections(counter: &Forwarder) -> usize {
    let mut told = String::new();
    connect(counter).read_to_string(&mut told).unwrap();
    told.trim().parse().unwrap()
}

#[test]
fn sixteen_megabytes_come_back_as_they_were_sent() {
    for processors in CPUS {
        let machine = servers(processors);
        let echo = machine.forward_any(ECHO).unwrap();
        let sent = data(16 << 20, 0);
        let stream = connect(&echo);
        let back = thread::scope(|scope| {
            scope.spawn(|| {
                (&stream).write_all(&sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            });
            let mut back = Vec::new();
            (&stream).read_to_end(&mut back).unwrap();
            back
        });
        assert_eq!(back.len(), sent.len());
        assert!(back == sent, "other bytes came back than were sent");
    }
}

#[test]
fn an_answer_follows_the_end_of_the_question() {
    for processors in CPUS {
        let machine = servers(processors);
        let sum = machine.forward_any(SUM).unwrap();
        for length in [0, 1, 1 << 20] {
            let question = data(length, 1);
            let mut stream = connect(&sum);
            stream.write_all(&question).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let sum = question.iter().fold(0u64, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
            assert_eq!(answer, format!("{length} {sum}\n"));
        }
    }
}

#[test]
fn three_hundred_clients_are_served_at_once() {
    for processors in CPUS {
        let machine = servers(processors);
        let (echo, counter) = (machine.forward_any(ECHO).unwrap(), machine.forward_any(COUNT).unwrap());
        let mut clients: Vec<_> = (0..300).map(|_| connect(&echo)).collect();
        for round in 0..3 {
            for (number, client) in clients.iter_mut().enumerate() {
                client.write_all(&data(200, number as u32 + round)).unwrap();
            }
            for (number, client) in clients.iter_mut().enumerate() {
                let mut back = [0; 200];
                client.read_exact(&mut back).unwrap();
                assert_eq!(back[..], data(200, number as u32 + round));
            }
        }
        assert_eq!(connections(&counter), 300);
        drop(clients);
        wait_for_end(&counter);
    }
}

#[test]
fn clients_that_vanish_disturb_no_others_and_are_forgotten() {
    for processors in CPUS {
        let machine = servers(processors);
        let [echo, pour, counter] = [ECHO, POUR, COUNT].map(|port| machine.forward_any(port).unwrap());
        let mut faithful = connect(&echo);
        exchange(&mut faithful, b"before");
        for round in 0..5 {
            // Gone without a word while the server sends to it: what it has not read makes the end a reset.
            let mut reader = connect(&pour);
            reader.read_exact(&mut [0; 1000]).unwrap();
            exchange(&mut faithful, &data(5000, round));
            drop(reader);
            // Asks half a question and goes.
            connect(&echo).write_all(b"half a ").unwrap();
            exchange(&mut faithful, &data(5000, round));
        }
        drop(faithful);
        wait_for_end(&counter);
    }
}

#[test]
fn a_client_that_never_reads_does_not_hold_up_others() {
    for processors in CPUS {
        let machine = servers(processors);
        let echo = machine.forward_any(ECHO).unwrap();
        let mut faithful = connect(&echo);
        // Sends without reading until neither side can go on.
        let flood = connect(&echo);
        flood.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let chunk = data(1 << 16, 0);
        while (&flood).write_all(&chunk).is_ok() {}
        for round in 0..20 {
            exchange(&mut faithful, &data(5000, round));
            exchange(&mut connect(&echo), &data(5000, round));
        }
    }
}

/// Waits until the servers have no connection left.
fn wait_for_end(counter: &Forwarder) {
    let deadline = Instant::now() + PATIENCE;
    while connections(counter) > 0 {
        assert!(Instant::now() < deadline, "{} connections never end", connections(counter));
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_port_where_nobody_listens_closes_the_connection() {
    for processors in CPUS {
        let machine = servers(processors);
        let nobody = machine.forward_any(7777).unwrap();
        let mut stream = connect(&nobody);
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
}
