//! The forwarder against ordinary TCP servers on this machine.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// No test waits for this; it only turns a hang into a failure.
const LONG: Duration = Duration::from_secs(60);

fn listener(backlog: i32) -> (TcpListener, SocketAddrV4) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(backlog).unwrap();
    let listener = TcpListener::from(socket);
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("an IPv4 listener") };
    (listener, address)
}

fn forwarder(target: Target) -> Forwarder {
    Forwarder::start(listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap(), target).unwrap()
}

fn connect(forwarder: &Forwarder) -> TcpStream {
    let stream = TcpStream::connect(forwarder.address()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream
}

/// A server that handles each connection on a thread of its own.
fn serve(backlog: i32, handle: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddrV4 {
    let (listener, address) = listener(backlog);
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, handle) = (stream.unwrap(), Arc::clone(&handle));
            stream.set_read_timeout(Some(LONG)).unwrap();
            thread::spawn(move || handle(stream));
        }
    });
    address
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

#[test]
fn bytes_go_both_ways() {
    let forwarder = forwarder(Target::Direct(serve(8, echo).into()));
    let mut client = connect(&forwarder);
    client.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn five_hundred_clients_at_once_pass_a_backlog_of_one() {
    // The server accepts, but only one connection is in its queue at a time, as with QEMU's user network.
    let forwarder = forwarder(Target::Paced(serve(1, echo)));
    let mut clients: Vec<TcpStream> = (0..500).map(|_| connect(&forwarder)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&(number as u32).to_le_bytes()).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(u32::from_le_bytes(answer), number as u32);
    }
}

/// How many connections to `address` wait for an answer to their SYN.
fn unanswered(address: SocketAddrV4) -> usize {
    const SYN_SENT: &str = "02";
    let remote = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().skip(2).take(2).collect::<Vec<_>>());
    fields.filter(|fields| *fields == [remote.as_str(), SYN_SENT]).count()
}

#[test]
fn nothing_is_sent_to_a_queue_that_is_full() {
    // Nobody accepts: a connection beyond those that fit would be dropped and tried again after a second.
    let (listener, address) = listener(1);
    let forwarder = forwarder(Target::Paced(address));
    let mut clients: Vec<TcpStream> = (0..10).map(|_| connect(&forwarder)).collect();
    let mut queue = backlog::AcceptQueue::new(address);
    while queue.has_room().unwrap() {
        thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..50 {
        assert_eq!(unanswered(address), 0);
        thread::sleep(Duration::from_millis(1));
    }
    // And as soon as they are taken, the next ones come.
    let servers: Vec<_> = clients.iter().map(|_| listener.accept().unwrap().0).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
    for mut server in servers {
        server.read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn clients_that_come_before_the_start_are_served_after_it() {
    let waiting = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let mut early = TcpStream::connect(waiting.local_addr().unwrap()).unwrap();
    early.set_read_timeout(Some(LONG)).unwrap();
    early.write_all(b"early").unwrap();
    let _forwarder = Forwarder::start(waiting, Target::Direct(serve(8, echo).into())).unwrap();
    let mut answer = [0; 5];
    early.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"early");
}

#[test]
fn a_half_close_is_carried_and_the_other_half_stays_open() {
    // The server answers only after it has seen the end of what the client says.
    let server = serve(8, |mut stream| {
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        stream.write_all(format!("{} bytes", said.len()).as_bytes()).unwrap();
    });
    let forwarder = forwarder(Target::Direct(server.into()));
    let mut client = connect(&forwarder);
    client.write_all(&[7; 100_000]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "100000 bytes");
}

#[test]
fn the_servers_half_close_is_carried_too() {
    let (said, heard) = mpsc::channel();
    let server = serve(8, move |mut stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        said.send(text).unwrap();
    });
    let forwarder = forwarder(Target::Direct(server.into()));
    let mut client = connect(&forwarder);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    client.write_all(b"still here").unwrap();
    drop(client);
    assert_eq!(heard.recv_timeout(LONG).unwrap(), "still here");
}

#[test]
fn a_reset_arrives_as_a_reset_at_either_end() {
    let (outcome, outcomes) = mpsc::channel();
    let server = serve(8, move |mut stream| {
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        if first == *b"r" {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        } else {
            stream.write_all(b"!").unwrap();
            outcome.send(stream.read(&mut [0; 1]).map_err(|error| error.kind())).unwrap();
        }
    });
    let forwarder = forwarder(Target::Direct(server.into()));

    let mut client = connect(&forwarder);
    client.write_all(b"r").unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);

    let mut client = connect(&forwarder);
    client.write_all(b"c").unwrap();
    client.read_exact(&mut [0]).unwrap();
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(outcomes.recv_timeout(LONG).unwrap(), Err(ErrorKind::ConnectionReset));
}

#[test]
fn a_target_that_is_not_there_resets_the_client() {
    for paced in [false, true] {
        let (listener, address) = listener(1);
        drop(listener);
        let target = if paced { Target::Paced(address) } else { Target::Direct(address.into()) };
        let forwarder = forwarder(target);
        let mut client = connect(&forwarder);
        assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_neither_memory_nor_others() {
    let forwarder = forwarder(Target::Direct(serve(8, echo).into()));
    let mut stubborn = connect(&forwarder);
    stubborn.set_nonblocking(true).unwrap();
    // Every queue on the way fills up, and then writing blocks: nothing in between takes without bound.
    let chunk = vec![0x55; 1 << 16];
    let mut sent = 0u64;
    let mut blocked = 0;
    while blocked < 20 {
        match stubborn.write(&chunk) {
            Ok(count) => (sent, blocked) = (sent + count as u64, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                blocked += 1;
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 1 << 30, "a gigabyte has gone somewhere");
    }
    let mut other = connect(&forwarder);
    other.write_all(b"hello").unwrap();
    other.read_exact(&mut [0; 5]).unwrap();

    // And once it reads, everything arrives.
    stubborn.set_nonblocking(false).unwrap();
    stubborn.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stubborn.read_to_end(&mut all).unwrap();
    assert_eq!(all.len() as u64, sent);
    assert!(all.iter().all(|&byte| byte == 0x55));
}

#[test]
fn dropping_the_forwarder_ends_its_connections_and_frees_its_port() {
    let forwarder = forwarder(Target::Direct(serve(8, echo).into()));
    let mut client = connect(&forwarder);
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    let address = forwarder.address();
    drop(forwarder);
    assert!(matches!(client.read(&mut [0; 1]), Ok(0) | Err(_)));
    drop(listen(address).unwrap());
}

#[test]
fn a_busy_port_is_named() {
    let (_listener, address) = listener(1);
    let error = format!("{:#}", listen(address.into()).unwrap_err());
    assert!(error.contains(&address.port().to_string()) && error.contains("--port"), "{error}");
}
