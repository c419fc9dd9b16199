//! The stack of this machine: its lock, its thread, and what programs wait for at it.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, Ipv4Cidr, Ipv6Cidr};

use super::address::canonical;
use super::attention::{self, NAP};
use super::card::{self, Card};
use super::config::{Config, Ip6Config, IpConfig};
use super::drain_timeout::DrainTimeout;
#[cfg(feature = "testing")]
use super::fault_injector::FaultCounts;
use super::slab::Id;
use super::sockets::SocketCounts;
use super::stack::{AddressChange, Stack};
use crate::arch::entropy;
use crate::drivers::virtio::net::{Traffic, take_probed};
use crate::io::{self, Source, Watch};
use crate::mm::free_bytes;
use crate::sync::{Once, class};
use crate::task::{self, Mutex, TimedOut, WaitQueue};
use crate::time::{self, now};
use crate::{console, kprintln};

/// The part of free memory that connections' buffers may take, and the least that they get in bytes.
const SHARE: usize = 4;
const MIN_BUDGET: usize = 1 << 20;
/// How long a connect waits for the machine to get an address.
const ADDRESS_LIMIT: Duration = Duration::from_secs(10);

/// The stack as it runs in the guest.
pub type GuestStack = Stack<Card, Watch>;

static STACK: Mutex<Option<GuestStack>, class::Network> = Mutex::new(None);
/// There is a card, and it has no interrupts.
static IS_POLLED: AtomicBool = AtomicBool::new(false);
/// Wakes those who wait for an address.
static ADDRESS: WaitQueue = WaitQueue::for_descriptors();
/// The name servers of the command line.
static NAME_SERVERS: Once<Vec<SocketAddr>> = Once::new();

/// Why there is a stack whenever somebody asks for it.
const INITIALISED: &str = "the network is initialised at boot";

/// smoltcp's clock.
fn instant(at: time::Instant) -> Instant {
    Instant::from_micros((at.as_nanos() / 1000) as i64)
}

/// From smoltcp's clock to the machine's, rounded up so that nobody wakes too early.
fn machine_instant(at: Instant) -> time::Instant {
    time::Instant::from_nanos((at.total_micros().max(0) as u64 + 1) * 1000)
}

/// When the stack has to be looked at though nothing happens.
fn next_look(stack: &GuestStack) -> time::Instant {
    stack.next_deadline().map_or(time::Instant::NEVER, machine_instant)
}

/// Starts the card, if there is one, and the network thread.
pub fn init(config: &Config) {
    let seed = || entropy::random().unwrap_or_else(|| now().as_nanos());
    let now = instant(now());
    let budget = (free_bytes() as usize / SHARE).max(MIN_BUDGET);
    let mut stack = GuestStack::new(seed(), budget, now);
    match take_probed().and_then(|card| card.start(attention::interrupt)) {
        None => kprintln!("holdfast: no network card; this machine can talk only to itself"),
        Some(running) => {
            task::expect_from_outside();
            IS_POLLED.store(!running.has_interrupts, Ordering::Relaxed);
            if !running.has_interrupts {
                console::info(format_args!("the network card has no interrupts and is polled"));
            }
            let device = card::for_stack(running.card, config);
            stack.attach(device, EthernetAddress(running.mac), seed(), now);
            match &config.ip {
                IpConfig::Dhcp => stack.use_dhcp(now),
                IpConfig::Static { address, prefix_len, gateway, .. } => {
                    stack.use_address(Ipv4Cidr::new(*address, *prefix_len), Some(*gateway));
                }
            }
            match &config.ip6 {
                Ip6Config::Off => {}
                Ip6Config::Auto => stack.use_slaac(now),
                Ip6Config::Static { address, prefix_len, gateway } => {
                    stack.use_ipv6_address(Ipv6Cidr::new(*address, *prefix_len), *gateway);
                }
            }
        }
    }
    NAME_SERVERS.call_once(|| named_servers(config));
    *STACK.lock() = Some(stack);
    io::set_source(&Network);
    task::spawn_kernel("net", run);
}

