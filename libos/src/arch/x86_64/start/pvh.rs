//! What the boot loader tells: the PVH start info (Xen `include/public/arch-x86/hvm/start_info.h`).

use core::ffi::CStr;
use core::ops::Range;
use core::slice;

/// `hvm_start_info`, versions 0 and 1.
#[repr(C)]
pub struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

/// `hvm_memmap_table_entry`.
#[repr(C)]
struct MemoryMapEntry {
    base: u64,
    length: u64,
    kind: u32,
    reserved: u32,
}

/// `hvm_modlist_entry`.
#[repr(C)]
struct Module {
    address: u64,
    length: u64,
    command_line: u64,
    reserved: u64,
}

const MAGIC: u32 = 0x336e_c578;

/// The type of usable RAM in the memory map, as in E820.
const RAM: u32 = 1;

impl StartInfo {
    /// The start info at this physical address; `None` if there is none, or one without a memory map.
    ///
    /// # Safety
    /// `address` was handed over by the boot loader and is mapped, as is all that the start info points to; nobody
    /// writes there while the result is in use.
    pub unsafe fn at(address: u64) -> Option<&'static Self> {
        let pointer = address as *const Self;
        if pointer.is_null() || !pointer.is_aligned() {
            return None;
        }
        // SAFETY: the caller says that the address is a mapped start info that nobody writes.
        let info = unsafe { &*pointer };
        (info.magic == MAGIC && info.version >= 1).then_some(info)
    }

    /// The ranges of usable RAM.
    pub fn ram(&self) -> impl Iterator<Item = Range<u64>> {
        let map = self.memory_map_range();
        // SAFETY: the loader wrote `memory_map_entries` entries there (the contract of `at`).
        let entries =
            unsafe { slice::from_raw_parts(map.start as *const MemoryMapEntry, self.memory_map_entries as usize) };
        entries
            .iter()
            .filter(|entry| entry.kind == RAM)
            .map(|entry| entry.base..entry.base.saturating_add(entry.length))
    }

    fn memory_map_range(&self) -> Range<u64> {
        let bytes = u64::from(self.memory_map_entries) * size_of::<MemoryMapEntry>() as u64;
        self.memory_map..self.memory_map + bytes
    }

    /// The kernel command line; empty if there is none or it is not UTF-8.
    pub fn command_line(&self) -> &'static str {
        if self.command_line == 0 {
            return "";
        }
        // SAFETY: the loader wrote a C string there (the contract of `at`).
        let text = unsafe { CStr::from_ptr(self.command_line as *const _) };
        text.to_str().unwrap_or_default()
    }

    /// The physical address of ACPI's root pointer.
    pub fn rsdp(&self) -> Option<u64> {
        (self.rsdp != 0).then_some(self.rsdp)
    }

    /// The memory of the first module that the loader was told to load: QEMU's `-initrd`. Empty if there is none.
    pub fn module(&self) -> Range<u64> {
        if self.module_count == 0 || self.modules == 0 {
            return 0..0;
        }
        // SAFETY: the loader wrote `module_count` entries there (the contract of `at`).
        let module = unsafe { (self.modules as *const Module).read_unaligned() };
        module.address..module.address.saturating_add(module.length)
    }

    /// The memory that the start info itself and the module occupy, so that nobody allocates it.
    pub fn occupied(&self) -> [Range<u64>; 4] {
        let this = core::ptr::from_ref(self).addr() as u64;
        let line = self.command_line..self.command_line + self.command_line().len() as u64 + 1;
        [this..this + size_of::<Self>() as u64, self.memory_map_range(), line, self.module()]
    }
}
