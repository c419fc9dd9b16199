//! Threads that go astray under the policy that ends them, while a TCP service in other threads of the same program
//! goes on: `ending WAY`. Each way prints `ok …` for what it has seen; the stray bytes are `MARK` at `OFFSET` of the
//! first device.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("ending runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::slice;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use libos::dax::{Device, Protection, devices};
    use libos::task::{Timer, ended_count};
    use libos::time::now;

    const MARK: u64 = 0x5741_5254_5359_4152;
    const OFFSET: u64 = 0x12_3450;
    /// How many threads go astray in each way.
    const ROUNDS: u64 = 5;

    /// A way of going astray, given both devices.
    type Way = fn(&'static Device, &'static Device);

    pub(crate) fn main() {
        let way = std::env::args().nth(1).unwrap_or_default();
        let [first, second, ..] = devices() else { panic!("the test gives this program two NVDIMMs") };
        let service = service();
        match way.as_str() {
            "threads" => threads(first, second, service),
            "join" => {
                let astray = thread::spawn(|| store(first));
                println!("ending: joined {:?}", astray.join().is_ok());
            }
            "main" => store(first),
            "interrupt" => interrupt(first),
            "locked" => locked(first, service),
            _ => panic!("no such way"),
        }
        println!("ending: survived");
    }

    #[inline(never)]
    fn store(device: &Device) {
        let at = (device.address_range().start + OFFSET).as_mut_ptr::<u64>();
        // SAFETY: none. This is the mistake that the protection is there for; it touches no memory of Rust's.
        unsafe { at.write_volatile(MARK) };
    }

    /// A service that doubles numbers: one thread that accepts, and one for each connection.
    fn service() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || double(stream.unwrap()));
            }
        });
        address
    }

    fn double(mut stream: TcpStream) {
        let mut number = [0; 8];
        while stream.read_exact(&mut number).is_ok() {
            let doubled = u64::from_le_bytes(number).wrapping_mul(2);
            if stream.write_all(&doubled.to_le_bytes()).is_err() {
                return;
            }
        }
    }

    fn ask(stream: &mut TcpStream, number: u64) {
        stream.write_all(&number.to_le_bytes()).unwrap();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(u64::from_le_bytes(answer), number * 2);
    }

    /// Lets threads go astray in different ways while a client is served, over one connection all the time and a new
    /// one after each.
    fn threads(first: &'static Device, second: &'static Device, service: SocketAddr) {
        let mut lasting = TcpStream::connect(service).unwrap();
        let ways: [(&str, Way); 4] = [
            ("without-a-grant", |first, _| store(first)),
            ("in-its-own-read-grant", |first, _| first.read_lock().unwrap().read(|_| store(first))),
            ("in-another-device's-write-grant", |first, second| {
                second.read_lock().unwrap().write(|_| store(first)).unwrap()
            }),
            ("in-a-section", |first, _| {
                let _section = first.read_lock().unwrap();
                store(first);
            }),
        ];
        for (name, way) in ways {
            for round in 0..ROUNDS {
                let before = ended_count();
                let astray = thread::spawn(move || way(first, second));
                let protected = first.protection() != Protection::None;
                while protected && ended_count() == before {
                    ask(&mut lasting, round);
                }
                if !protected {
                    astray.join().unwrap();
                }
                ask(&mut lasting, round);
                ask(&mut TcpStream::connect(service).unwrap(), round);
            }
            println!("ok {name}");
        }
        println!("ending: {} threads ended", ended_count());
    }

    /// By an interrupt handler: no thread's fault, so no thread can be ended for it.
    fn interrupt(device: &'static Device) {
        static DONE: AtomicBool = AtomicBool::new(false);
        fn tick(_: usize) {
            store(&devices()[0]);
            DONE.store(true, Ordering::SeqCst);
        }
        let _ = device;
        let timer = Timer::new(tick, 0);
        timer.arm(now() + Duration::from_millis(1));
        while !DONE.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
    }

    /// By the library itself, on behalf of a program that lets it receive into persistent memory: the network's lock is
    /// held there.
    fn locked(device: &'static Device, service: SocketAddr) {
        let astray: JoinHandle<()> = thread::spawn(move || {
            let mut stream = TcpStream::connect(service).unwrap();
            stream.write_all(&MARK.to_le_bytes()).unwrap();
            // SAFETY: none, as in `store`.
            let buffer =
                unsafe { slice::from_raw_parts_mut((device.address_range().start + OFFSET).as_mut_ptr::<u8>(), 8) };
            stream.read_exact(buffer).unwrap();
        });
        while !astray.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