/// Does something with the stack. What it gives the card to send is sent at once, except from a program that polls
/// again and again: it is about to come back, and to tell the card of twenty replies costs no more than of one. The
/// network thread naps meanwhile and sees to it that nothing waits for longer than that.
pub fn with<R>(work: impl FnOnce(&mut GuestStack, Instant) -> R) -> R {
    if attention::is_promised(now()) { in_passing(work) } else { serve(work).0 }
}

/// Does something with the stack at which somebody looks soon in any case: what is due then, what has changed, and what
/// the card has to be told, is left to who does. Only what did not go out now has to go on at once.
fn in_passing<R>(work: impl FnOnce(&mut GuestStack, Instant) -> R) -> R {
    let mut guard = STACK.lock();
    let stack = guard.as_mut().expect(INITIALISED);
    let result = work(stack, instant(now()));
    let goes_on = stack.has_work();
    drop(guard);
    if goes_on {
        attention::demand(time::Instant::BOOT);
    }
    result
}

/// Does something with the stack, and tells the card of what is to be sent. Returns with its outcome when the stack has
/// to be looked at though nothing happens.
fn serve<R>(work: impl FnOnce(&mut GuestStack, Instant) -> R) -> (R, time::Instant) {
    let mut guard = STACK.lock();
    let stack = guard.as_mut().expect(INITIALISED);
    // The clock is read under the lock, so that for the stack it never goes back.
    let result = work(stack, instant(now()));
    if let Some(card) = stack.device() {
        card.flush();
    }
    let next = next_look(stack);
    let changes = stack.take_changes();
    let failure = stack.device().and_then(|card| card::itself(card).take_failure());
    drop(guard);
    if let Some(failure) = failure {
        kprintln!(
            "holdfast: the network card is broken ({failure}); there is no network until the machine is booted again"
        );
    }
    changes.into_iter().for_each(announce);
    attention::demand(next);
    (result, next)
}

fn announce(change: AddressChange) {
    if let AddressChange::Configured { address, .. } = change {
        let is_ipv4 = matches!(address, IpCidr::Ipv4(_));
        crate::boot::aside(if is_ipv4 { "IPv4 address" } else { "IPv6 address" });
    }
    match change {
        AddressChange::Configured { address, learnt: false } => console::info(format_args!("net {address}")),
        AddressChange::Configured { address: address @ IpCidr::Ipv4(_), .. } => {
            console::info(format_args!("net {address} by DHCP"));
        }
        AddressChange::Configured { address, .. } => {
            console::info(format_args!("net {address} by router advertisement"))
        }
        AddressChange::Lost { address: address @ IpCidr::Ipv4(_) } => {
            kprintln!("holdfast: net: the DHCP server took {address} back");
        }
        AddressChange::Lost { address } => kprintln!("holdfast: net: {address} is over; no router has renewed it"),
        AddressChange::Refused { address, router, why } => {
            let role = if router { "router" } else { "address" };
            kprintln!("holdfast: net: the {role} {address} that a DHCP server offers is refused: it is {why}");
        }
    }
    ADDRESS.wake_all();
}

/// Takes what has been received and sends what is due, as long as there is something, but not for ever. Returns when
/// the stack has to be looked at though nothing happens.
pub fn pump() -> time::Instant {
    let mut rounds = 16;
    loop {
        let (more, next) = serve(|stack, now| stack.poll(now));
        rounds -= 1;
        if !more || rounds == 0 {
            return next;
        }
    }
}

/// Wants interrupts again. `false`: a frame came in meanwhile, without one.
fn listen_to_card(stack: &mut GuestStack) -> bool {
    let Some(card) = stack.device() else { return true };
    card::itself(card).interrupts()[0].enable();
    !card.has_received()
}

/// Pumps until nothing more is received, and wants interrupts from then on. Returns when the stack has to be looked at
/// though nothing happens.
fn pump_until_idle() -> time::Instant {
    for _ in 0..256 {
        let (idle, next) = serve(|stack, now| !stack.poll(now) && listen_to_card(stack));
        if idle {
            return next;
        }
    }
    // It does not end; others shall have their turn, but not for long.
    time::Instant::BOOT
}

/// The network, as the source of what programs poll for.
struct Network;

impl Source for Network {
    fn pump(&self) {
        let _ = pump();
    }

    fn settle(&self) -> time::Instant {
        pump_until_idle()
    }

