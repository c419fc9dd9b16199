//! From the boot loader's hand-over to the program's `main`, and from its end to power-off: every stage in order.

use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_char;
use core::ops::Range;
use core::ptr;
use core::time::Duration;

use libos_contract::exit::PROTECTION_FAULT;
use libos_contract::limits::LEAST_RAM;

use crate::addr::{AddrRange, PhysAddr, VirtAddr};
use crate::arch::StartInfo;
use crate::arch::trap::TrapFrame;
use crate::arch::{cpu, key_rights, vectors};
use crate::cmdline::Options;
use crate::dax::{self, PmemRange};
use crate::drivers::acpi::{self, AcpiInfo};
use crate::drivers::{self, ivshmem, nfit, pci, power, rtc};
use crate::keys::{self, Protection, ProtectionChoice};
use crate::report::refuse;
use crate::sync::Once;
use crate::task::Timer;
use crate::{arch, boot, cmdline, console, fs, halt, kprintln, mm, net, report, task, time, units};

/// The size of the main thread's stack, in bytes.
const MAIN_STACK: usize = 4 << 20;

/// How long sections of persistent memory may take at the end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// The APIC identifiers of all usable CPUs.
static APIC_IDS: Once<Vec<u32>> = Once::new();

/// What the command line says.
static OPTIONS: Once<Options> = Once::new();

/// Shows what the console holds back.
static CONSOLE_TIMER: Once<Timer> = Once::new();

/// Where the boot loader put the archive of the host's files.
static HOST_FILES: Once<Range<PhysAddr>> = Once::new();

/// A function that runs before the program; it is given what `main` is given, as Linux's C libraries do.
type Constructor = extern "C" fn(argc: i32, argv: *const *const c_char, env: *const *const c_char);

unsafe extern "C" {
    /// `std`'s start: sets itself up and calls `main`.
    fn runtime_entry(argc: i32, argv: *const *const c_char, env: *const *const c_char) -> !;
    static init_array_start: Constructor;
    static init_array_end: Constructor;
}

