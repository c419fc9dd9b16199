//! What `cargo xtask test soak` boots: a server whose connections carry checked streams both ways, with threads for
//! each of them, and a second port where a driver asks what the machine holds.
//!
//! On port 7100 a client says in 26 bytes what it wants (see [`serve::Wish`]); from then on both sides send bytes that
//! follow from the connection's seed, and each checks what it gets. On port 7101 there is a line of text for each
//! question and a line for each answer (see [`control`]).
#![forbid(unsafe_code)]

#[cfg(target_os = "hermit")]
mod churn;
#[cfg(target_os = "hermit")]
mod control;
#[cfg(target_os = "hermit")]
mod counts;
#[cfg(target_os = "hermit")]
mod serve;
/// The driver's own file: both sides have the same bytes.
#[cfg(target_os = "hermit")]
#[path = "../../../../src/soak/stream.rs"]
mod stream;

#[cfg(target_os = "hermit")]
fn main() {
    use std::net::TcpListener;
    use std::thread;

    let [streams, questions] = [7100, 7101].map(|port| TcpListener::bind(("0.0.0.0", port)).unwrap());
    thread::spawn(move || serve::listen(&streams));
    println!("soak: ready");
    control::listen(&questions);
}

#[cfg(not(target_os = "hermit"))]
fn main() {}
