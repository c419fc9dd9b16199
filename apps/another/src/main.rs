//! Counts its visitors, in persistent memory: who connects is told how many there were, and no visitor who was told is
//! forgotten, whatever ends the machine.
#![forbid(unsafe_code)]

use std::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

// The whole operating system: its entry point is the image's.
#[cfg(target_os = "hermit")]
use libos as _;
use pmem::{Device, Durable, FormatOptions, Medium, Pool};

/// Where the pool keeps the number of visitors.
const VISITORS: &[u8] = b"visitors";
/// On the guest everybody may come in, on the host only this machine.
const ADDRESS: &str = if cfg!(target_os = "hermit") { "0.0.0.0:9000" } else { "127.0.0.1:9000" };
/// How long a visitor may take to be told.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("another: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Opens the pool and receives visitors, for as long as the machine runs.
fn serve() -> Result<(), Box<dyn Error>> {
    let device = open()?;
    let detail = format!("{}, protection {}", device.name(), device.protection());
    let mut pool = Pool::open_or_format(device, &FormatOptions::new(random_identity()))?;
    let listener = TcpListener::bind(ADDRESS)?;
    // On the guest, this ends the report of how long the boot took.
    #[cfg(target_os = "hermit")]
    libos::boot::ready();
    // `cargo xtask run` waits for this line and forwards to the port that it names.
    println!("another: ready on port {} ({detail})", listener.local_addr()?.port());
    for visitor in listener.incoming() {
        match visitor {
            Ok(visitor) => receive(visitor, &mut pool)?,
            Err(error) => eprintln!("another: a visitor was not received: {error}"),
        }
    }
    Ok(())
}

/// Counts a visitor, and then says so.
fn receive<M: Medium>(mut visitor: TcpStream, pool: &mut Pool<M>) -> Result<(), pmem::Error> {
    let (number, receipt) = count(pool)?;
    let told = visitor.set_write_timeout(Some(PATIENCE)).and_then(|()| visitor.write_all(&greeting(number, &receipt)));
    if let Err(error) = told {
        eprintln!("another: visitor {number} was not told: {error}");
    }
    Ok(())
}

/// Counts one more, in one turn of the pool. The receipt says that it is durable.
fn count<M: Medium>(pool: &mut Pool<M>) -> Result<(u64, Durable), pmem::Error> {
    let (counted, receipt) = pool.turn(|turn| -> Result<u64, pmem::Error> {
        let mut value = Vec::new();
        turn.get(VISITORS, &mut value)?;
        let number = value.try_into().map_or(0, u64::from_le_bytes) + 1;
        turn.put(VISITORS, &number.to_le_bytes(), None)?;
        Ok(number)
    })?;
    Ok((counted?, receipt))
}

/// What a visitor is told. It takes the receipt, so nobody can be told of what is not durable.
fn greeting(number: u64, _: &Durable) -> Vec<u8> {
    format!("you are visitor {number}\n").into_bytes()
}

/// On the guest the persistent memory is a device.
#[cfg(target_os = "hermit")]
fn open() -> Result<Device, pmem::device::OpenError> {
    Device::open("pmem0")
}

/// On the host it is a file, the first argument, and made when it does not exist.
#[cfg(not(target_os = "hermit"))]
fn open() -> Result<Device, pmem::device::OpenError> {
    const SIZE: u64 = 16 << 20;
    let path = std::env::args().nth(1).unwrap_or_else(|| "another.img".to_owned());
    if std::path::Path::new(&path).exists() { Device::open(path) } else { Device::create(path, SIZE) }
}

/// A new pool's identity has to be random; std seeds its hashers with the system's entropy.
fn random_identity() -> [u8; 16] {
    let random = || RandomState::new().build_hasher().finish().to_le_bytes();
    let mut identity = [0; 16];
    identity[..8].copy_from_slice(&random());
    identity[8..].copy_from_slice(&random());
    identity
}

#[cfg(test)]
mod tests {
    use pmem::sim::Memory;

    use super::*;

    #[test]
    fn visitors_are_counted_and_not_forgotten() {
        let memory = Memory::new(2 << 20);
        for number in 1..=3 {
            let mut pool = Pool::open_or_format(&memory, &FormatOptions::new([1; 16])).unwrap();
            let (counted, receipt) = count(&mut pool).unwrap();
            assert_eq!(greeting(counted, &receipt), format!("you are visitor {number}\n").into_bytes());
        }
    }
}
