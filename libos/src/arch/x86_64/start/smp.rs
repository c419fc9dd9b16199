//! Starting the other CPUs.
//!
//! A CPU wakes in real mode at a page below 1 MiB. The trampoline that is copied there takes it through protected mode
//! into long mode, on the page tables that are in use already, and to `enter` on a stack of its own. CPUs are started
//! one after the other, so the trampoline's few variables serve all of them. The page is mapped writable while it is
//! filled, then executable while CPUs run on it, and not at all afterwards.

use core::arch::global_asm;
use core::time::Duration;
use core::{ptr, slice};

use libos_contract::exit::BOOT_REFUSED;

use crate::addr::{PhysAddr, VirtAddr};
use crate::arch::paging::PAGE;
use crate::arch::x86_64::machine::apic::{self, Command};
use crate::arch::x86_64::machine::{cpu, interrupts, key_rights, paging, percpu};
use crate::arch::x86_64::trap::{gdt, idt};
use crate::mm::attributes::Attributes;
use crate::mm::{self, Stack};
use crate::{halt, kprintln, task, time};

/// Where the trampoline runs: a page of RAM below 1 MiB that nobody allocates.
const TRAMPOLINE: PhysAddr = PhysAddr::new(0x8000);

/// The size of the stack on which a CPU starts and on which its idle loop stays, in bytes.
const IDLE_STACK: usize = 32 << 10;

/// How long a CPU may take from its start-up command to running threads.
const START_LIMIT: Duration = Duration::from_secs(2);

/// Pauses of the start-up protocol (SDM volume 3A, section 9.4.4.1).
const AFTER_INIT: Duration = Duration::from_millis(10);
const AFTER_START_UP: Duration = Duration::from_micros(200);

global_asm!(
    r#"
    .section .rodata.trampoline, "a", @progbits
    .balign 16
    .global trampoline_start
    .global trampoline_variables
    .global trampoline_end
    trampoline_start:
    .code16
        cli
        cld
        xorw %ax, %ax
        movw %ax, %ds
        lgdtl {base} + 3f - trampoline_start
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl $24, ${base} + 1f - trampoline_start
    .code32
    1:  movl $16, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        // As in the boot code: CR4 PAE, OSFXSR, OSXMMEXCPT; IA32_EFER LME, NXE; CR0 PG, WP, NE, MP, PE.
        // And as many levels of page tables as the other CPUs have.
        movl %cr4, %eax
        orl $0x620, %eax
        orl {base} + trampoline_variables - trampoline_start + 24, %eax
        movl %eax, %cr4
        movl {base} + trampoline_variables - trampoline_start, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x900, %eax
        wrmsr
        movl %cr0, %eax
        andl $0x9ffffff3, %eax
        orl $0x80010023, %eax
        movl %eax, %cr0
        ljmpl $8, ${base} + 2f - trampoline_start
    .code64
    2:  movq {base} + trampoline_variables - trampoline_start + 8, %rsp
        movq {base} + trampoline_variables - trampoline_start + 16, %rdi
        xorl %ebp, %ebp
        movabsq ${enter}, %rax
        callq *%rax
        ud2
    .balign 8
    // Null, 64-bit code, data, 32-bit code.
    4:  .quad 0
        .quad 0x00af9a000000ffff
        .quad 0x00cf92000000ffff
        .quad 0x00cf9a000000ffff
    3:  .word 31
        .long {base} + 4b - trampoline_start
    .balign 8
    // The page tables' root, the stack, the CPU's number, bits for CR4.
    trampoline_variables: .quad 0, 0, 0, 0
    trampoline_end:
    .text
    "#,
    base = const TRAMPOLINE.as_u64(),
    enter = sym enter,
    options(att_syntax)
);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_variables: u8;
    static trampoline_end: u8;
}

/// Starts the CPUs with these APIC identifiers, except the one that runs, from a thread. A CPU that does not come is
/// named and left alone.
pub(crate) fn start(apic_ids: impl Iterator<Item = u32>) {
    let own = u32::from(apic::id());
    let mut number = 1;
    for apic_id in apic_ids.filter(|&id| id != own) {
        if number >= percpu::MAX_CPUS {
            kprintln!("holdfast: only {} CPUs are used", percpu::MAX_CPUS);
            break;
        }
        if start_one(apic_id, number) {
            number += 1;
        } else {
            // It may still come, with this number: nobody else gets it, and no further CPU is tried.
            kprintln!("holdfast: the CPU with APIC id {apic_id} does not start; going on with {number}");
            break;
        }
    }
}

fn start_one(apic_id: u32, number: usize) -> bool {
    let Ok(stack) = Stack::new(IDLE_STACK) else { return false };
    fill_trampoline(stack.top(), number as u64);
    // The CPU stays on it for ever, or may still come.
    core::mem::forget(stack);
    let mapped = mm::with_low_page(TRAMPOLINE, Attributes::CODE, || {
        let before = percpu::online_count();
        let send = |command| {
            let enabled = interrupts::disable();
            apic::send(apic_id, command);
            interrupts::restore(enabled);
        };
        send(Command::Init);
        task::sleep_until(time::now() + AFTER_INIT);
        for _ in 0..2 {
            send(Command::StartUp((TRAMPOLINE.as_u64() / PAGE) as u8));
            task::sleep_until(time::now() + AFTER_START_UP);
        }
        let deadline = time::now() + START_LIMIT;
        while percpu::online_count() == before && time::now() < deadline {
            task::yield_now();
        }
        percpu::online_count() != before
    });
    mapped.unwrap_or(false)
}

fn fill_trampoline(stack_top: VirtAddr, number: u64) {
    let start = &raw const trampoline_start;
    let length = (&raw const trampoline_end).addr() - start.addr();
    let variables = (&raw const trampoline_variables).addr() - start.addr();
    let values = [cpu::page_table_root().as_u64(), stack_top.as_u64(), number, paging::level_bits()];
    let filled = mm::with_low_page(TRAMPOLINE, Attributes::DATA, || {
        // SAFETY: the page is mapped writable while this runs, it is RAM that nobody else uses, no CPU runs on it now,
        // and the trampoline with its variables is smaller than a page.
        unsafe {
            let page = slice::from_raw_parts_mut(TRAMPOLINE.identity_mapped().as_mut_ptr::<u8>(), PAGE as usize);
            ptr::copy_nonoverlapping(start, page.as_mut_ptr(), length);
            for (place, value) in values.iter().enumerate() {
                page[variables + place * 8..][..8].copy_from_slice(&value.to_le_bytes());
            }
        }
    });
    assert!(filled.is_some(), "the trampoline's page is free");
}

/// The first Rust function of a CPU that was started, on its own stack, with interrupts disabled.
extern "C" fn enter(number: usize) -> ! {
    // SAFETY: once on this CPU, whose number is its own; features and tables are those of the boot CPU, which has
    // checked that they exist; no thread runs here yet.
    unsafe {
        percpu::init(number);
        let ready = gdt::init();
        idt::load();
        if ready.is_err() {
            cpu::halt();
        }
        if let Err(error) = cpu::enable_features() {
            halt::stop(BOOT_REFUSED, format_args!("{error}"));
        }
        key_rights::enable_here();
    }
    apic::init();
    task::become_idle()
}
