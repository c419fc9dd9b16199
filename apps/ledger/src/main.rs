//! An append-only ledger whose entries live in protected persistent memory, served over HTTP.
//!
//! ```console
//! $ curl -d '-350 coffee' http://127.0.0.1:8080/entries
//! 1
//! $ curl http://127.0.0.1:8080/entries/1
//! 1       1789000000000   -350    coffee
//! $ curl http://127.0.0.1:8080/summary
//! entries 1
//! balance -350
//! …
//! ```
//!
//! An entry that was acknowledged is durable: whatever ends the machine, the next start has it. The program is an
//! example of how to keep state on `pmem::Device` itself, without the pool. Rooms, the highest floor first; a room uses
//! only rooms on lower floors (`cargo xtask check floors`):
//!
//! ```floors
//! server: connections, threads
//! api: what requests mean
//! http, log, options: requests, replies, limits; what is durable, and why
//! ```
//!
//! It needs no code for its own end. The power button ends a program that does not listen to it as by
//! `std::process::exit(0)`, a power cut just ends it, and the log is whole after both.
#![forbid(unsafe_code)]

mod api;
mod http;
mod log;
mod options;
mod server;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::{Arc, RwLock};

// The whole operating system: its entry point is the image's.
#[cfg(target_os = "hermit")]
use libos as _;
use pmem::Device;

use crate::api::Api;
use crate::log::Log;
use crate::options::Options;

/// The command line was wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("ledger: {error}\n\n{}", options::HELP);
            return ExitCode::from(USAGE);
        }
    };
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ledger: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Opens the ledger and serves it. The error is for people.
fn serve(options: &Options) -> Result<(), String> {
    let device = open(&options.pmem).map_err(|error| error.to_string())?;
    let (name, protection) = (device.name(), device.protection());
    let log = Log::open(device).map_err(|error| format!("{name}: {error}"))?;
    #[cfg(target_os = "hermit")]
    libos::boot::reached("recovery");
    let entries = log.len();
    let address = SocketAddr::new(options.bind, options.port);
    let bound = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
    let (port, listener) = bound.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    // On the guest, this ends the report of how long the boot took.
    #[cfg(target_os = "hermit")]
    libos::boot::ready();
    // `cargo xtask run` waits for this line and forwards to the port that it names.
    // Where nobody reads, there are clients to serve all the same.
    let _ = writeln!(io::stdout(), "ledger: ready on port {port} ({name}, {entries} entries, protection {protection})");
    server::serve(&listener, &Arc::new(Api::new(RwLock::new(log), protection)));
    Ok(())
}

/// On the guest the device is there or not.
#[cfg(target_os = "hermit")]
fn open(name: &OsStr) -> Result<Device, pmem::device::OpenError> {
    Device::open(name.to_string_lossy())
}

/// On the host it is a file, made when it does not exist.
#[cfg(not(target_os = "hermit"))]
fn open(path: &OsStr) -> Result<Device, pmem::device::OpenError> {
    const SIZE: u64 = 64 << 20;
    if std::path::Path::new(path).exists() { Device::open(path) } else { Device::create(path, SIZE) }
}