/// The first Rust function, on the boot stack and the boot mapping, with interrupts disabled. `start_info` is
/// where PVH's start info is.
pub(crate) extern "C" fn start(start_info: PhysAddr) -> ! {
    let entered = arch::counter::read();
    set_hooks();
    // SAFETY: the boot CPU, once, with interrupts disabled.
    unsafe { arch::init_traps() };
    boot::reached_at("firmware", entered);
    console::init();
    halt::set_reporter(report::stop);
    report::set_grants(report::Grants {
        rights: dax::write_rights,
        last_of_handlers: dax::write_grants_of_handlers,
        last_of_thread: dax::write_grants_of_thread,
    });
    if let Some(feature) = cpu::missing_feature() {
        refuse(format_args!("this CPU lacks {feature}; under QEMU, choose one that has it, such as -cpu max"));
    }
    // SAFETY: no feature is missing.
    if let Err(error) = unsafe { cpu::enable_features() } {
        refuse(format_args!("{error}"));
    }

    // SAFETY: the loader handed the address over; the boot mapping covers the first GiB, where it lies.
    let Some(info) = (unsafe { StartInfo::at(start_info) }) else {
        refuse(format_args!(
            "the boot loader passed no PVH start info with a memory map; QEMU's overwrites it with a command line of \
             more than 4,095 bytes"
        ));
    };
    let (command_line, rsdp) = (info.command_line(), info.rsdp());
    let ram = info.ram().map(|range| range.length()).sum::<u64>();
    let loaded = mm::layout::image().length() + info.module().length();
    let least = (LEAST_RAM + loaded).next_multiple_of(1 << 20);
    if ram + mm::FIRMWARE_RAM < least {
        refuse(format_args!(
            "this machine has {} of RAM, and needs {}; give it more (under QEMU: -m {megabytes}M, with xtask: --memory \
             {megabytes}M)",
            units::Bytes(ram),
            units::Bytes(least),
            megabytes = least >> 20
        ));
    }
    HOST_FILES.call_once(|| info.module());
    let free_for_devices = info.free_for_devices();
    let mode =
        arch::paging::mode(cmdline::paging(command_line)).unwrap_or_else(|error| refuse(format_args!("{error}")));
    // SAFETY: the loader's map says what is RAM; what the start info occupies is kept out.
    if let Err(error) = unsafe { mm::init(info.ram(), &info.occupied(), mode) } {
        refuse(format_args!("{error}"));
    }
    let largest = units::Bytes(if mode.gibibyte_pages { mm::layout::GIB } else { 2 << 20 });
    boot::reached("memory");
    // SAFETY: the boot CPU, once, with interrupts disabled.
    if let Err(error) = unsafe { arch::init_stacks() } {
        refuse(format_args!("{error}"));
    }
    // The start info lies low in memory, which is not mapped any more; its text is needed once more.
    if let Err(error) = mm::map_firmware(VirtAddr::from_ptr(command_line).identity_physical(), command_line.len()) {
        refuse(format_args!("the command line: {error}"));
    }
    let options = cmdline::parse(command_line).unwrap_or_else(|error| refuse(format_args!("{error}")));
    let options = OPTIONS.call_once(|| options);
    #[cfg(feature = "unwind")]
    report::show_backtraces(&options.environment);
    console::set_level(options.log);
    console::info(format_args!("{}, pages of up to {largest}", mode.levels));
    for range in mm::ram_ranges() {
        console::debug(format_args!("RAM {:#x}..{:#x}", range.start, range.end));
    }
    CONSOLE_TIMER.call_once(|| Timer::new(|_| console::release_due(), 0));
    console::hold_beginnings(|due| {
        if let Some(timer) = CONSOLE_TIMER.get() {
            timer.arm(due);
        }
    });
    let protection = close_keys(options.protection);
    dax::set_fault_policy(options.fault_policy);
    let frequency = arch::init_interrupts().unwrap_or_else(|error| refuse(format_args!("{error}")));
    console::debug(format_args!("the time-stamp counter: {frequency}"));
    pci::place(&pci::Ports, &free_for_devices);
    ivshmem::find_trace_region();
    boot::reached("cpu");
    let acpi = find_devices(rsdp, protection, &options.net);
    APIC_IDS.call_once(|| acpi.cpus.iter().filter(|cpu| cpu.enabled).map(|cpu| cpu.apic_id).collect());
    if task::spawn("main", task::Role::Main, run_program, 0, MAIN_STACK).is_err() {
        refuse(format_args!("no memory for the program's main thread"));
    }
    task::become_idle()
}

/// Names to traps and threads what the rooms above them do.
fn set_hooks() {
    arch::set_hooks(arch::Hooks {
        page_fault,
        exception: report::exception,
        failure: report::failure,
        unreadable: dax::media::report,
        is_persistent: dax::is_device_address,
        leave_section: dax::leave_section_of,
        timer: task::timer_interrupt,
        preempt: task::preempt,
    });
    task::set_hooks(task::Hooks {
        ends: dax::end_grants,
        killed: dax::leave_sections_of_thread,
        main_killed: || shut_down(PROTECTION_FAULT.into()),
    });
}

/// Decides about a page fault: whose room it is in.
fn page_fault(frame: &mut TrapFrame, address: VirtAddr) {
    let fault = frame.page_fault(address);
    if !(mm::fault::is_outdated(fault) || dax::fault::page_fault(frame, fault)) {
        report::page_fault(frame, fault);
    }
}

/// Chooses what protects, and turns protection keys on before anything is mapped under one.
fn close_keys(choice: ProtectionChoice) -> Protection {
    let resolved = keys::resolve_protection(choice, cpu::has_pks(), cpu::has_pku());
    let protection = resolved.unwrap_or_else(|error| refuse(format_args!("{error}")));
    if protection == Protection::None {
        kprintln!("holdfast: WARNING: protection none: any stray store can corrupt persistent memory");
    }
    // SAFETY: the CPU has what it takes; interrupts are disabled; no keyed page is mapped yet.
    unsafe { key_rights::enable(protection) };
    protection
}

