//! Sets of sockets that say when they become ready.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use libos::abi::{AddError, Event, Ready, ReadySet};

use super::{here, pair};

/// Longer than anything here takes.
const LONG: Option<Duration> = Some(Duration::from_secs(10));

pub fn check() {
    an_event_comes_for_each_change();
    ends_and_closed_sockets();
    many_at_once();
    what_cannot_be_added();
    a_waker_ends_a_wait();
}

/// What has become ready, at once or within a long time.
fn wait(set: &ReadySet, timeout: Option<Duration>) -> Vec<Event> {
    let mut events = Vec::with_capacity(16);
    set.wait(timeout, &mut events);
    events
}

fn now(set: &ReadySet) -> Vec<Event> {
    wait(set, Some(Duration::ZERO))
}

fn an_event_comes_for_each_change() {
    let set = ReadySet::new();
    let (mut server, mut client) = pair();
    set.add(server.as_raw_fd(), 7).unwrap();
    assert_eq!(now(&set), [Event { token: 7, ready: Ready::OUT }], "what it is ready for already");
    assert_eq!(now(&set), []);
    let sender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        client.write_all(b"one").unwrap();
        client
    });
    assert_eq!(wait(&set, LONG), [Event { token: 7, ready: Ready::IN }]);
    let mut client = sender.join().unwrap();
    assert_eq!(now(&set), [], "it was ready before, and is still");
    let mut bytes = [0; 16];
    assert_eq!(server.read(&mut bytes).unwrap(), 3);
    client.write_all(b"two").unwrap();
    assert_eq!(wait(&set, LONG), [Event { token: 7, ready: Ready::IN }], "what came after all was read");
    // Room that was missing. While bytes move on to the other end there is room again and again.
    server.set_nonblocking(true).unwrap();
    while !now(&set).is_empty() || server.write(&[0; 4096]).is_ok() {}
    let mut rest = vec![0; 1 << 20];
    let mut events = Vec::new();
    let began = Instant::now();
    while events.is_empty() && began.elapsed() < LONG.unwrap() {
        let _ = client.read(&mut rest).unwrap();
        events = now(&set);
    }
    assert_eq!(events, [Event { token: 7, ready: Ready::OUT }]);
}

fn ends_and_closed_sockets() {
    let set = ReadySet::new();
    let (server, client) = pair();
    set.add(server.as_raw_fd(), 1).unwrap();
    now(&set);
    drop(client);
    let [event] = wait(&set, LONG)[..] else { panic!("one event") };
    assert!(event.ready.contains(Ready::IN | Ready::RDHUP), "{event:?}");
    // One that is closed while its event waits.
    let (server, mut client) = pair();
    set.add(server.as_raw_fd(), 2).unwrap();
    client.write_all(b"lost").unwrap();
    drop(server);
    assert!(wait(&set, LONG).iter().all(|event| event.token == 2));
    assert_eq!(now(&set), []);
}

fn many_at_once() {
    let set = ReadySet::new();
    let listener = TcpListener::bind(here()).unwrap();
    set.add(listener.as_raw_fd(), 1000).unwrap();
    let clients: Vec<_> = (0..40).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
    assert_eq!(wait(&set, LONG), [Event { token: 1000, ready: Ready::IN }]);
    let servers: Vec<_> = clients.iter().map(|_| listener.accept().unwrap().0).collect();
    for (token, server) in servers.iter().enumerate() {
        set.add(server.as_raw_fd(), token).unwrap();
    }
    // As many as there is room for, and each once.
    let mut seen = Vec::new();
    for expected in [16, 16, 8, 0] {
        let events = now(&set);
        assert_eq!(events.len(), expected);
        seen.extend(events.iter().map(|event| event.token));
    }
    assert!(seen.iter().copied().eq(0..40));
}

fn what_cannot_be_added() {
    let set = ReadySet::new();
    let (server, _client) = pair();
    set.add(server.as_raw_fd(), 1).unwrap();
    assert_eq!(set.add(server.as_raw_fd(), 2), Err(AddError::Taken));
    assert_eq!(ReadySet::new().add(server.as_raw_fd(), 2), Err(AddError::Taken));
    assert_eq!(set.add(9999, 3), Err(AddError::NoSocket));
    assert_eq!(set.add(-1, 3), Err(AddError::NoSocket));
    assert_eq!(set.add(std::io::stdout().as_raw_fd(), 3), Err(AddError::NoSocket));
}

fn a_waker_ends_a_wait() {
    let set = ReadySet::new();
    let waker = set.waker(5).unwrap();
    waker.wake();
    waker.wake();
    assert_eq!(wait(&set, LONG), [Event { token: 5, ready: Ready::IN }]);
    assert_eq!(now(&set), []);
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        waker.wake();
    });
    assert_eq!(wait(&set, None), [Event { token: 5, ready: Ready::IN }]);
    other.join().unwrap();
}
