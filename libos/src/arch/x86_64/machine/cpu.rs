//! The CPU's features and control registers.

use core::arch::asm;
use core::fmt;

use raw_cpuid::{CpuId, CpuIdReaderNative};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr3, Cr4, Cr4Flags};
use x86_64::registers::model_specific::Msr;
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::paging::Encryption;
use crate::arch::x86_64::format::cache_types::CacheTypes;

fn cpuid() -> CpuId<CpuIdReaderNative> {
    CpuId::new()
}

/// Whether page tables can have five levels (CPUID.(7,0):ECX.LA57).
pub fn has_five_levels() -> bool {
    cpuid().get_extended_feature_info().is_some_and(|f| f.has_la57())
}

/// How many bits a physical address has at most (CPUID.80000008H:EAX, bits 7:0).
pub fn physical_address_bits() -> u32 {
    cpuid().get_processor_capacity_feature_info().map_or(36, |f| u32::from(f.physical_address_bits()))
}

/// Which address bits of page tables mean encryption.
pub fn memory_encryption() -> Encryption {
    let bit = |register, bit: u32| {
        // SAFETY: reading it changes nothing, and the CPUID flag that precedes each call says that it exists.
        let value = unsafe { Msr::new(register).read() };
        value >> bit & 1 != 0
    };
    if let Some(amd) = cpuid().get_memory_encryption_info()
        && ((amd.has_sev() && has_hypervisor() && bit(AMD_SEV_STATUS, 0)) || (amd.has_sme() && bit(AMD_SYSCFG, 23)))
    {
        return Encryption::amd(u32::from(amd.c_bit_position()));
    }
    // raw-cpuid has no name for CPUID.(7,0):ECX.TME_EN, bit 13.
    let has_tme =
        cpuid().get_extended_feature_info().is_some() && core::arch::x86_64::__cpuid_count(7, 0).ecx & 1 << 13 != 0;
    if has_tme && bit(IA32_TME_ACTIVATE, 1) {
        // SAFETY: as above.
        let key_bits = unsafe { Msr::new(IA32_TME_ACTIVATE).read() } >> 32 & 0xf;
        return Encryption::intel(key_bits as u32, physical_address_bits());
    }
    Encryption::default()
}

/// Set bit 0: this guest's memory is encrypted. Exists in guests that have SEV.
const AMD_SEV_STATUS: u32 = 0xc001_0131;
/// Set bit 23: memory encryption is on.
const AMD_SYSCFG: u32 = 0xc001_0010;
/// Set bit 1: memory encryption is on; bits 35:32: how many address bits are a key's identifier.
const IA32_TME_ACTIVATE: u32 = 0x982;

fn has_hypervisor() -> bool {
    cpuid().get_feature_info().is_some_and(|f| f.has_hypervisor())
}

/// How pages are cached, by the bits of their leaves (IA32_PAT).
pub fn cache_types() -> CacheTypes {
    // SAFETY: every CPU with long mode has it; reading it changes nothing.
    CacheTypes::from_bits(unsafe { Msr::new(0x277).read() })
}

/// Whether leaves of 1 GiB exist (CPUID.80000001H:EDX.Page1GB).
pub fn has_gibibyte_pages() -> bool {
    cpuid().get_extended_processor_and_feature_identifiers().is_some_and(|f| f.has_1gib_pages())
}

/// Whether the CPU has protection keys for supervisor pages (CPUID.(7,0):ECX.PKS, bit 31).
pub fn has_pks() -> bool {
    // raw-cpuid has no name for this bit. CPUID is available in long mode always, and leaf 7 was checked.
    cpuid().get_extended_feature_info().is_some() && core::arch::x86_64::__cpuid_count(7, 0).ecx & 1 << 31 != 0
}

/// Whether the CPU has protection keys for user pages (CPUID.(7,0):ECX.PKU).
pub fn has_pku() -> bool {
    cpuid().get_extended_feature_info().is_some_and(|f| f.has_pku())
}

/// Whether the local APIC's registers are MSRs (CPUID.1:ECX.x2APIC).
pub fn has_x2apic() -> bool {
    cpuid().get_feature_info().is_some_and(|f| f.has_x2apic())
}

/// Whether the local APIC's timer takes a time-stamp counter value (CPUID.1:ECX.TSC-Deadline).
pub fn has_tsc_deadline() -> bool {
    cpuid().get_feature_info().is_some_and(|f| f.has_tsc_deadline())
}

