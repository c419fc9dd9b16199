//! Starting the card (section 5.1.5).

use super::super::start::{Doorbells, connect, make_queue, shared_memory};
use super::super::transport::{StartError, Transport};
use super::features::{MAC, Offload, STATUS, wanted};
use super::{Card, Doorbell};
use crate::drivers::pci::{Address, Driver, Function, Ports};
use crate::sync::IrqLock;
use crate::{console, kprintln};

/// virtio's vendor number, and the modern network card's device number (section 4.1.2).
const NETWORK_CARD: (u16, u16) = (0x1af4, 0x1041);
/// Its number as a transitional device, which may or may not speak virtio 1.
const TRANSITIONAL: (u16, u16) = (0x1af4, 0x1000);

/// In the status register: the link is up.
const LINK_UP: u16 = 1;
/// The MAC address and the status in the device's configuration (section 5.1.4).
const CONFIG_MAC: usize = 0;
const CONFIG_STATUS: usize = 6;

/// Buffers in each direction: what QEMU offers, and more than a burst of it.
const MAX_BUFFERS: u16 = 256;
const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

/// The card with its real doorbell.
pub type NetworkCard = Card<MemoryDoorbell>;

/// The doorbells of a card's two queues.
pub type MemoryDoorbell = Doorbells<2>;

impl Doorbell for MemoryDoorbell {
    fn ring(&mut self, queue: u16) {
        Doorbells::ring(self, queue);
    }
}

/// What shows this driver its devices.
pub const DRIVER: Driver = Driver { is_for: is_network_card, probe };

/// A card that was found and reset.
pub struct Probed {
    address: Address,
    transport: Transport,
}

/// A card that runs.
pub struct Started {
    /// The card.
    pub card: NetworkCard,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Without interrupts, the card must be looked at from time to time.
    pub has_interrupts: bool,
}

static PROBED: IrqLock<Option<Probed>> = IrqLock::new(None);

/// Whether this driver is for such a device.
fn is_network_card(vendor_device: (u16, u16)) -> bool {
    vendor_device == NETWORK_CARD || vendor_device == TRANSITIONAL
}

/// Takes a card that was found. One is enough; others are left alone.
fn probe(function: &Function<'_, Ports>) {
    let address = function.address;
    if PROBED.lock().is_some() {
        kprintln!("holdfast: the network card at {address} is left alone, one is in use already");
        return;
    }
    match Transport::new(function) {
        Ok(transport) => *PROBED.lock() = Some(Probed { address, transport }),
        Err(error) => kprintln!("holdfast: the network card at {address} cannot be used: {error}"),
    }
}

/// The card that was found, for whoever is to run it.
pub fn take_probed() -> Option<Probed> {
    PROBED.lock().take()
}

impl Probed {
    /// Starts the card. `handler(0)` is called in interrupt context when a frame has been received or, after a full
    /// ring, sent.
    pub fn start(self, handler: fn(usize)) -> Option<Started> {
        let address = self.address;
        match self.try_start(handler) {
            Ok(started) => Some(started),
            Err(error) => {
                kprintln!("holdfast: the network card at {address} cannot be used: {error}");
                None
            }
        }
    }

    fn try_start(self, handler: fn(usize)) -> Result<Started, StartError> {
        let transport = &self.transport;
        let started = (|| {
            let features = transport.negotiate(wanted)?;
            console::debug(format_args!("network card: features {features:#x}"));
            let (receive, receive_bell) = make_queue(transport, RECEIVE, MAX_BUFFERS)?;
            let (transmit, transmit_bell) = make_queue(transport, TRANSMIT, MAX_BUFFERS)?;
            let offload = Offload::of(features);
            let [receive_bytes, transmit_bytes] = NetworkCard::buffer_bytes(receive.size(), transmit.size(), offload);
            let (receive_buffers, transmit_buffers) = (shared_memory(receive_bytes)?, shared_memory(transmit_bytes)?);
            let has_interrupts = connect(transport, handler, [receive.interrupts(), transmit.interrupts()]);
            let device = transport.device();
            let mac = match features & MAC {
                0 => local_mac(),
                _ => core::array::from_fn(|byte| device.read(CONFIG_MAC + byte)),
            };
            if features & STATUS != 0 && device.read::<u16>(CONFIG_STATUS) & LINK_UP == 0 {
                kprintln!("holdfast: the network cable is unplugged");
            }
            let bell = Doorbells::new([receive_bell, transmit_bell]);
            let mut card = Card::new(receive, transmit, receive_buffers, transmit_buffers, bell, offload);
            transport.begin();
            card.flush();
            Ok(Started { card, mac, has_interrupts })
        })();
        if started.is_err() {
            transport.fail();
        }
        started
    }
}

/// An address of our own making, for a card that has none: locally administered, unicast (IEEE 802, section 8.4.2).
fn local_mac() -> [u8; 6] {
    let random = crate::arch::entropy::random().unwrap_or(1).to_ne_bytes();
    [2, random[0], random[1], random[2], random[3], random[4]]
}
