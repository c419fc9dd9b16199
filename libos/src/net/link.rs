//! One interface and its device, and the ways frames go in and out of them one socket at a time.

use alloc::vec::Vec;

use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress};

use super::neighbours::Neighbours;
use super::tcp::fixups::{Observed, Sent};

/// Which interface a socket's packets take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// The network interface card.
    Nic,
    /// This machine itself.
    Loopback,
}

/// A received frame and where it came in.
pub struct RxFrame<'a> {
    pub frame: &'a [u8],
    pub via: Via,
    pub medium: Medium,
    pub mac: EthernetAddress,
    /// The device has not checked the checksums.
    pub verify: bool,
    /// It is longer than the link's frames: several segments, which the device has put together.
    pub combined: bool,
    pub now: Instant,
}

/// An interface with its device.
pub struct Link<D: Device> {
    pub interface: Interface,
    pub device: D,
    pub medium: Medium,
    /// The Ethernet address; all zero on a link without such addresses.
    pub mac: EthernetAddress,
    /// For frames that belong to no socket (address resolution, echo requests, strangers' segments) and for DHCP.
    pub shared: SocketSet<'static>,
    /// The device had no room for a frame that was to be sent.
    pub full: bool,
    neighbours: Neighbours,
}

impl<D: Device> Link<D> {
    /// A link over `device`. `seed` makes its sequence numbers hard to guess.
    pub fn new(mut device: D, mac: EthernetAddress, seed: u64, now: Instant) -> Self {
        let medium = device.capabilities().medium;
        let mut config = Config::new(match medium {
            Medium::Ethernet => HardwareAddress::Ethernet(mac),
            Medium::Ip => HardwareAddress::Ip,
        });
        config.random_seed = seed;
        let interface = Interface::new(config, &mut device, now);
        Self {
            interface,
            device,
            medium,
            mac,
            shared: SocketSet::new(Vec::new()),
            full: false,
            neighbours: Neighbours::default(),
        }
    }

    /// Whether `address` is this interface's own.
    pub fn has_address(&self, address: IpAddress) -> bool {
        self.interface.has_ip_addr(address)
    }

    /// When the sockets in `set` have something to send, as far as time alone decides: at once, if that is not in the
    /// future. To ask costs less than to attempt it in vain.
    pub fn next_send(&mut self, now: Instant, set: &SocketSet<'static>) -> Option<Instant> {
        self.interface.poll_at(now, set)
    }

    /// Sends one packet of the sockets in `set`, if they have one to send.
    pub fn transmit(&mut self, now: Instant, set: &mut SocketSet<'static>) -> Outcome {
        self.transmit_observed(now, set, None)
    }

    /// The same for a connection, which notes what it has sent.
    pub fn transmit_observed(
        &mut self,
        now: Instant,
        set: &mut SocketSet<'static>,
        sent: Option<&mut Sent>,
    ) -> Outcome {
        let sent = sent.filter(|_| self.medium == Medium::Ethernet);
        let mut outlet = TxOnly { device: &mut self.device, full: false, asked: false, sent };
        let sent = self.interface.poll_egress(now, &mut outlet, set) == PollResult::SocketStateChanged;
        self.full |= outlet.full;
        match outlet {
            _ if sent => Outcome::Sent,
            TxOnly { full: true, .. } => Outcome::Full,
            TxOnly { asked: true, .. } => Outcome::Unresolved,
            _ => Outcome::Nothing,
        }
    }

    /// The same for the sockets of the link itself. Whether something was sent.
    pub fn transmit_shared(&mut self, now: Instant) -> bool {
        let mut outlet = TxOnly { device: &mut self.device, full: false, asked: false, sent: None };
        let sent = self.interface.poll_egress(now, &mut outlet, &mut self.shared) == PollResult::SocketStateChanged;
        self.full |= outlet.full;
        sent
    }

    /// After [`Outcome::Unresolved`]: asks for the neighbour on the way to `address`, unless that was just done.
    pub fn ask_for(&mut self, address: IpAddress, now: Instant) {
        if self.medium == Medium::Ethernet {
            self.neighbours.unresolved(&self.interface, &mut self.device, self.mac, address, now);
        }
    }

    /// The largest IP packet that fits a frame.
    pub fn ip_mtu(&self) -> usize {
        self.device.capabilities().ip_mtu()
    }
}

/// What came of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A packet was sent; there may be more.
    Sent,
    /// There was nothing to send, or its time has not come.
    Nothing,
    /// The device has no room.
    Full,
    /// The next hop's address is unknown and was asked for.
    Unresolved,
}

/// Gives `frame` to the sockets in `set`, with room for one answer or for none.
pub fn inject<T: TxToken>(
    interface: &mut Interface,
    now: Instant,
    frame: &[u8],
    answer: Option<T>,
    set: &mut SocketSet<'static>,
) {
    interface.poll_ingress_single(now, &mut OneFrameRx { frame: Some(frame), answer: Some(Answer(answer)) }, set);
}

/// A device that has received exactly one frame.
struct OneFrameRx<'f, T> {
    frame: Option<&'f [u8]>,
    answer: Option<Answer<T>>,
}

/// Room for an answer, or none: then it is lost.
struct Answer<T>(Option<T>);

impl<T: TxToken> TxToken for Answer<T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self.0 {
            Some(token) => token.consume(len, f),
            None => f(&mut alloc::vec![0; len]),
        }
    }
}

impl<'f, T: TxToken> Device for OneFrameRx<'f, T> {
    type RxToken<'a>
        = Borrowed<'f>
    where
        Self: 'a;
    type TxToken<'a>
        = Answer<T>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(Borrowed<'f>, Answer<T>)> {
        Some((Borrowed(self.frame.take()?), self.answer.take()?))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Answer<T>> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities::default()
    }
}

struct Borrowed<'f>(&'f [u8]);

impl RxToken for Borrowed<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// A device that only sends, and remembers whether it ran out of room.
struct TxOnly<'d, 's, D> {
    device: &'d mut D,
    full: bool,
    /// Room was asked for and given.
    asked: bool,
    sent: Option<&'s mut Sent>,
}

impl<D: Device> Device for TxOnly<'_, '_, D> {
    type RxToken<'a>
        = D::RxToken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Observed<'a, D::TxToken<'a>>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(D::RxToken<'_>, Observed<'_, D::TxToken<'_>>)> {
        None
    }

    fn transmit(&mut self, now: Instant) -> Option<Observed<'_, D::TxToken<'_>>> {
        let token = self.device.transmit(now);
        self.full |= token.is_none();
        self.asked |= token.is_some();
        Some(Observed::new(token?, self.sent.as_deref_mut()))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}
