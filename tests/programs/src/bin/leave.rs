//! Ends with data on the way to a client: `leave WAY`. Sends `LENGTH` bytes to the first client and ends at once.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("leave runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};
    use std::{process, thread};

    use libos as _;

    const LENGTH: usize = 3_000_000;

    pub(crate) fn main() {
        let way = std::env::args().nth(1).unwrap_or_default();
        let listener = TcpListener::bind("0.0.0.0:7000").unwrap();
        println!("leave: listening");
        let (mut client, _) = listener.accept().unwrap();
        match way.as_str() {
            "return" => send(&mut client),
            "exit" => {
                send(&mut client);
                process::exit(5);
            }
            "exit-in-thread" => {
                thread::spawn(move || {
                    send(&mut client);
                    process::exit(6);
                });
                loop {
                    thread::park();
                }
            }
            "to-the-deaf" => {
                // Until no more has gone out for a while: the client takes nothing.
                client.set_nonblocking(true).unwrap();
                let (mut sent, mut refused) = (0, 0);
                while refused < 20 {
                    match client.write(&[b'x'; 10_000]) {
                        Ok(count) => (sent, refused) = (sent + count, 0),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            refused += 1;
                            thread::sleep(std::time::Duration::from_millis(10));
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                println!("leave: the client has not taken all of {sent} bytes");
            }
            _ => panic!("no such way"),
        }
    }

    fn send(client: &mut TcpStream) {
        let bytes: Vec<u8> = (0..LENGTH).map(|at| (at % 253) as u8).collect();
        client.write_all(&bytes).unwrap();
    }
}
