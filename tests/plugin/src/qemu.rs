//! QEMU's functions, as the plugin finds them in the program that has loaded it.
//!
//! The prototypes of the API are those of `include/qemu/qemu-plugin.h` of QEMU 7.2, API version 1. That API has no
//! access to registers nor to memory, so three functions come from inside QEMU, which Debian's package exports:
//! `qemu_get_cpu` and `cpu_memory_rw_debug` (`include/hw/core/cpu.h`, `include/exec/cpu-all.h`), and
//! `x86_cpu_gdb_read_register` (`target/i386/cpu.h`), which answers in an array of GLib's. All are looked up by name
//! when the plugin is installed, so a QEMU that lacks one is refused and not crashed.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::transmute_copy;
use std::ptr::{null_mut, slice_from_raw_parts};
use std::sync::atomic::AtomicU64;

/// Identifies a loaded plugin (`qemu_plugin_id_t`).
pub type PluginId = u64;
/// What is told of an access to memory (`qemu_plugin_meminfo_t`).
pub type MemoryInfo = u32;

/// What a plugin is told when it is installed (`qemu_info_t`).
#[repr(C)]
pub struct Info {
    pub target_name: *const c_char,
    pub least_version: c_int,
    pub current_version: c_int,
    pub system_emulation: bool,
    pub initial_cpus: c_int,
    pub most_cpus: c_int,
}

/// An opaque thing of QEMU's.
#[repr(C)]
pub struct Opaque {
    _private: [u8; 0],
}

/// GLib's `GByteArray`.
#[repr(C)]
struct ByteArray {
    data: *mut u8,
    len: c_uint,
}

pub type OnTranslation = extern "C" fn(PluginId, *mut Opaque);
pub type OnExecution = extern "C" fn(c_uint, *mut c_void);
pub type OnAccess = extern "C" fn(c_uint, MemoryInfo, u64, *mut c_void);
pub type OnExit = extern "C" fn(PluginId, *mut c_void);

/// `QEMU_PLUGIN_CB_R_REGS`: the callback reads registers.
const READS_REGISTERS: c_int = 1;
/// `QEMU_PLUGIN_CB_NO_REGS`.
const NO_REGISTERS: c_int = 0;
/// `QEMU_PLUGIN_MEM_W`.
const STORES: c_int = 2;
/// `QEMU_PLUGIN_MEM_RW`.
const LOADS_AND_STORES: c_int = 3;
/// `QEMU_PLUGIN_INLINE_ADD_U64`.
const ADD: c_int = 0;

unsafe extern "C" {
    // Of the C library, which every Rust program is linked with.
    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
}