/// Finds what the firmware describes and takes it into use.
fn find_devices(rsdp: Option<PhysAddr>, protection: Protection, network: &net::Config) -> AcpiInfo {
    let acpi = acpi::init(rsdp).unwrap_or_else(|error| refuse(format_args!("{error}")));
    let (cpus, nfit) = (acpi.cpus.len(), if acpi.nfit.is_some() { "an NFIT" } else { "no NFIT" });
    console::debug(format_args!("ACPI: {cpus} CPUs, local APICs at {:#x}, {nfit}", acpi.local_apic_address));
    for io_apic in &acpi.io_apics {
        console::debug(format_args!("ACPI: I/O APIC at {:#x} from GSI {} on", io_apic.address, io_apic.gsi_base));
        vectors::add_io_apic(io_apic.address, io_apic.gsi_base).unwrap_or_else(|error| refuse(format_args!("{error}")));
    }
    if let Err(error) = rtc::init(acpi.fadt.century) {
        kprintln!("holdfast: {error}; the wall clock starts in 1970");
    }
    if let Err(error) = power::init(&acpi, || shut_down(0)) {
        kprintln!("holdfast: {error}");
    }
    boot::reached("acpi");
    find_persistent_memory(&acpi, protection);
    boot::reached("pmem");
    pci::init(&drivers::PCI_DRIVERS);
    net::init(network);
    boot::reached("devices");
    acpi
}

fn find_persistent_memory(acpi: &AcpiInfo, protection: Protection) {
    let Some(table) = &acpi.nfit else { return };
    let memory: Vec<_> = mm::ram_ranges().collect();
    let nfit = nfit::parse(table, &memory).unwrap_or_else(|error| refuse(format_args!("{error}")));
    for refused in &nfit.refused {
        kprintln!("holdfast: {refused}");
    }
    let ranges = nfit.ranges.iter().map(|range| PmemRange {
        physical: Range::of(range.base, range.length),
        read_only: range.read_only,
        durable_by: range.durable_by(),
    });
    let devices = dax::register(ranges, protection).unwrap_or_else(|error| refuse(format_args!("{error}")));
    for device in devices {
        console::info(format_args!("{device}"));
    }
    // A mistake in the mappings must not go unnoticed for as long as nobody makes a stray access.
    if let Err(error) = dax::audit() {
        refuse(format_args!("page table audit: {error}"));
    }
}

/// The main thread: the other CPUs, which need a thread to wait for them; files; constructors; then `std`.
extern "C" fn run_program(_: usize) {
    arch::smp::start(APIC_IDS.get().into_iter().flatten().copied());
    boot::reached("cpus");
    let archive = HOST_FILES.get().map_or(&[][..], |range| {
        mm::loaded(range).unwrap_or_else(|error| refuse(format_args!("the host's files: {error}")))
    });
    fs::init(archive).unwrap_or_else(|error| refuse(format_args!("{error}")));
    boot::reached("files");
    dax::end_grants_at_panics();
    let options = OPTIONS.get().expect("the boot has read them");
    let arguments = c_strings(core::iter::once(&options.name).chain(&options.arguments));
    let environment = c_strings(&options.environment);
    let count = i32::try_from(arguments.len() - 1).unwrap_or(i32::MAX);
    let mut constructor = &raw const init_array_start;
    while constructor < &raw const init_array_end {
        // SAFETY: the linker script puts the image's constructors between the two symbols. Those that take no arguments
        // do not look at the registers that have them.
        unsafe { constructor.read()(count, arguments.as_ptr(), environment.as_ptr()) };
        constructor = constructor.wrapping_add(1);
    }
    // SAFETY: a thread of its own with an aligned stack and TLS, interrupts enabled; both arrays end with null and live
    // for ever, as `std` reads them whenever it is asked.
    unsafe { runtime_entry(count, arguments.as_ptr(), environment.as_ptr()) }
}

/// C strings that live for ever, with a null pointer at the end.
fn c_strings<'a>(words: impl IntoIterator<Item = &'a String>) -> &'static [*const c_char] {
    // The command line has no zero bytes, since it was one C string and `%00` is refused.
    let text = |word: &String| CString::new(word.as_str()).unwrap_or_default().into_raw().cast_const();
    let mut all: Vec<_> = words.into_iter().map(text).collect();
    all.push(ptr::null());
    all.leak()
}

/// Ends the machine in good order with this status: connections are drained, and nobody is in the middle of a change of
/// persistent memory.
pub(crate) fn shut_down(status: i32) -> ! {
    net::drain();
    dax::retire_all(time::now() + SHUTDOWN_LIMIT);
    console::flush();
    power::exit(status)
}
