//! A Redis-protocol store whose data lives in protected persistent memory.
//!
//! An ordinary std program: a server of one thread, on mio's sockets. On the guest it is linked with `libos` into an
//! image that boots, and keeps its pool on an NVDIMM; on the host it runs unchanged over a mapped file.
//!
//! Rooms, the highest floor first; a room uses only rooms on lower floors (`cargo xtask check floors`). What is durable
//! is the crate `pmem`'s.
//!
//! ```floors
//! server, service: sockets, the loop; what a service manager has for the store
//! commands: what Redis means
//! expire
//! shared, session
//! store, resp, budget, glob, schedule: the pool's opening; requests and replies; …
//! division, latency, log, memory, number, options, recovery, scrub, settings, slowlog, statistics, usage
//! by_command, clock
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr, reason = "they panic when nobody reads: say it by `log`")]

mod budget;
mod by_command;
mod clock;
mod commands;
mod division;
mod expire;
mod glob;
mod latency;
mod log;
mod memory;
mod number;
mod options;
mod recovery;
mod resp;
mod schedule;
mod scrub;
mod server;
mod service;
mod session;
mod settings;
mod shared;
mod slowlog;
mod statistics;
mod store;
#[cfg(test)]
mod testing;
mod usage;

use std::net::SocketAddr;
use std::process::ExitCode;

// The whole operating system: its entry point is the image's.
#[cfg(target_os = "hermit")]
use libos as _;
use mio::net::TcpListener;
use pmem::pool::{Checkpoint, Shutdown, Tail};
use pmem::{Device, OpenReport};
#[cfg(not(target_os = "hermit"))]
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::division::Division;
use crate::memory::Memory;
use crate::options::{Options, Request};
use crate::server::Server;
use crate::shared::{ClientLimits, ServerInfo, Shared};

/// The command line was wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Request::Serve(options)) => options,
        Ok(Request::Help) => {
            log::print(options::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Request::Version) => {
            log::print(concat!("kvstore ", env!("CARGO_PKG_VERSION"), "\n"));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            log::warn(format_args!("{error}\n\n{}", options::HELP));
            return ExitCode::from(USAGE);
        }
    };
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::warn(error);
            ExitCode::FAILURE
        }
    }
}

/// Serves until a client or the machine asks for an end. The error is for people.
fn serve(options: &Options) -> Result<(), String> {
    let handed = service::listener()?;
    let division = Division::of_this_machine(options.client_memory);
    let store = store::open(options, division.pool)?;
    stage("recovery");
    let report = store.pool.report();
    let durable_by = store.pool.medium().durable_by();
    let info = ServerInfo {
        device: store.pool.medium().name(),
        device_bytes: store.pool.medium().size(),
        protection: store.protection,
        durable_by: durable_by.to_string(),
        durable: durable_by.durability().to_string(),
        opening: opening(report),
        run_id: format!("{:016x}{:016x}{:08x}", store::random(), store::random(), store::random() as u32),
        started_ms: clock::unix_micros() / 1000,
        // Where it listens, the server fills in.
        ..ServerInfo::default()
    };
    let size = size(info.device_bytes, report.unused_bytes);
    let ready = format!(
        "{} {size}, protection {}, durable {} by {}",
        info.device, info.protection, info.durable, info.durable_by
    );
    let limits = ClientLimits::new(store.pool.value_limit(), division.clients, most_clients(options, division));
    let listener = handed.map_or_else(|| listen(SocketAddr::new(options.bind, options.port)), Ok)?;
    let mut shared = Shared::new(info, limits, store::random());
    shared.settings.protected_mode = options.protected_mode;
    shared.settings.timeout = options.timeout;
    let server =
        Server::new(listener, store.pool, shared).map_err(|error| format!("cannot wait for clients: {error}"))?;
    stop_with_the_machine(&server)?;
    // Before the line that others wait for, so that it is the last one of the boot.
    stage("ready");
    log::say(format_args!("ready on port {} ({ready})", server.port()));
    service::tell_ready();
    let pool = server.run().map_err(|error| format!("the server failed: {error}"))?;
    service::tell_stopping();
    let (_, shutdown) = pool.shut_down().map_err(|error| format!("the pool could not be closed: {error}"))?;
    match shutdown {
        Shutdown::TooFull { segments } => log::say(format_args!(
            "no checkpoint, which needs {segments} free segments: the next start reads every record"
        )),
        Shutdown::NoMemory => log::say("no memory for a checkpoint: the next start reads every record"),
        Shutdown::Damaged => log::say("no checkpoint, for there is damage: the next start reads every record"),
        _ => {}
    }
    log::say("stopped");
    Ok(())
}

