//! Where everything lies in the one address space.
//!
//! ```text
//! 0x0000_0000_0000_0000  RAM, firmware tables and device registers, each at its physical address; page 0 unmapped
//! 0x0000_1000_0000_0000  persistent memory, each device at this plus its physical address
//! 0x0000_6000_0000_0000  stacks, one slot of 1 GiB for each; a stack ends at the slot's end, what is below it is unmapped
//! ```

/// The size of a 4 KiB page, in bytes.
pub const PAGE: u64 = 4096;

/// The size of a 1 GiB page, in bytes.
pub const GIB: u64 = 1 << 30;

/// Where persistent memory begins: the device at physical address P is mapped at `PMEM_BASE + P`, so addresses are aligned
/// alike and the largest pages fit.
pub const PMEM_BASE: u64 = 0x0000_1000_0000_0000;

/// The end of what can be mapped as persistent memory, a physical address: 64 TiB.
pub const PMEM_PHYSICAL_END: u64 = 1 << 46;

/// Where the stacks begin.
pub const STACKS_BASE: u64 = 0x0000_6000_0000_0000;

/// The address space for one stack, in bytes; a stack itself is smaller.
pub const STACK_STRIDE: u64 = GIB;

/// How many stacks there can be at once.
pub const STACK_SLOTS: usize = 16384;

#[cfg(target_os = "hermit")]
pub(crate) use image::{image, in_text, sections};

#[cfg(target_os = "hermit")]
mod image {
    use core::ops::Range;

    use crate::mm::attributes::Attributes;

    unsafe extern "C" {
        static image_start: u8;
        static text_end: u8;
        static rodata_end: u8;
        static image_end: u8;
        static boot_stack_guard_page: u8;
    }

    /// A part of the image and how its pages are mapped.
    pub(crate) struct Section {
        pub(crate) range: Range<u64>,
        pub(crate) attributes: Attributes,
    }

    fn address(symbol: *const u8) -> u64 {
        symbol.addr() as u64
    }

    /// The whole image as the linker laid it out.
    pub(crate) fn image() -> Range<u64> {
        address(&raw const image_start)..address(&raw const image_end)
    }

    /// Whether the address is in the image's code.
    pub(crate) fn in_text(at: u64) -> bool {
        (address(&raw const image_start)..address(&raw const text_end)).contains(&at)
    }

    /// The image's sections; the boot stack's guard page is left out.
    pub(crate) fn sections() -> [Section; 4] {
        let (start, text, rodata, end) = (
            address(&raw const image_start),
            address(&raw const text_end),
            address(&raw const rodata_end),
            address(&raw const image_end),
        );
        let guard = address(&raw const boot_stack_guard_page);
        [
            Section { range: start..text, attributes: Attributes::CODE },
            Section { range: text..rodata, attributes: Attributes::CONSTANT },
            Section { range: rodata..guard, attributes: Attributes::DATA },
            Section { range: guard + super::PAGE..end, attributes: Attributes::DATA },
        ]
    }
}

const _: () = assert!(PMEM_BASE.is_multiple_of(GIB), "pmem is aligned alike in both spaces");
const _: () = assert!(PMEM_BASE + PMEM_PHYSICAL_END <= STACKS_BASE, "pmem ends below the stacks");
const _: () = assert!(STACKS_BASE + STACK_SLOTS as u64 * STACK_STRIDE <= 1 << 47, "stacks end below the hole");