/// Whether AVX state can be enabled.
pub fn has_avx() -> bool {
    cpuid().get_feature_info().is_some_and(|f| f.has_avx())
}

/// The best instruction for cache-line write-back that the CPU has.
pub fn write_back_instruction() -> super::dax_copy::WriteBack {
    use super::dax_copy::WriteBack;
    match cpuid().get_extended_feature_info() {
        Some(f) if f.has_clwb() => WriteBack::Clwb,
        Some(f) if f.has_clflushopt() => WriteBack::ClflushOpt,
        _ => WriteBack::Clflush,
    }
}

/// The name of the first feature that the library cannot do without and this CPU lacks.
pub fn missing_feature() -> Option<&'static str> {
    let id = cpuid();
    let basic = id.get_feature_info();
    let extended = id.get_extended_feature_info();
    let has = |present: Option<bool>, name| if present == Some(true) { None } else { Some(name) };
    has(basic.as_ref().map(|f| f.has_xsave()), "XSAVE")
        .or_else(|| has(basic.as_ref().map(|f| f.has_rdrand()), "RDRAND"))
        .or_else(|| has(extended.as_ref().map(|f| f.has_fsgsbase()), "FSGSBASE"))
}

/// A CPU does not obey write protection in ring 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoWriteProtection;

impl fmt::Display for NoWriteProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CR0.WP is clear, so protection keys would not stop writes")
    }
}

/// Turns on what the rest relies on: XSAVE with x87, SSE and (if there) AVX state, FSGSBASE, global write protection,
/// and machine checks, which without that reset the machine and leave no report. A CPU that does not obey write
/// protection then is not to go on.
///
/// # Safety
/// The features exist ([`missing_feature`] is `None`); called once on each CPU before it runs threads.
pub unsafe fn enable_features() -> Result<(), NoWriteProtection> {
    // SAFETY: the bits only add instructions and enforce read-only pages; the caller says that the CPU knows them.
    unsafe {
        Cr4::update(|flags| *flags |= Cr4Flags::OSXSAVE | Cr4Flags::FSGSBASE | Cr4Flags::MACHINE_CHECK_EXCEPTION);
        if cpuid().get_feature_info().is_some_and(|f| f.has_mca()) {
            super::machine_check::enable();
        }
        let mut state = XCr0Flags::X87 | XCr0Flags::SSE;
        state.set(XCr0Flags::AVX, has_avx());
        XCr0::write(state);
    }
    // WD in IA32_PKRS is void without CR0.WP (SDM 4.6.2): each CPU's boot code sets it, and nothing ever clears it.
    if Cr0::read().contains(Cr0Flags::WRITE_PROTECT) { Ok(()) } else { Err(NoWriteProtection) }
}

/// The root of the page tables that are in use.
pub(in crate::arch) fn page_table_root() -> PhysAddr {
    PhysAddr::new(Cr3::read().0.start_address().as_u64())
}

/// Forgets this CPU's cached translation of a page.
pub fn flush_tlb_page(address: VirtAddr) {
    // The x86_64 crate's function knows addresses of four levels only.
    // SAFETY: forgetting a translation changes nothing but time. The block counts as one that accesses memory, so that
    // the compiler moves no access across it.
    unsafe { asm!("invlpg [{}]", in(reg) address.as_u64(), options(nostack, preserves_flags)) };
}

/// Forgets all of this CPU's cached translations (no page is global).
pub fn flush_tlb() {
    x86_64::instructions::tlb::flush_all();
}

/// Waits for an interrupt with interrupts enabled; returns after one, with interrupts enabled.
pub fn wait_for_interrupt() {
    x86_64::instructions::interrupts::enable_and_hlt();
}

/// Stops this CPU for good.
pub fn halt() -> ! {
    x86_64::instructions::interrupts::disable();
    loop {
        x86_64::instructions::hlt();
    }
}

/// The thread pointer.
pub fn thread_pointer() -> u64 {
    let base;
    // SAFETY: FSGSBASE is enabled by `enable_features`; the instruction only reads the register.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

/// Sets the thread pointer.
///
/// # Safety
/// `base` is the thread pointer of the thread that runs from here on, with a TLS block below it.
pub unsafe fn set_thread_pointer(base: u64) {
    // SAFETY: FSGSBASE is enabled by `enable_features`; the caller answers for the value.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nostack, preserves_flags)) };
}
