//! What each driver does to start its device (section 3.1.1): queues, memory that both see, doorbells, interrupts.

use alloc::boxed::Box;

use super::memory::SharedMemory;
use super::queue::{InterruptSwitch, Queue};
use super::transport::{Registers, StartError, Transport};
use crate::arch::vectors::allocate_vector;
use crate::console;
use crate::mm::allocate_dma;

/// What tells the device of new buffers in its queues `0..N`, by writing to its registers.
pub struct Doorbells<const N: usize> {
    registers: [Registers; N],
}

impl<const N: usize> Doorbells<N> {
    /// Doorbells of the queues in their order.
    pub fn new(registers: [Registers; N]) -> Self {
        Self { registers }
    }

    /// Tells the device of `queue`.
    pub fn ring(&mut self, queue: u16) {
        if let Some(registers) = self.registers.get(usize::from(queue)) {
            registers.write(0, queue);
        }
    }
}

/// Memory for a device, zeroed.
pub fn shared_memory(len: usize) -> Result<SharedMemory, StartError> {
    let region = allocate_dma(len).ok_or(StartError::Memory)?;
    // SAFETY: the region is ours for ever, whole pages, and given to nobody else.
    Ok(unsafe { SharedMemory::new(region.virt, region.len, region.phys) })
}

/// Makes a queue of the largest size that the device allows, up to `most` buffers, and shows it to the device.
pub fn make_queue(transport: &Transport, number: u16, most: u16) -> Result<(Queue, Registers), StartError> {
    let size = transport.max_queue_size(number).min(most);
    if size == 0 {
        return Err(StartError::Queue);
    }
    let size = 1 << size.ilog2();
    console::debug(format_args!("VIRTIO: queue {number} has {size} buffers"));
    let queue = Queue::new(shared_memory(Queue::bytes(size))?, size);
    let doorbell = transport.enable_queue(number, &queue)?;
    Ok((queue, doorbell))
}

/// What the interrupt handler of a queue needs.
struct Line {
    switch: InterruptSwitch,
    handler: fn(usize),
}

/// Gives each of the queues `0..N` an interrupt of its own, which disables itself and calls `handler(0)`. `false`:
/// there are none.
pub fn connect<const N: usize>(transport: &Transport, handler: fn(usize), switches: [InterruptSwitch; N]) -> bool {
    switches.into_iter().zip(0..).all(|(switch, queue)| {
        let line: &'static Line = Box::leak(Box::new(Line { switch, handler }));
        let vector = allocate_vector(interrupt, core::ptr::from_ref(line).expose_provenance());
        vector.is_some_and(|vector| {
            console::debug(format_args!("VIRTIO: queue {queue} has interrupt vector {vector}"));
            transport.connect_queue(queue, queue, vector)
        })
    })
}

/// A queue's interrupt: no more of them until somebody has looked.
fn interrupt(line: usize) {
    // SAFETY: `connect` passes the address of a `Line` that lives for ever and is never written to.
    let line = unsafe { &*core::ptr::with_exposed_provenance::<Line>(line) };
    line.switch.disable();
    (line.handler)(0);
}
