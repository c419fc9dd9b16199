//! The CPU's features and control registers.

use core::arch::asm;

use raw_cpuid::{CpuId, CpuIdReaderNative};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr3, Cr3Flags, Cr4, Cr4Flags};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};
use x86_64::structures::paging::PhysFrame;
use x86_64::{PhysAddr, VirtAddr};

fn cpuid() -> CpuId<CpuIdReaderNative> {
    CpuId::new()
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

/// Turns on what the rest relies on: XSAVE with x87, SSE and (if there) AVX state, FSGSBASE, global write protection.
///
/// # Safety
/// The features exist ([`missing_feature`] is `None`); called once on each CPU before it runs threads.
pub unsafe fn enable_features() {
    // SAFETY: the bits only add instructions and enforce read-only pages; the caller says that the CPU knows them.
    unsafe {
        Cr4::update(|flags| *flags |= Cr4Flags::OSXSAVE | Cr4Flags::FSGSBASE);
        let mut state = XCr0Flags::X87 | XCr0Flags::SSE;
        state.set(XCr0Flags::AVX, has_avx());
        XCr0::write(state);
    }
    // WD in IA32_PKRS is void without CR0.WP (SDM 4.6.2): the boot code set it, and nothing ever clears it.
    if !Cr0::read().contains(Cr0Flags::WRITE_PROTECT) {
        crate::fatal::fatal!(crate::fatal::BOOT_REFUSED, "CR0.WP is clear, so protection keys would not stop writes");
    }
}

/// Makes the tables with this root the address space.
///
/// # Safety
/// They map the running code, its data and its stack.
pub unsafe fn load_page_tables(root: u64) {
    let frame = PhysFrame::containing_address(PhysAddr::new(root));
    // SAFETY: the caller answers for what the tables map.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) };
}

/// The physical address of the page tables that are in use.
pub(super) fn page_table_root() -> u64 {
    Cr3::read().0.start_address().as_u64()
}

/// Forgets this CPU's cached translation of a page.
pub fn flush_tlb_page(address: u64) {
    x86_64::instructions::tlb::flush(VirtAddr::new(address));
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

/// Sets the thread pointer.
///
/// # Safety
/// `base` is the thread pointer of the thread that runs from here on, with a TLS block below it.
pub unsafe fn set_fs_base(base: u64) {
    // SAFETY: FSGSBASE is enabled by `enable_features`; the caller answers for the value.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nostack, preserves_flags)) };
}
