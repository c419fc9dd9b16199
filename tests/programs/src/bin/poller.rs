//! The crate `polling` watches descriptors, by the ABI's functions directly. On Linux the same checks pass.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use polling::{Event, Events, Poller};

#[cfg(target_os = "hermit")]
use libos as _;

fn main() {
    let checks: [(&str, fn()); 4] = [
        ("it gives up at its timeout", timeout),
        ("a notification wakes it", notification),
        ("a socket is told of once until it is asked for again", oneshot),
        ("interest can be changed and withdrawn", interest),
    ];
    for (name, check) in checks {
        check();
        println!("ok {name}");
    }
}

/// Lets the poller watch a socket.
fn add(poller: &Poller, socket: &TcpStream, interest: Event) {
    // SAFETY: every check takes the socket out again before it drops it.
    unsafe { poller.add(socket, interest) }.unwrap();
}

fn timeout() {
    let poller = Poller::new().unwrap();
    let mut events = Events::new();
    let before = Instant::now();
    assert_eq!(poller.wait(&mut events, Some(Duration::from_millis(20))).unwrap(), 0);
    assert!(before.elapsed() >= Duration::from_millis(20));
}

fn notification() {
    let poller = Arc::new(Poller::new().unwrap());
    let mut events = Events::new();
    for _ in 0..50 {
        let other = poller.clone();
        let thread = thread::spawn(move || other.notify().unwrap());
        // A notification wakes without an event.
        assert_eq!(poller.wait(&mut events, None).unwrap(), 0);
        thread.join().unwrap();
    }
    // None is left over.
    assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
}

/// Two ends of a connection, both of which do not block.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let first = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (second, _) = listener.accept().unwrap();
    first.set_nonblocking(true).unwrap();
    second.set_nonblocking(true).unwrap();
    (first, second)
}

fn oneshot() {
    let (mut near, mut far) = pair();
    let poller = Poller::new().unwrap();
    let mut events = Events::new();
    add(&poller, &near, Event::readable(7));
    far.write_all(b"one").unwrap();
    assert_eq!(poller.wait(&mut events, None).unwrap(), 1);
    let event = events.iter().next().unwrap();
    assert!(event.key == 7 && event.readable && !event.writable, "{event:?}");
    events.clear();
    // Nobody has asked again.
    assert_eq!(poller.wait(&mut events, Some(Duration::from_millis(5))).unwrap(), 0);
    poller.modify(&near, Event::readable(8)).unwrap();
    assert_eq!(poller.wait(&mut events, None).unwrap(), 1);
    assert_eq!(events.iter().next().unwrap().key, 8);
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 3);
    poller.delete(&near).unwrap();
}

fn interest() {
    let (near, far) = pair();
    let poller = Poller::new().unwrap();
    let mut events = Events::new();
    add(&poller, &near, Event::none(1));
    assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
    poller.modify(&near, Event::writable(1)).unwrap();
    assert_eq!(poller.wait(&mut events, None).unwrap(), 1);
    assert!(events.iter().next().unwrap().writable);
    events.clear();
    poller.modify(&near, Event::readable(1)).unwrap();
    drop(far);
    assert_eq!(poller.wait(&mut events, None).unwrap(), 1, "the end of the data is an event");
    events.clear();
    poller.delete(&near).unwrap();
    assert_eq!(poller.wait(&mut events, Some(Duration::from_millis(5))).unwrap(), 0);
}