    fn polled(&self) {
        attention::polled();
    }
}

/// The network thread.
fn run() {
    loop {
        attention::begin_round();
        let now = now();
        let next = if attention::polls_often(now) {
            // The program takes what comes in by itself; an interrupt would only disturb it.
            pump().min(now + NAP)
        } else {
            let next = pump_until_idle();
            if IS_POLLED.load(Ordering::Relaxed) { next.min(now + NAP) } else { next }
        };
        attention::sleep(next, || with(|_, _| ()));
    }
}

/// The most connections that there can be at a time, of which those that this machine opens count too. A client beyond
/// it is refused.
pub fn connection_limit() -> usize {
    with(|stack, _| stack.counts().limit)
}

/// What the stack holds, and what has passed the card.
pub(crate) fn accounts() -> (SocketCounts, Traffic) {
    with(|stack, _| (stack.counts(), stack.device().map(|card| card::itself(card).traffic()).unwrap_or_default()))
}

/// What the option `link-faults` has done to frames.
#[cfg(feature = "testing")]
pub(crate) fn fault_counts() -> FaultCounts {
    with(|stack, _| stack.device().map(|card| card.counts()).unwrap_or_default())
}

/// Waits for an address with which `address` can be reached, as long as one may still be on its way; whether there is
/// one.
pub fn wait_for_way(address: IpAddress) -> bool {
    let settled = || with(|stack, _| stack.is_reachable(address) || !stack.is_configuring(address)).then_some(());
    let _ = ADDRESS.wait_until(Some(now() + ADDRESS_LIMIT), settled);
    with(|stack, _| stack.is_reachable(address))
}

/// Whether there is a way to `address` now.
pub fn is_reachable(address: IpAddr) -> bool {
    with(|stack, _| stack.is_reachable(canonical(address)))
}

/// A name server at the usual port.
fn name_server(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, 53)
}

/// The name servers that whoever booted the machine has named.
fn named_servers(config: &Config) -> Vec<SocketAddr> {
    let of_interface = match config.ip {
        IpConfig::Static { dns, .. } => dns.map(|server| name_server(server.into())),
        IpConfig::Dhcp => None,
    };
    config.dns.iter().copied().chain(of_interface).collect()
}

/// The name servers: those of the command line, else those that DHCP and the routers have named, for which is waited
/// while they may still come.
pub fn name_servers() -> Vec<SocketAddr> {
    if let Some(servers) = NAME_SERVERS.get().filter(|servers| !servers.is_empty()) {
        return servers.clone();
    }
    let any = [IpAddress::v4(0, 0, 0, 0), IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 0)];
    let settled = || {
        with(|stack, _| stack.name_servers().next().is_some() || !any.iter().any(|&any| stack.is_configuring(any)))
            .then_some(())
    };
    let _ = ADDRESS.wait_until(Some(now() + ADDRESS_LIMIT), settled);
    with(|stack, _| stack.name_servers().map(|server| name_server(server.into())).collect())
}

/// Waits until all that was sent on a closed connection has arrived, but not beyond `deadline`.
pub fn wait_for_delivery(id: Id, deadline: time::Instant) {
    while now() < deadline && !with(|stack, _| stack.is_delivered(id)) {
        pump();
        task::sleep_until((now() + NAP).min(deadline));
    }
}

/// Closes every connection as the program's end does, and waits until what was sent has arrived, as long as
/// [`DrainTimeout`] lasts.
pub fn drain() {
    if STACK.try_lock().is_some_and(|stack| stack.is_none()) {
        return;
    }
    with(|stack, now| stack.close_all(now));
    let mut timeout = DrainTimeout::new(now());
    loop {
        pump();
        let (connections, left) = with(|stack, _| stack.undelivered());
        if !timeout.lasts(left, now()) {
            if left > 0 {
                kprintln!("holdfast: {connections} peers have not taken what was sent to them; it is lost");
            }
            return;
        }
        task::sleep_until(now() + NAP);
    }
}

/// What a socket waited for has not happened in the time that it was given.
impl From<TimedOut> for super::error::Error {
    fn from(_: TimedOut) -> Self {
        Self::WouldBlock
    }
}
