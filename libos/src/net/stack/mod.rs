//! The network stack: two links, the sockets, and every call on them that does not block.
//!
//! Generic over the device and over the way an owner is told about changes, and without a lock or a clock of its own,
//! so that it runs under `cargo test` with two stacks back to back and a clock that the test moves.

mod addresses;
mod tcp;
mod udp;

use alloc::vec::Vec;

use smoltcp::phy::{Device, RxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

pub use self::addresses::AddressChange;
use self::addresses::Addresses;
use super::address::Local;
use super::error::Error;
use super::link::{Link, RxFrame, Via};
use super::loopback::Loopback;
use super::sockets::{SocketCounts, Sockets};
use crate::io::Signal;

/// Frames taken from a device before the connections they were for get their turn.
const BATCH: usize = 64;
/// Rounds in one call of [`Stack::poll`]; what is left waits for the next call.
const ROUNDS: usize = 8;
/// The ports given to those who do not name one (RFC 6335, section 6).
const EPHEMERAL: core::ops::RangeInclusive<u16> = 49152..=65535;

/// The halves of a connection that `shutdown` closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// No more is read.
    pub read: bool,
    /// No more is written: the peer sees the end of the data once it has it all.
    pub write: bool,
}

/// What happens to unsent data when a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linger {
    /// It is sent in the background, in bounded time.
    Background,
    /// The connection is reset at once.
    Reset,
}

/// The stack.
pub struct Stack<D: Device, S: Signal> {
    nic: Option<Link<D>>,
    loopback: Link<Loopback>,
    sockets: Sockets<S>,
    addresses: Addresses,
    /// When the network card's own sockets (DHCP) and addresses want to be looked at.
    shared_at: Option<Instant>,
    changes: Vec<AddressChange>,
    next_port: u16,
}

impl<D: Device, S: Signal> Stack<D, S> {
    /// A stack that reaches only this machine itself. `seed` makes sequence numbers and ports hard to guess; the
    /// buffers of all connections take up to `budget` bytes.
    pub fn new(seed: u64, budget: usize, now: Instant) -> Self {
        let mut loopback = Link::new(Loopback::default(), EthernetAddress([0; 6]), seed, now);
        // Every address that is sent here is this machine's: 127.0.0.0/8, ::1 and the network card's.
        loopback.interface.set_any_ip(true);
        loopback.interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(IpAddress::v4(127, 0, 0, 1), 8));
            let _ = addresses.push(IpCidr::new(IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1), 128));
        });
        let span = EPHEMERAL.end() - EPHEMERAL.start();
        Self {
            nic: None,
            loopback,
            sockets: Sockets::new(budget),
            addresses: Addresses::default(),
            shared_at: None,
            changes: Vec::new(),
            next_port: EPHEMERAL.start() + (seed >> 32) as u16 % span,
        }
    }

    /// Adds the network card. It has no address yet.
    pub fn attach(&mut self, device: D, mac: EthernetAddress, seed: u64, now: Instant) {
        self.nic = Some(Link::new(device, mac, seed, now));
    }

    /// The network card's device.
    pub fn device(&mut self) -> Option<&mut D> {
        self.nic.as_mut().map(|nic| &mut nic.device)
    }

    /// What the stack holds now.
    pub fn counts(&self) -> SocketCounts {
        self.sockets.counts()
    }

    /// The changes of the network card's addresses that were not reported yet.
    pub fn take_changes(&mut self) -> Vec<AddressChange> {
        core::mem::take(&mut self.changes)
    }

    /// Takes received frames, runs timers and sends what is to be sent. Bounded; `true`: call again, there is more to
    /// do.
    ///
    /// When the device has no room for a frame, the rest waits for the next call, which the device's interrupt leads
    /// to.
    pub fn poll(&mut self, now: Instant) -> bool {
        if let Some(nic) = &mut self.nic {
            nic.full = false;
        }
        for _ in 0..ROUNDS {
            let mut received = false;
            for _ in 0..BATCH {
                let by_nic = self.receive_nic(now);
                let by_loopback = self.receive_loopback(now);
                received |= by_nic || by_loopback;
                if !by_nic && !by_loopback {
                    break;
                }
            }
            let due = self.shared_at.is_some_and(|at| at <= now);
            if received || due {
                self.serve_shared(now);
            }
            self.sockets.egress(&mut self.nic, &mut self.loopback, now);
            if !received && !self.loopback_pending() {
                return self.has_work();
            }
        }
        true
    }

    /// When [`Stack::poll`] is to be called next though nothing happens. What waits for the device does not count.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.has_work() || self.loopback_pending() {
            return Some(Instant::ZERO);
        }
        self.sockets.next_timer().into_iter().chain(self.shared_at).min()
    }

    /// Whether connections have something to send and the device has room for it.
    pub fn has_work(&self) -> bool {
        self.sockets.tcp.has_work() && !self.nic.as_ref().is_some_and(|nic| nic.full)
    }

    fn loopback_pending(&self) -> bool {
        self.loopback.device.is_pending()
    }

    fn receive_nic(&mut self, now: Instant) -> bool {
        let Some(nic) = &mut self.nic else { return false };
        let capabilities = nic.device.capabilities();
        let verify = capabilities.checksum.tcp.rx();
        let Link { interface, device, shared, medium, mac, .. } = nic;
        let Some((token, answer)) = device.receive(now) else { return false };
        token.consume(|frame| {
            let combined = frame.len() > capabilities.max_transmission_unit;
            let rx = RxFrame { frame, via: Via::Nic, medium: *medium, mac: *mac, verify, combined, now };
            if let Some((router, message)) = self.sockets.ingress(interface, shared, &rx, answer) {
                self.addresses.advertised(router, message, now);
            }
        });
        true
    }

    fn receive_loopback(&mut self, now: Instant) -> bool {
        let Link { interface, device, shared, medium, mac, .. } = &mut self.loopback;
        let Some((token, answer)) = device.receive(now) else { return false };
        token.consume(|frame| {
            let (medium, mac, via) = (*medium, *mac, Via::Loopback);
            let rx = RxFrame { frame, via, medium, mac, verify: false, combined: false, now };
            self.sockets.ingress(interface, shared, &rx, answer);
        });
        true
    }

    // ---- ports ----

    /// A port for which `free` holds, starting from one that is hard to guess.
    fn ephemeral(&mut self, mut free: impl FnMut(&Self, u16) -> bool) -> Result<u16, Error> {
        for _ in EPHEMERAL {
            let port = self.next_port;
            self.next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            if free(self, port) {
                return Ok(port);
            }
        }
        Err(Error::AddressInUse)
    }

    fn stream_place_is_free(&self, local: &Local) -> bool {
        self.sockets.tcp.listeners_at(local.port).all(|listener| !listener.local.overlaps(local))
    }

    /// Checks that a stream socket may be bound to `local`, and gives it a port if it names none.
    pub fn bind_stream(&mut self, local: Local) -> Result<Local, Error> {
        if local.address.is_some_and(|address| !self.is_local(address)) {
            return Err(Error::AddressNotAvailable);
        }
        if local.port == 0 {
            let port = self.ephemeral(|stack, port| stack.stream_place_is_free(&Local { port, ..local }))?;
            return Ok(Local { port, ..local });
        }
        if self.stream_place_is_free(&local) { Ok(local) } else { Err(Error::AddressInUse) }
    }
}
