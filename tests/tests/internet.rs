//! The guest and the world beyond QEMU's user network: names by a name server of the test's own, and IPv6.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;

use holdfast_tests::machine::{Outcome, machine, run};
use xtask::qemu::{MachineOptions, Network};
use xtask::size::MIB;

fn internet(kernel_options: &[String], arguments: &[&str]) -> Outcome {
    let outcome = run(MachineOptions {
        network: Network::User,
        kernel_options: kernel_options.to_vec(),
        memory: 128 * MIB,
        ..machine("internet", arguments)
    });
    outcome.expect_exit(0);
    outcome
}

/// The labels of the name that a question asks for, and the type.
fn asked(question: &[u8]) -> (String, u16) {
    let (mut labels, mut rest) = (Vec::new(), &question[12..]);
    while let Some((&len, tail)) = rest.split_first().filter(|(len, _)| **len > 0) {
        labels.push(String::from_utf8_lossy(&tail[..usize::from(len)]).into_owned());
        rest = &tail[usize::from(len)..];
    }
    (labels.join("."), u16::from_be_bytes([rest[1], rest[2]]))
}

fn reply(question: &[u8], rcode: u8, addresses: &[IpAddr]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    (bytes[2], bytes[3], bytes[7]) = (0x81, 0x80 | rcode, addresses.len() as u8);
    for address in addresses {
        let (kind, data) = match address {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (28, ip.octets().to_vec()),
        };
        bytes.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        bytes.extend(data);
    }
    bytes
}

/// Answers every name server's question but the first ones, which are lost; before a right answer come wrong ones.
fn name_server() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut question = [0; 600];
        for number in 0.. {
            let Ok((len, from)) = socket.recv_from(&mut question) else { return };
            let question = &question[..len];
            let (name, kind) = asked(question);
            let addresses: &[IpAddr] = match (&*name, kind) {
                ("one.example" | "lost.example", 1) => &["10.9.8.7".parse().unwrap()],
                ("both.example", 1) => &["10.9.8.7".parse().unwrap(), "10.9.8.6".parse().unwrap()],
                ("both.example", 28) => &["2001:db8::7".parse().unwrap()],
                _ => &[],
            };
            let rcode = match &*name {
                "one.example" | "both.example" | "none.example" | "lost.example" => 0,
                "trouble.example" => 2,
                _ => 3,
            };
            if name == "lost.example" && number % 4 < 2 {
                continue;
            }
            let right = reply(question, rcode, addresses);
            let mut forged = right.clone();
            forged[0] ^= 1;
            let mut endless = reply(question, 0, &["6.6.6.6".parse().unwrap()]);
            let at = question.len() as u8;
            endless[len + 1] = at;
            for datagram in [&[0xff; 40][..], &[], &forged, &endless[..len + 4], &right] {
                let _ = socket.send_to(datagram, from);
            }
        }
    });
    port
}

#[test]
fn names_are_looked_up_at_the_server_that_was_named() {
    let port = name_server();
    let names =
        ["one.example", "BOTH.example.", "none.example", "no.example", "localhost", "::1", "..", "lost.example"];
    let arguments: Vec<String> = names.iter().map(|name| format!("lookup={name}")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = internet(&[format!("dns=10.0.2.2:{port}")], &arguments);
    outcome.expect_line("lookup=one.example: 10.9.8.7:80");
    outcome.expect_line("lookup=lost.example: 10.9.8.7:80");
    outcome.expect_line("lookup=localhost: 127.0.0.1:80 [::1]:80");
    outcome.expect_line("lookup=::1: [::1]:80");
    let both = outcome.after("lookup=BOTH.example.: ");
    assert!(both.starts_with("10.9.8.7:80 10.9.8.6:80 [2001:db8::7]:80"), "{both}");
    for name in ["none.example", "no.example", ".."] {
        let refusal = outcome.after(&format!("lookup={name}: "));
        assert!(refusal.contains("failed to lookup address") && refusal.ends_with("(after 0 s)"), "{refusal}");
    }
}

/// Gives back what it is sent, at one address, by TCP and by UDP; where.
fn echo(ip: IpAddr) -> (u16, u16) {
    let (listener, socket) = (TcpListener::bind((ip, 0)).unwrap(), UdpSocket::bind((ip, 0)).unwrap());
    let ports = (listener.local_addr().unwrap().port(), socket.local_addr().unwrap().port());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut all = Vec::new();
            if stream.read_to_end(&mut all).is_ok() {
                let _ = stream.write_all(&all);
            }
        }
    });
    thread::spawn(move || {
        let mut bytes = [0; 2000];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&bytes[..len], from);
        }
    });
    ports
}

#[test]
fn a_router_gives_an_ipv6_address_with_which_the_host_is_reached() {
    let (tcp, udp) = echo(Ipv6Addr::LOCALHOST.into());
    let closed = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    // QEMU's user network has the host at fec0::2.
    let host = |port| SocketAddr::new("fec0::2".parse().unwrap(), port);
    let arguments = [format!("tcp={}", host(tcp)), format!("udp={}", host(udp)), format!("refused={}", host(closed))];
    let outcome = internet(&[], &arguments.each_ref().map(String::as_str));
    outcome.expect_line("holdfast: net fec0::5054:ff:fe12:3456/64 by router advertisement");
    outcome.expect_line(&format!("{}: came back", arguments[0])).expect_line(&format!("{}: came back", arguments[1]));
    assert!(outcome.after(&format!("{}: ", arguments[2])).starts_with("ConnectionRefused"), "{outcome}");
}

#[test]
fn an_ipv6_address_of_the_command_line_is_taken() {
    let (tcp, _) = echo(Ipv6Addr::LOCALHOST.into());
    let argument = format!("tcp=[fec0::2]:{tcp}");
    let outcome = internet(&["ip6=fec0::77/64,fe80::2".to_owned()], &[&argument]);
    outcome.expect_line("holdfast: net fec0::77/64").expect_line(&format!("{argument}: came back"));
}

#[test]
fn without_ipv6_there_is_no_way_to_it() {
    let outcome = internet(&["ip6=off".to_owned()], &["tcp=[fec0::2]:9", "tcp=[::1]:9"]);
    // ENETUNREACH has no kind on this target.
    assert!(outcome.after("tcp=[fec0::2]:9: ").starts_with("Uncategorized: Network is unreachable"), "{outcome}");
    assert!(outcome.after("tcp=[::1]:9: ").starts_with("ConnectionRefused"), "{outcome}");
}

#[test]
fn two_thousand_connections_are_open_at_once() {
    let outcome = run(MachineOptions { memory: 512 * MIB, ..machine("internet", &["crowd=2000"]) });
    outcome.expect_exit(0).expect_line("crowd=2000: 2000 connections at once");
}
