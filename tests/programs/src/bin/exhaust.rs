//! Asks the library for more and more of each thing that there is, until that is an error. Then the things are given
//! back, and one can be had again; and all of it once more while the heap is full. Each prints `ok NAME: …`.
//!
//! Asked to `refuse`, it listens on port 80 in a full heap until a client was refused.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("exhaust runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use std::fs::{self, File};
    use std::io::{self, Error};
    use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use libos::accounts::Traffic;

    const HERE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
    /// What may be missing: descriptors, buffers, memory, room for files, ports.
    const ERRORS: [i32; 5] = [24, 105, 12, 28, 98];
    /// More than there can be of anything.
    const MOST: usize = 100_000;

    pub(crate) fn main() {
        if std::env::args().any(|argument| argument == "refuse") {
            return refuse();
        }
        all_in_turn("");
        fill_the_heap(|| all_in_turn(" in a full heap"));
        all_in_turn(" again");
        println!("exhaust: the machine is still there");
    }

    /// Waits for a client whom the network refuses, for there is no memory for the connection.
    fn refuse() {
        let _listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).unwrap();
        // Nobody is there; but it waits until the machine has an address.
        assert!(TcpStream::connect((Ipv4Addr::new(10, 0, 2, 2), 1)).is_err());
        fill_the_heap(|| {
            println!("exhaust: ready on port 80");
            while Traffic::now().refused == 0 {
                thread::sleep(Duration::from_millis(10));
            }
        });
        println!("ok refused");
    }

    fn all_in_turn(when: &str) {
        exhaust(&format!("sockets{when}"), || UdpSocket::bind(HERE));
        exhaust(&format!("sockets with datagrams{when}"), with_datagrams);
        exhaust(&format!("listeners{when}"), || TcpListener::bind(HERE));
        connections(when);
        exhaust(&format!("event counters{when}"), event_counter);
        exhaust(&format!("open files{when}"), || File::create("/file"));
        files(when);
        threads(when);
        names(when);
        poll_sets(when);
    }

    /// Makes one after the other until that fails, gives them back, and makes one again where there is memory.
    fn exhaust<T>(name: &str, mut make: impl FnMut() -> io::Result<T>) {
        let mut made = Vec::new();
        // In a full heap even this list could fail.
        let full = made.try_reserve_exact(MOST).is_err();
        let most = if full { 64 } else { MOST };
        let mut held = [const { None }; 64];
        let error = (0..most).find_map(|number| match make() {
            Ok(thing) if full => {
                held[number] = Some(thing);
                None
            }
            Ok(thing) => {
                made.push(thing);
                None
            }
            Err(error) => Some(error),
        });
        let count = made.len() + held.iter().flatten().count();
        finish(name, count, error, full);
        drop((made, held));
        if !full {
            // Connections take a moment to wind up.
            while let Err(error) = make() {
                assert!(
                    ERRORS.contains(&error.raw_os_error().unwrap_or(0)),
                    "{name}, after all were given back: {error}"
                );
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn finish(name: &str, count: usize, error: Option<Error>, full: bool) {
        match error {
            Some(error) => {
                let number = error.raw_os_error();
                assert!(number.is_some_and(|number| ERRORS.contains(&number)), "{name}, after {count}: {error}");
                println!("ok {name}: {count}, then error {}", number.unwrap_or(0));
            }
            // What little is asked for there was room for.
            None => {
                assert!(full, "{name}: there is no end to them");
                println!("ok {name}: {count}");
            }
        }
    }

    /// A socket with a datagram that nobody has received.
    fn with_datagrams() -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(HERE)?;
        socket.send_to(b"unread", socket.local_addr()?)?;
        Ok(socket)
    }

    fn connections(when: &str) {
        let Ok(listener) = TcpListener::bind(HERE) else { return println!("ok connections{when}: no listener") };
        exhaust(&format!("connections{when}"), || {
            let client = TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_secs(5));
            // Refused by the machine, which is also its own peer.
            let client = client.map_err(|error| match error.raw_os_error() {
                Some(111 | 110) | None => Error::from_raw_os_error(105),
                _ => error,
            })?;
            Ok((client, listener.accept()?))
        });
    }

    fn event_counter() -> io::Result<OwnedFd> {
        // SAFETY: takes numbers; the descriptor that it returns is nobody else's.
        unsafe {
            match hermit_abi::eventfd(0, hermit_abi::EFD_NONBLOCK) {
                fd @ 0.. => Ok(OwnedFd::from_raw_fd(fd)),
                error => Err(Error::from_raw_os_error(-error)),
            }
        }
    }

    /// Files with names of their own, closed again.
    fn files(when: &str) {
        let mut count = 0;
        let error = loop {
            match fs::write(format!("/tmp/{count}"), [1; 4096]) {
                Ok(()) => count += 1,
                Err(error) => break error,
            }
        };
        finish(&format!("files{when}"), count, Some(error), false);
        (0..=count).for_each(|number| drop(fs::remove_file(format!("/tmp/{number}"))));
    }

    fn threads(when: &str) {
        static OVER: AtomicBool = AtomicBool::new(false);
        static ENDED: AtomicUsize = AtomicUsize::new(0);
        extern "C" fn wait(_: usize) {
            while !OVER.load(Ordering::SeqCst) {
                // SAFETY: sleeps.
                unsafe { hermit_abi::usleep(10_000) };
            }
            ENDED.fetch_add(1, Ordering::SeqCst);
        }
        OVER.store(false, Ordering::SeqCst);
        ENDED.store(0, Ordering::SeqCst);
        // SAFETY: the function takes any number.
        let spawn = || unsafe { hermit_abi::spawn2(wait, 0, hermit_abi::NORMAL_PRIO.into(), 1 << 16, -1) };
        let count = (0..MOST).take_while(|_| spawn() != 0).count();
        println!("ok threads{when}: {count}");
        assert!(count < MOST);
        OVER.store(true, Ordering::SeqCst);
        while ENDED.load(Ordering::SeqCst) < count {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn names(when: &str) {
        for length in [1, 63, 64, 255, 10_000] {
            let mut name = String::new();
            if name.try_reserve_exact(length).is_ok() {
                (0..length).for_each(|_| name.push('x'));
                assert!((name.as_str(), 80).to_socket_addrs().is_err());
            }
        }
        println!("ok names{when}");
    }

    fn poll_sets(when: &str) {
        let mut entry = hermit_abi::pollfd { fd: 1, events: 0, revents: 0 };
        for number in [65_537, 1 << 40, usize::MAX] {
            // SAFETY: so many entries are refused before the first is looked at.
            assert_eq!(unsafe { hermit_abi::poll(&mut entry, number, 0) }, -1);
        }
        println!("ok poll sets{when}");
    }

    /// Runs `work` while hardly any memory is left.
    fn fill_the_heap(work: impl FnOnce()) {
        let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(100_000);
        for size in [1 << 20, 1 << 16, 1 << 13] {
            loop {
                let mut block = Vec::new();
                if blocks.len() == blocks.capacity() || block.try_reserve_exact(size).is_err() {
                    break;
                }
                blocks.push(block);
            }
        }
        // A little, for the checks' own names and lines.
        blocks.truncate(blocks.len() - 8);
        work();
        drop(blocks);
    }
}
