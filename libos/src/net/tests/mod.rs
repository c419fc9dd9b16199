//! Two stacks on a wire, with a clock that the test moves.

mod addresses;
mod datagrams;
mod endings;
mod fast_path;
mod faults;
mod floods;
mod hostile;
mod ipv6;
mod large;
mod many;
mod multicast;
mod resets;
mod room;
mod storms;
mod streams;

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU16, Ordering};

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress, IpEndpoint, Ipv4Address, Ipv4Cidr};

use super::address::{Family, Local};
use super::error::Error;
use super::fault_injector::{Burst, FaultInjector, LinkFaults};
use super::slab::Id;
use super::stack::Stack;
use super::tcp::settings::BufferSizes;
use crate::io::{Ready, Signal};

pub const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
pub const CLIENT: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
pub const SERVER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
pub const CLIENT_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
pub const PORT: u16 = 6379;
/// What a machine of 256 MiB gives.
pub const BUDGET: usize = 56 << 20;

/// Remembers what was published.
#[derive(Default)]
pub struct Seen(AtomicU16);

impl Signal for Seen {
    fn publish(&self, ready: Ready) {
        self.0.store(ready.bits(), Ordering::Relaxed);
    }
}

impl Seen {
    pub fn ready(&self) -> Ready {
        Ready::from_bits_retain(self.0.load(Ordering::Relaxed))
    }
}

type Lane = Rc<RefCell<VecDeque<Vec<u8>>>>;

/// One end of the wire.
pub struct Port {
    pub incoming: Lane,
    pub outgoing: Lane,
    /// Frames that the wire holds; a full wire takes no more.
    pub capacity: usize,
    /// Every frame for which this says so is lost.
    pub loses: fn(u64) -> bool,
    sent: u64,
}

