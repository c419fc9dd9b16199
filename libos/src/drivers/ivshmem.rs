//! Memory that the host shares with the machine: QEMU's `ivshmem` device, which holds the region for a trace.

use super::pci::{self, Ports};
use crate::addr::PhysAddr;
use crate::mm::map_mmio;
use crate::{console, kprintln, trace};

/// QEMU's device, and the number of its memory region.
const SHARED_MEMORY: (u16, u16) = (0x1af4, 0x1110);
const SHARED_MEMORY_BAR: u8 = 2;

/// Looks for a region, and begins to record there if there is one. To be called before there are threads, so that all
/// of them have names in it.
pub(crate) fn find_trace_region() {
    let mut is_first = true;
    pci::scan(&Ports, |function| {
        if function.vendor_device() != SHARED_MEMORY || !is_first {
            return;
        }
        if let Some(bar) = function.bar(SHARED_MEMORY_BAR).filter(|bar| bar.address != PhysAddr::ZERO) {
            function.enable();
            is_first = !begin(&bar);
        }
    });
}

/// Whether events are recorded in this memory from now on.
fn begin(bar: &pci::Bar) -> bool {
    let Ok(length) = usize::try_from(bar.len) else { return false };
    if !trace::fits(length) {
        return false;
    }
    let region = match map_mmio(bar.address, length) {
        Ok(region) => region,
        Err(error) => {
            kprintln!("holdfast: no trace: {error}");
            return false;
        }
    };
    // SAFETY: the region is mapped with this length, for ever, and has room.
    let capacity = unsafe { trace::begin(region, length) };
    match capacity {
        Some(capacity) => console::info(format_args!("traced: the last {capacity} events of each CPU")),
        None => {
            let address = bar.address;
            kprintln!("holdfast: the shared memory at {address:#x} is no region for a trace; it is left alone");
        }
    }
    capacity.is_some()
}