/// A socket that listens on this address.
fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// The most clients at a time: those for which there is memory, and connections.
fn most_clients(options: &Options, division: Division) -> usize {
    options.clients.min(Memory::clients(division.clients)).min(connections()).max(1)
}

/// The connections of the guest's network, but for some that are refused in words or are winding up.
#[cfg(target_os = "hermit")]
fn connections() -> usize {
    const OTHERS: usize = 32;
    libos::net::connection_limit().saturating_sub(OTHERS)
}

/// The host has its own way to refuse.
#[cfg(not(target_os = "hermit"))]
fn connections() -> usize {
    usize::MAX
}

/// On the guest, notes how long the boot has taken to the end of this stage; the last one is `ready`.
#[cfg(target_os = "hermit")]
fn stage(name: &'static str) {
    match name {
        "ready" => libos::boot::ready(),
        _ => libos::boot::reached(name),
    }
}

/// On the host nothing is booted.
#[cfg(not(target_os = "hermit"))]
fn stage(_: &'static str) {}

/// On the guest, the power button ends the server in good order.
#[cfg(target_os = "hermit")]
fn stop_with_the_machine(server: &Server<Device>) -> Result<(), String> {
    /// It waits, and says a line at most.
    const STACK: usize = 64 << 10;
    let stopper = server.stopper().map_err(|error| format!("cannot wake the loop: {error}"))?;
    let waiting = move || {
        libos::power::wait_for_shutdown();
        if let Err(error) = stopper.wake() {
            log::warn(format_args!("cannot wake the loop: {error}"));
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(waiting);
    thread.map(drop).map_err(|error| format!("nobody can wait for the power button: {error}"))
}

/// On the host, Ctrl-C and its kin end the server in good order; once more ends it at once, which loses nothing that
/// was acknowledged either.
#[cfg(not(target_os = "hermit"))]
fn stop_with_the_machine(server: &Server<Device>) -> Result<(), String> {
    let stopper = server.stopper().map_err(|error| format!("cannot wake the loop: {error}"))?;
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
    let mut signals = signals.map_err(|error| format!("cannot watch for signals: {error}"))?;
    std::thread::spawn(move || {
        let mut insists = false;
        for signal in signals.forever() {
            if insists {
                std::process::exit(128 + signal);
            }
            insists = true;
            log::say("shutting down; once more ends at once");
            if let Err(error) = stopper.wake() {
                log::warn(format_args!("cannot wake the loop: {error}"));
            }
        }
    });
    Ok(())
}

/// What the opening of the pool found, in one line.
fn opening(report: &OpenReport) -> String {
    let tail = match report.tail {
        Tail::Clean => "after a clean shutdown".to_string(),
        Tail::Unclean => "after an unclean shutdown".to_string(),
        Tail::Torn { offset, .. } => format!("with a torn end at byte {offset:#x}"),
    };
    let from = match report.checkpoint {
        Checkpoint::Used { bytes } => format!("from a checkpoint of {bytes} bytes"),
        Checkpoint::Refused { why } => format!("in {} records (there is a checkpoint, but {why})", report.records),
        Checkpoint::None => format!("in {} records", report.records),
    };
    format!("{} keys {from} {tail}, {} places damaged", report.keys, report.damage.len())
}

/// A device's size for people, and how much of it the pool does not use.
fn size(device: u64, unused: u64) -> String {
    let all = gibibytes(device);
    match unused {
        0 => all,
        _ => format!("{all}, of which the pool uses {} until `cargo xtask pool grow`", gibibytes(device - unused)),
    }
}

/// A length for people: `1.0 GiB`.
fn gibibytes(bytes: u64) -> String {
    match bytes {
        0x4000_0000.. => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}
