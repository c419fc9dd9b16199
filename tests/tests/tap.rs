//! The network card on a tap device, with which QEMU offers what it does not with its user network: checksums, and
//! several received segments in one frame. It takes root and /dev/net/tun; without them the test says that it is
//! skipped.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use holdfast_tests::machine::{PATIENCE, machine};
use xtask::qemu::{Machine, MachineOptions, Network};
use xtask::tap::{FIRST, Tap};

/// The bytes of each transfer, and the most of them that one segment on the wire carries.
const LEN: usize = 4 << 20;
const SEGMENT: usize = 1460;
/// How long the frames are depends on how both sides take turns, so there may be so many transfers.
const TRANSFERS: u32 = 20;

/// The frames that the host has given the device until now.
fn frames() -> usize {
    let count = fs::read_to_string(format!("/sys/class/net/{}/statistics/tx_packets", FIRST.name)).unwrap();
    count.trim().parse().unwrap()
}

/// Sends bytes to the guest's echo, and takes them back. How many frames that took, with those that acknowledge.
fn transfer() -> usize {
    let stream = TcpStream::connect(SocketAddr::from((FIRST.guest, 7777))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let sent: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
    let before = frames();
    let mut back = vec![0; LEN];
    thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&sent).unwrap());
        (&stream).read_exact(&mut back).unwrap();
    });
    assert!(back == sent, "other bytes came back");
    frames() - before
}

#[test]
fn segments_come_together_in_fewer_frames_than_there_are_segments() {
    let _tap = match Tap::create(FIRST) {
        Ok(tap) => tap,
        Err(error) => {
            // Past the test harness, which would keep it to itself.
            writeln!(io::stderr(), "SKIPPED, large receives are not tested: {error:#}").unwrap();
            return;
        }
    };
    let machine =
        Machine::start(MachineOptions { network: Network::Tap(FIRST), ..machine("hello", &[]) }, None).unwrap();
    let ready = |line: &str| line.starts_with("hello: ready").then_some(());
    assert!(machine.console().wait_for_line(PATIENCE, ready).is_some(), "{:?}", machine.console().lines());
    let counts: Vec<usize> = (0..TRANSFERS).map(|_| transfer()).take_while(|&count| count >= LEN / SEGMENT).collect();
    assert!(counts.len() < TRANSFERS as usize, "{} segments in so many frames: {counts:?}", LEN / SEGMENT);
    machine.press_power_button().unwrap();
    assert!(machine.wait(PATIENCE).is_some(), "{:?}", machine.console().lines());
}
