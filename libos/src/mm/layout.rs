//! Where everything lies in the one address space.
//!
//! ```text
//! 0x0000_0000_0000_0000  RAM, firmware tables and device registers, each at its physical address; page 0 unmapped
//! 0x0000_1000_0000_0000  persistent memory, each device at this plus its physical address (four-level paging)
//! 0x0000_6000_0000_0000  stacks, one slot of 1 GiB for each; a stack ends at the slot's end, below it is nothing
//! 0x0010_0000_0000_0000  persistent memory with five-level paging: all 4 PiB of physical addresses fit
//! ```

use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::paging::Levels;
pub use crate::arch::paging::PAGE;

/// The size of a 1 GiB page.
pub const GIB: u64 = 1 << 30;

/// The end of what is mapped at its physical address: 16 TiB.
pub const IDENTITY_END: PhysAddr = PhysAddr::new(1 << 44);

/// Where persistent memory begins: the device at physical address P is mapped at this plus P, so addresses are aligned
/// alike and the largest pages fit.
pub const fn pmem_base(levels: Levels) -> VirtAddr {
    match levels {
        Levels::Four => IDENTITY_END.identity_mapped(),
        Levels::Five => VirtAddr::new(1 << 52),
    }
}

/// Where persistent memory at this physical address is mapped, if it is.
pub const fn pmem_window(levels: Levels, physical: PhysAddr) -> VirtAddr {
    VirtAddr::new(pmem_base(levels).as_u64() + physical.as_u64())
}

/// The end of what can be mapped as persistent memory: 64 TiB, or 4 PiB with five levels.
pub const fn pmem_physical_end(levels: Levels) -> PhysAddr {
    match levels {
        Levels::Four => PhysAddr::new(1 << 46),
        Levels::Five => PhysAddr::new(1 << 52),
    }
}

/// Where the stacks begin.
pub const STACKS_BASE: VirtAddr = VirtAddr::new(0x0000_6000_0000_0000);

/// The address space for one stack; a stack itself is smaller.
pub const STACK_STRIDE: u64 = GIB;

/// How many stacks there can be at once.
pub const STACK_SLOTS: usize = 16384;

#[cfg(target_os = "hermit")]
pub(crate) use image::{Section, image, in_text, sections};

#[cfg(target_os = "hermit")]
mod image {
    use core::ops::Range;

    use crate::addr::{AddrRange, PhysAddr, VirtAddr};
    use crate::mm::attributes::Attributes;
    use crate::mm::page_table::Piece;

    unsafe extern "C" {
        static image_start: u8;
        static text_end: u8;
        static rodata_end: u8;
        static image_end: u8;
        static boot_stack_guard_page: u8;
    }

    /// A part of the image and how its pages are mapped; `None` for the guard page.
    pub(crate) struct Section {
        range: Range<PhysAddr>,
        attributes: Option<Attributes>,
    }

    impl Section {
        /// It as part of a mapping.
        pub(crate) fn piece(self) -> Piece {
            match self.attributes {
                Some(attributes) => Piece::Memory { physical: self.range, attributes },
                None => Piece::Hole { length: self.range.length() },
            }
        }
    }

    /// The image is loaded where it is linked: at its physical addresses.
    fn address(symbol: *const u8) -> PhysAddr {
        VirtAddr::from_ptr(symbol).identity_physical()
    }

    /// The whole image as the linker laid it out.
    pub(crate) fn image() -> Range<PhysAddr> {
        address(&raw const image_start)..address(&raw const image_end)
    }

    /// Whether the address is in the image's code.
    pub(crate) fn in_text(at: VirtAddr) -> bool {
        (VirtAddr::from_ptr(&raw const image_start)..VirtAddr::from_ptr(&raw const text_end)).contains(&at)
    }

    /// The image's sections, one after the other, with the boot stack's guard page among them.
    pub(crate) fn sections() -> [Section; 5] {
        let (start, text, rodata, end) = (
            address(&raw const image_start),
            address(&raw const text_end),
            address(&raw const rodata_end),
            address(&raw const image_end),
        );
        let guard = address(&raw const boot_stack_guard_page);
        [
            Section { range: start..text, attributes: Some(Attributes::CODE) },
            Section { range: text..rodata, attributes: Some(Attributes::CONSTANT) },
            Section { range: rodata..guard, attributes: Some(Attributes::DATA) },
            Section { range: guard..guard + super::PAGE, attributes: None },
            Section { range: guard + super::PAGE..end, attributes: Some(Attributes::DATA) },
        ]
    }
}

const _: () = {
    const fn pmem_end(levels: Levels) -> u64 {
        pmem_window(levels, pmem_physical_end(levels)).as_u64()
    }
    let (four, five) = (pmem_base(Levels::Four), pmem_base(Levels::Five));
    assert!(four.is_aligned(GIB) && five.is_aligned(GIB), "pmem is aligned alike in both spaces");
    let identity_end = IDENTITY_END.identity_mapped().as_u64();
    assert!(four.as_u64() >= identity_end, "pmem begins above what is mapped at its physical address");
    assert!(pmem_end(Levels::Four) <= STACKS_BASE.as_u64(), "pmem ends below the stacks");
    let stacks_end = STACKS_BASE.as_u64() + STACK_SLOTS as u64 * STACK_STRIDE;
    assert!(stacks_end <= 1 << 47, "stacks end below the hole");
    assert!(stacks_end <= five.as_u64() && pmem_end(Levels::Five) <= 1 << 56, "pmem fits above the stacks");
};