macro_rules! functions {
    ($($name:ident: $prototype:ty;)*) => {
        /// QEMU's functions.
        pub struct Qemu {
            $($name: $prototype,)*
        }

        impl Qemu {
            /// Finds them. The error is the name of one that is not there.
            pub fn find() -> Result<Self, &'static str> {
                Ok(Self {
                    $($name: {
                        let name = concat!(stringify!($name), "\0");
                        // SAFETY: 1. the name ends with a zero; a null handle asks for the program and all that it has
                        // loaded. 2. What is found under this name is a function with this prototype (the module's
                        // documentation says by which header), and a function pointer is as large as an address.
                        unsafe {
                            let address = dlsym(null_mut(), name.as_ptr().cast());
                            if address.is_null() {
                                return Err(stringify!($name));
                            }
                            transmute_copy::<*mut c_void, $prototype>(&address)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    qemu_plugin_register_vcpu_tb_trans_cb: unsafe extern "C" fn(PluginId, OnTranslation);
    qemu_plugin_register_vcpu_insn_exec_cb: unsafe extern "C" fn(*mut Opaque, OnExecution, c_int, *mut c_void);
    qemu_plugin_register_vcpu_mem_cb: unsafe extern "C" fn(*mut Opaque, OnAccess, c_int, c_int, *mut c_void);
    qemu_plugin_register_vcpu_mem_inline: unsafe extern "C" fn(*mut Opaque, c_int, c_int, *mut c_void, u64);
    qemu_plugin_register_vcpu_tb_exec_inline: unsafe extern "C" fn(*mut Opaque, c_int, *mut c_void, u64);
    qemu_plugin_register_atexit_cb: unsafe extern "C" fn(PluginId, OnExit, *mut c_void);
    qemu_plugin_tb_vaddr: unsafe extern "C" fn(*const Opaque) -> u64;
    qemu_plugin_tb_n_insns: unsafe extern "C" fn(*const Opaque) -> usize;
    qemu_plugin_tb_get_insn: unsafe extern "C" fn(*const Opaque, usize) -> *mut Opaque;
    qemu_plugin_insn_data: unsafe extern "C" fn(*const Opaque) -> *const u8;
    qemu_plugin_insn_size: unsafe extern "C" fn(*const Opaque) -> usize;
    qemu_plugin_insn_vaddr: unsafe extern "C" fn(*const Opaque) -> u64;
    qemu_plugin_mem_is_store: unsafe extern "C" fn(MemoryInfo) -> bool;
    qemu_plugin_mem_size_shift: unsafe extern "C" fn(MemoryInfo) -> c_uint;
    qemu_plugin_get_hwaddr: unsafe extern "C" fn(MemoryInfo, u64) -> *mut Opaque;
    qemu_plugin_hwaddr_is_io: unsafe extern "C" fn(*const Opaque) -> bool;
    qemu_get_cpu: unsafe extern "C" fn(c_int) -> *mut Opaque;
    x86_cpu_gdb_read_register: unsafe extern "C" fn(*mut Opaque, *mut ByteArray, c_int) -> c_int;
    cpu_memory_rw_debug: unsafe extern "C" fn(*mut Opaque, u64, *mut c_void, u64, bool) -> c_int;
    g_byte_array_new: unsafe extern "C" fn() -> *mut ByteArray;
    g_byte_array_set_size: unsafe extern "C" fn(*mut ByteArray, c_uint) -> *mut ByteArray;
    g_byte_array_unref: unsafe extern "C" fn(*mut ByteArray);
}

/// An instruction that is being translated.
#[derive(Clone, Copy)]
pub struct Translated<'q> {
    qemu: &'q Qemu,
    instruction: *mut Opaque,
}

impl Qemu {
    /// Has the plugin called for every block that is translated.
    pub fn on_translation(&self, id: PluginId, run: OnTranslation) {
        // SAFETY: the identity is the one that QEMU gave, and the function is there as long as the plugin, which is
        // never unloaded.
        unsafe { (self.qemu_plugin_register_vcpu_tb_trans_cb)(id, run) };
    }

    /// Has the plugin called at QEMU's end.
    pub fn on_exit(&self, id: PluginId, run: OnExit) {
        // SAFETY: as above.
        unsafe { (self.qemu_plugin_register_atexit_cb)(id, run, null_mut()) };
    }

    /// The virtual address of a block.
    ///
    /// # Safety
    /// `block` is what QEMU passed to the running callback for a translation.
    pub unsafe fn block_address(&self, block: *mut Opaque) -> u64 {
        // SAFETY: the caller's.
        unsafe { (self.qemu_plugin_tb_vaddr)(block) }
    }

    /// Has QEMU add 1 to the counter each time that the block is executed.
    ///
    /// # Safety
    /// `block` is what QEMU passed to the running callback for a translation.
    pub unsafe fn count_executions(&self, block: *mut Opaque, counter: &'static AtomicU64) {
        // SAFETY: 1. the caller's. 2. The counter stays for ever, and whoever else uses it does so as an atomic; QEMU's
        // additions are loads and stores of the whole number by one thread.
        unsafe { (self.qemu_plugin_register_vcpu_tb_exec_inline)(block, ADD, counter.as_ptr().cast(), 1) };
    }

    /// The instructions of a block.
    ///
    /// # Safety
    /// `block` is what QEMU passed to the running callback for a translation; the result is not used after it.
    pub unsafe fn instructions(&self, block: *mut Opaque) -> impl Iterator<Item = Translated<'_>> {
        // SAFETY: the caller's.
        let count = unsafe { (self.qemu_plugin_tb_n_insns)(block) };
        (0..count).map(move |number| {
            // SAFETY: the caller's; the number is one of the block's.
            let instruction = unsafe { (self.qemu_plugin_tb_get_insn)(block, number) };
            Translated { qemu: self, instruction }
        })
    }

    /// Whether an access is a store: QEMU 7.2 shows some loads to who asked for stores only.
    pub fn is_store(&self, info: MemoryInfo) -> bool {
        // SAFETY: it computes from the value alone.
        unsafe { (self.qemu_plugin_mem_is_store)(info) }
    }

    /// Whether an access that a running callback was told of is a device's, and not memory.
    pub fn is_device(&self, info: MemoryInfo, address: u64) -> bool {
        // SAFETY: the access is the one that this thread's processor has just done. What QEMU answers is null or stays
        // until this thread asks again.
        unsafe {
            let place = (self.qemu_plugin_get_hwaddr)(info, address);
            !place.is_null() && (self.qemu_plugin_hwaddr_is_io)(place)
        }
    }

    /// How many bytes an access moves.
    pub fn access_size(&self, info: MemoryInfo) -> u64 {
        // SAFETY: it computes from the value alone.
        1 << unsafe { (self.qemu_plugin_mem_size_shift)(info) }
    }

    /// A general register of a processor that runs a callback: 0 is RAX, 15 is R15. `None` if QEMU does not tell.
    pub fn register_of(&self, cpu: c_uint, number: u8) -> Option<u64> {
        // QEMU numbers registers for debuggers as GDB does.
        const GDB: [c_int; 16] = [0, 2, 3, 1, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
        // SAFETY: the processor runs the callback, so it exists and its registers do not change now. The array is made
        // here, QEMU only appends to it, it is read as far as it says, and given back once.
        unsafe {
            let cpu = (self.qemu_get_cpu)(cpu as c_int);
            if cpu.is_null() {
                return None;
            }
            let array = (self.g_byte_array_new)();
            (self.g_byte_array_set_size)(array, 0);
            (self.x86_cpu_gdb_read_register)(cpu, array, GDB[usize::from(number)]);
            let value =
                (*slice_from_raw_parts((*array).data, (*array).len as usize)).try_into().map(u64::from_le_bytes);
            (self.g_byte_array_unref)(array);
            value.ok()
        }
    }

    /// Copies what a processor that runs a callback has at a virtual address. `None` if nothing is mapped there.
    pub fn read_memory(&self, cpu: c_uint, address: u64, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        // SAFETY: the processor exists (as above); QEMU stores `count` bytes at most, and the vector has them.
        let failed = unsafe {
            let cpu = (self.qemu_get_cpu)(cpu as c_int);
            cpu.is_null()
                || (self.cpu_memory_rw_debug)(cpu, address, bytes.as_mut_ptr().cast(), count as u64, false) != 0
        };
        (!failed).then_some(bytes)
    }
}

impl Translated<'_> {
    /// Its virtual address.
    pub fn address(&self) -> u64 {
        // SAFETY: the instruction is of the block of the running callback (`Qemu::instructions`).
        unsafe { (self.qemu.qemu_plugin_insn_vaddr)(self.instruction) }
    }

    /// Its machine code.
    pub fn code(&self) -> Vec<u8> {
        // SAFETY: as above; QEMU keeps as many bytes as it says until the callback ends, and they are copied.
        unsafe {
            let count = (self.qemu.qemu_plugin_insn_size)(self.instruction);
            (*slice_from_raw_parts((self.qemu.qemu_plugin_insn_data)(self.instruction), count)).to_vec()
        }
    }

    /// Has `run` called before each execution, with registers that can be read.
    pub fn on_execution<T: Sync>(&self, run: OnExecution, data: &'static T) {
        // SAFETY: as above; the data stays for ever and is only read.
        unsafe {
            let data = (&raw const *data).cast_mut().cast();
            (self.qemu.qemu_plugin_register_vcpu_insn_exec_cb)(self.instruction, run, READS_REGISTERS, data);
        }
    }

    /// Has `run` called after each store.
    pub fn on_store<T: Sync>(&self, run: OnAccess, data: &'static T) {
        self.on(STORES, run, data);
    }

    /// Has `run` called after each load and each store.
    pub fn on_access<T: Sync>(&self, run: OnAccess, data: &'static T) {
        self.on(LOADS_AND_STORES, run, data);
    }

    fn on<T: Sync>(&self, accesses: c_int, run: OnAccess, data: &'static T) {
        // SAFETY: as above.
        unsafe {
            let data = (&raw const *data).cast_mut().cast();
            (self.qemu.qemu_plugin_register_vcpu_mem_cb)(self.instruction, run, NO_REGISTERS, accesses, data);
        }
    }

    /// Has QEMU add 1 to the counter at each load and each store. (For the one or the other alone, QEMU 7.2 mistakes
    /// the direction.)
    pub fn count_accesses(&self, counter: &'static AtomicU64) {
        // SAFETY: of the instruction as above, of the counter as in `Qemu::count_executions`.
        unsafe {
            let counter = counter.as_ptr().cast();
            (self.qemu.qemu_plugin_register_vcpu_mem_inline)(self.instruction, LOADS_AND_STORES, ADD, counter, 1);
        }
    }
}

/// Text of QEMU's.
///
/// # Safety
/// `text` is null or ends with a zero, and stays until the result is not used any more.
pub unsafe fn text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: the caller's.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_qemu_lacks_its_functions() {
        assert_eq!(Qemu::find().err(), Some("qemu_plugin_register_vcpu_tb_trans_cb"));
    }
}