pub struct Received(Vec<u8>);
pub struct Sender<'a>(&'a mut Port);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = std::vec![0; len];
        let result = f(&mut frame);
        self.0.sent += 1;
        if !(self.0.loses)(self.0.sent) {
            self.0.outgoing.borrow_mut().push_back(frame);
        }
        result
    }
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Sender<'_>)> {
        let frame = self.incoming.borrow_mut().pop_front()?;
        Some((Received(frame), Sender(self)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Sender<'_>> {
        let room = self.outgoing.borrow().len() < self.capacity;
        room.then_some(Sender(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// Any IPv4 address.
pub fn place(port: u16) -> Local {
    Local::any(Family::V4, port)
}

/// This address, or with port 0 any port there.
pub fn at(address: IpAddress, port: u16) -> Local {
    Local { family: Family::Dual, address: Some(address), port }
}

impl Burst for Port {
    fn has_received(&self) -> bool {
        !self.incoming.borrow().is_empty()
    }

    fn flush(&mut self) {}
}

pub type TestStack = Stack<FaultInjector<Port>, Seen>;

/// A server and a client on one wire.
pub struct Net {
    pub server: TestStack,
    pub client: TestStack,
    pub now: Instant,
    pub to_server: Lane,
    pub to_client: Lane,
}

fn stack(
    (incoming, outgoing): (&Lane, &Lane),
    mac: EthernetAddress,
    address: Ipv4Address,
    budget: usize,
    faults: Option<LinkFaults>,
) -> TestStack {
    let now = Instant::from_secs(1);
    let mut stack = Stack::new(u64::from(mac.0[5]) * 0x1234_5678_9abc_def1, budget, now);
    let port = Port {
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
        capacity: usize::MAX,
        loses: |_| false,
        sent: 0,
    };
    stack.attach(FaultInjector::new(port, faults), mac, 7 * u64::from(mac.0[5]), now);
    stack.use_address(Ipv4Cidr::new(address, 24), None);
    stack
}

impl Net {
    pub fn new() -> Self {
        Self::made(BUDGET, None)
    }

    /// A server whose connections' buffers may take `budget` bytes.
    pub fn with_budget(budget: usize) -> Self {
        Self::made(budget, None)
    }

    /// Both on a wire with faults, which each end sends and receives through.
    pub fn over(faults: LinkFaults) -> Self {
        Self::made(BUDGET, Some(faults))
    }

    fn made(budget: usize, faults: Option<LinkFaults>) -> Self {
        let (to_server, to_client) = (Lane::default(), Lane::default());
        Self {
            server: stack((&to_server, &to_client), SERVER_MAC, SERVER, budget, faults),
            client: stack((&to_client, &to_server), CLIENT_MAC, CLIENT, 1 << 30, faults),
            now: Instant::from_secs(1),
            to_server,
            to_client,
        }
    }

    /// Lets both sides talk until neither has anything to say at this time.
    pub fn run(&mut self) {
        for _ in 0..100_000 {
            let more = self.server.poll(self.now) | self.client.poll(self.now);
            for stack in [&mut self.server, &mut self.client] {
                stack.device().unwrap().flush();
            }
            if !more && self.to_server.borrow().is_empty() && self.to_client.borrow().is_empty() {
                return;
            }
        }
        panic!("the two stacks never fall silent");
    }

    /// Moves the clock through every deadline of the next `time`, and lets both sides talk at each.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.run();
            let next = self.server.next_deadline().into_iter().chain(self.client.next_deadline()).min();
            match next {
                Some(at) if at < end => self.now = at.max(self.now + Duration::from_micros(100)),
                _ => break,
            }
        }
        self.now = end;
        self.run();
    }

    /// A wire with IPv6 on both sides: link-local addresses only.
    pub fn with_ipv6() -> Self {
        let mut net = Self::new();
        net.server.use_slaac(net.now);
        net.client.use_slaac(net.now);
        net.run();
        net
    }

    /// What the client sends from now on is lost.
    pub fn cut(&mut self) {
        self.client.device().unwrap().device().loses = |_| true;
        self.server.device().unwrap().device().loses = |_| true;
    }

    /// ARP frames on their way to the server.
    pub fn arps_to_server(&self) -> usize {
        self.to_server.borrow().iter().filter(|frame| frame[12..14] == [8, 6]).count()
    }

    pub fn listen(&mut self) -> (Id, Arc<Seen>) {
        let signal = Arc::new(Seen::default());
        let listener = self.server.listen(place(PORT), 128, BufferSizes::default(), signal.clone()).unwrap();
        (listener, signal)
    }

    pub fn connect(&mut self) -> (Id, Arc<Seen>) {
        let signal = Arc::new(Seen::default());
        let server = IpEndpoint::new(IpAddress::Ipv4(SERVER), PORT);
        let id = self.client.connect(server, None, BufferSizes::default(), signal.clone(), self.now).unwrap();
        (id, signal)
    }

    /// A connection that is up: the server's end and the client's.
    pub fn connected(&mut self) -> ((Id, Arc<Seen>), (Id, Arc<Seen>)) {
        let (listener, _) = self.listen();
        let client = self.connect();
        self.run();
        let (id, signal, _) = self.server.accept(listener).unwrap();
        ((id, signal), client)
    }

    pub fn server_sends(&mut self, id: Id, bytes: &[u8]) -> Result<usize, Error> {
        self.server.send(id, [bytes].into_iter(), self.now)
    }

    pub fn client_sends(&mut self, id: Id, bytes: &[u8]) -> Result<usize, Error> {
        self.client.send(id, [bytes].into_iter(), self.now)
    }

    pub fn server_reads(&mut self, id: Id) -> Result<Vec<u8>, Error> {
        read(&mut self.server, id, self.now)
    }

    pub fn client_reads(&mut self, id: Id) -> Result<Vec<u8>, Error> {
        read(&mut self.client, id, self.now)
    }
}

pub fn read(stack: &mut TestStack, id: Id, now: Instant) -> Result<Vec<u8>, Error> {
    let mut bytes = std::vec![0; 100_000];
    let len = stack.receive(id, [&mut bytes[..]].into_iter(), false, now)?;
    bytes.truncate(len);
    Ok(bytes)
}
