//! Places for memory regions, where the firmware gives none: QEMU's qboot boots a kernel without a look at them.

use core::ops::Range;

use super::config::{Bar, ConfigSpace};
use super::scan;
use crate::addr::PhysAddr;

/// Gives the memory regions of the functions on bus 0 places in `free`, from its end downwards, unless any function has
/// one by now: then the firmware does so, and a region without a place has none for a reason. What does not fit is left
/// without, as is what lies behind bridges, whose windows are the firmware's. Before anybody uses a region.
pub fn place<C: ConfigSpace>(space: &C, free: &Range<PhysAddr>) {
    let mut is_placed = false;
    scan(space, |function| {
        is_placed =
            is_placed || (0..6).filter_map(|index| function.bar(index)).any(|bar| bar.address != PhysAddr::ZERO);
    });
    if is_placed {
        return;
    }
    let mut end = free.end;
    scan(space, |function| {
        if function.address.bus != 0 {
            return;
        }
        for index in 0..6 {
            let Some(Bar { len, .. }) = function.bar(index) else { continue };
            let place = end.as_u64().checked_sub(len).map(|start| PhysAddr::new(start).align_down(len));
            if let Some(place) = place.filter(|&place| place >= free.start)
                && function.place(index, place)
            {
                end = place;
            }
        }
    });
}
