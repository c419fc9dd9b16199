//! What the boot loader tells: the PVH start info (Xen `include/public/arch-x86/hvm/start_info.h`).

use core::ffi::CStr;
use core::ops::Range;
use core::slice;

use crate::addr::{AddrRange, PhysAddr, VirtAddr};

/// `hvm_start_info`, versions 0 and 1.
#[repr(C)]
pub struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: PhysAddr,
    command_line: PhysAddr,
    rsdp: PhysAddr,
    memory_map: PhysAddr,
    memory_map_entries: u32,
    reserved: u32,
}

/// `hvm_memmap_table_entry`.
#[repr(C)]
struct MemoryMapEntry {
    base: PhysAddr,
    length: u64,
    kind: u32,
    reserved: u32,
}

/// `hvm_modlist_entry`.
#[repr(C)]
struct Module {
    address: PhysAddr,
    length: u64,
    command_line: PhysAddr,
    reserved: u64,
}

const MAGIC: u32 = 0x336e_c578;

/// The type of usable RAM in the memory map, as in E820.
const RAM: u32 = 1;

/// Where the I/O APICs' registers begin, and what follows up to 4 GiB is taken.
const DEVICES_END: PhysAddr = PhysAddr::new(0xfec0_0000);

impl StartInfo {
    /// The start info at this physical address; `None` if there is none, or one without a memory map.
    ///
    /// # Safety
    /// `address` was handed over by the boot loader and is mapped, as is all that the start info points to; nobody
    /// writes there while the result is in use.
    pub unsafe fn at(address: PhysAddr) -> Option<&'static Self> {
        let pointer = address.identity_mapped().as_ptr::<Self>();
        if pointer.is_null() || !pointer.is_aligned() {
            return None;
        }
        // SAFETY: the caller says that the address is a mapped start info that nobody writes.
        let info = unsafe { &*pointer };
        (info.magic == MAGIC && info.version >= 1).then_some(info)
    }

    /// The ranges of usable RAM.
    pub fn ram(&self) -> impl Iterator<Item = Range<PhysAddr>> {
        self.memory_map()
            .iter()
            .filter(|entry| entry.kind == RAM)
            .map(|entry| entry.base..entry.base.saturating_add(entry.length))
    }

    /// Where nothing is, as far as the memory map tells, up to the registers of interrupt controllers below 4 GiB: the
    /// part of the address space that PCs have for devices. It is read now, since the map is not kept.
    pub fn free_for_devices(&self) -> Range<PhysAddr> {
        let below = self.memory_map().iter().filter(|entry| entry.base < DEVICES_END);
        let ends = below.map(|entry| entry.base.saturating_add(entry.length).min(DEVICES_END));
        ends.max().unwrap_or(DEVICES_END)..DEVICES_END
    }

    fn memory_map(&self) -> &[MemoryMapEntry] {
        let map = self.memory_map_range();
        // SAFETY: the loader wrote `memory_map_entries` entries there (the contract of `at`).
        unsafe {
            slice::from_raw_parts(
                map.start.identity_mapped().as_ptr::<MemoryMapEntry>(),
                self.memory_map_entries as usize,
            )
        }
    }

    fn memory_map_range(&self) -> Range<PhysAddr> {
        let bytes = u64::from(self.memory_map_entries) * size_of::<MemoryMapEntry>() as u64;
        Range::of(self.memory_map, bytes)
    }

    /// The kernel command line; empty if there is none or it is not UTF-8.
    pub fn command_line(&self) -> &'static str {
        if self.command_line == PhysAddr::ZERO {
            return "";
        }
        // SAFETY: the loader wrote a C string there (the contract of `at`).
        let text = unsafe { CStr::from_ptr(self.command_line.identity_mapped().as_ptr()) };
        text.to_str().unwrap_or_default()
    }

    /// The physical address of ACPI's root pointer.
    pub fn rsdp(&self) -> Option<PhysAddr> {
        (self.rsdp != PhysAddr::ZERO).then_some(self.rsdp)
    }

    /// The memory of the first module that the loader was told to load: QEMU's `-initrd`. Empty if there is none.
    pub fn module(&self) -> Range<PhysAddr> {
        if self.module_count == 0 || self.modules == PhysAddr::ZERO {
            return PhysAddr::ZERO..PhysAddr::ZERO;
        }
        // SAFETY: the loader wrote `module_count` entries there (the contract of `at`).
        let module = unsafe { self.modules.identity_mapped().as_ptr::<Module>().read_unaligned() };
        module.address..module.address.saturating_add(module.length)
    }

    /// The memory that the start info itself and the module occupy, so that nobody allocates it.
    pub fn occupied(&self) -> [Range<PhysAddr>; 4] {
        let this = VirtAddr::from_ptr(self).identity_physical();
        let line = Range::of(self.command_line, self.command_line().len() as u64 + 1);
        [Range::of(this, size_of::<Self>() as u64), self.memory_map_range(), line, self.module()]
    }
}
