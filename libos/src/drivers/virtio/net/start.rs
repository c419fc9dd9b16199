//! Starting the card (section 5.1.5).

use alloc::boxed::Box;

use super::super::memory::SharedMemory;
use super::super::queue::{InterruptSwitch, Queue};
use super::super::transport::{Registers, StartError, Transport};
use super::features::{MAC, Offload, STATUS, wanted};
use super::{Card, Doorbell};
use crate::arch::interrupts::allocate_vector;
use crate::drivers::pci::{Address, ConfigSpace, Function};
use crate::kprintln;
use crate::mm::allocate_dma;
use crate::sync::IrqLock;

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

/// Notifies by writing to the device's registers.
pub struct MemoryDoorbell {
    registers: [Registers; 2],
}

impl Doorbell for MemoryDoorbell {
    fn ring(&mut self, queue: u16) {
        if let Some(registers) = self.registers.get(usize::from(queue)) {
            registers.write(0, queue);
        }
    }
}

/// A card that was found and reset.
pub struct Found {
    address: Address,
    transport: Transport,
}

/// A card that runs.
pub struct Running {
    /// The card.
    pub card: NetworkCard,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Without interrupts, the card must be looked at from time to time.
    pub has_interrupts: bool,
}

static FOUND: IrqLock<Option<Found>> = IrqLock::new(None);

/// Whether this driver is for such a device.
pub fn is_network_card(vendor_device: (u16, u16)) -> bool {
    vendor_device == NETWORK_CARD || vendor_device == TRANSITIONAL
}

/// Takes a card that was found. One is enough; others are left alone.
pub fn found<C: ConfigSpace>(function: &Function<'_, C>) {
    let address = function.address;
    if FOUND.lock().is_some() {
        kprintln!("holdfast: the network card at {address} is left alone, one is in use already");
        return;
    }
    match Transport::new(function) {
        Ok(transport) => *FOUND.lock() = Some(Found { address, transport }),
        Err(error) => kprintln!("holdfast: the network card at {address} cannot be used: {error}"),
    }
}

/// The card that was found, for whoever is to run it.
pub fn take() -> Option<Found> {
    FOUND.lock().take()
}

impl Found {
    /// Starts the card. `handler(0)` is called in interrupt context when a frame has been received or, after a full
    /// ring, sent.
    pub fn start(self, handler: fn(usize)) -> Option<Running> {
        let address = self.address;
        match self.try_start(handler) {
            Ok(running) => Some(running),
            Err(error) => {
                kprintln!("holdfast: the network card at {address} cannot be used: {error}");
                None
            }
        }
    }

    fn try_start(self, handler: fn(usize)) -> Result<Running, StartError> {
        let transport = &self.transport;
        let started = (|| {
            let features = transport.negotiate(wanted)?;
            let (receive, receive_bell) = make_queue(transport, RECEIVE)?;
            let (transmit, transmit_bell) = make_queue(transport, TRANSMIT)?;
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
            let bell = MemoryDoorbell { registers: [receive_bell, transmit_bell] };
            let mut card = Card::new(receive, transmit, receive_buffers, transmit_buffers, bell, offload);
            transport.begin();
            card.flush();
            Ok(Running { card, mac, has_interrupts })
        })();
        if started.is_err() {
            transport.fail();
        }
        started
    }
}

/// Memory for a device, zeroed.
fn shared_memory(len: usize) -> Result<SharedMemory, StartError> {
    let region = allocate_dma(len).ok_or(StartError::Memory)?;
    // SAFETY: the region is ours for ever, whole pages, and given to nobody else.
    Ok(unsafe { SharedMemory::new(region.virt, region.len, region.phys) })
}

fn make_queue(transport: &Transport, number: u16) -> Result<(Queue, Registers), StartError> {
    let size = transport.max_queue_size(number).min(MAX_BUFFERS);
    if size == 0 {
        return Err(StartError::Queue);
    }
    // The largest power of two that the device allows.
    let size = 1 << size.ilog2();
    let queue = Queue::new(shared_memory(Queue::bytes(size))?, size);
    let bell = transport.enable_queue(number, &queue)?;
    Ok((queue, bell))
}

/// What the interrupt handler of a queue needs.
struct Line {
    switch: InterruptSwitch,
    handler: fn(usize),
}

/// Gives each queue an interrupt of its own. `false`: there are none.
fn connect(transport: &Transport, handler: fn(usize), switches: [InterruptSwitch; 2]) -> bool {
    switches.into_iter().zip([RECEIVE, TRANSMIT]).all(|(switch, queue)| {
        let line: &'static Line = Box::leak(Box::new(Line { switch, handler }));
        let vector = allocate_vector(interrupt, core::ptr::from_ref(line).expose_provenance());
        vector.is_some_and(|vector| transport.connect_queue(queue, queue, vector))
    })
}

/// A queue's interrupt: no more of them until somebody has looked.
fn interrupt(line: usize) {
    // SAFETY: `connect` passes the address of a `Line` that lives for ever and is never written to.
    let line = unsafe { &*core::ptr::with_exposed_provenance::<Line>(line) };
    line.switch.disable();
    (line.handler)(0);
}

/// An address of our own making, for a card that has none: locally administered, unicast (IEEE 802, section 8.4.2).
fn local_mac() -> [u8; 6] {
    let random = crate::arch::entropy::random().unwrap_or(1).to_ne_bytes();
    [2, random[0], random[1], random[2], random[3], random[4]]
}
