//! The local APIC, through its registers in memory or, where the CPU has x2APIC, through MSRs (SDM volume 3A, chapter
//! 11).

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use libos_contract::vectors;
use spin::Once;
use volatile::VolatilePtr;
use x86_64::registers::model_specific::{ApicBase, ApicBaseFlags, Msr};

use super::{cpu, percpu};
use crate::addr::PhysAddr;

/// Registers, by their offset in memory; the MSR's number is 0x800 + offset / 16.
mod register {
    pub const ID: u32 = 0x20;
    pub const TASK_PRIORITY: u32 = 0x80;
    pub const END_OF_INTERRUPT: u32 = 0xb0;
    pub const SPURIOUS: u32 = 0xf0;
    pub const INTERRUPT_COMMAND_LOW: u32 = 0x300;
    pub const INTERRUPT_COMMAND_HIGH: u32 = 0x310;
    pub const LVT_TIMER: u32 = 0x320;
    pub const LVT_LINT0: u32 = 0x350;
    pub const LVT_LINT1: u32 = 0x360;
    pub const TIMER_INITIAL_COUNT: u32 = 0x380;
    pub const TIMER_CURRENT_COUNT: u32 = 0x390;
    pub const TIMER_DIVIDE: u32 = 0x3e0;
}

const IA32_TSC_DEADLINE: u32 = 0x6e0;
const SOFTWARE_ENABLE: u32 = 1 << 8;
const LVT_MASKED: u32 = 1 << 16;
const LVT_NMI: u32 = 0b100 << 8;
const LVT_TSC_DEADLINE: u32 = 0b10 << 17;
/// Divide by 16.
const DIVIDE: u32 = 0b0011;

enum Access {
    Memory(NonNull<u8>),
    Msr,
}

// SAFETY: the registers at this address are each CPU's own; any thread may use them.
unsafe impl Send for Access {}
// SAFETY: as for `Send`.
unsafe impl Sync for Access {}

static ACCESS: Once<Access> = Once::new();

/// How the timer is armed: by a TSC value, or by a count at this frequency in Hz.
static COUNT_FREQUENCY: AtomicU64 = AtomicU64::new(0);

fn read(register: u32) -> u32 {
    match ACCESS.get() {
        Some(Access::Memory(base)) => {
            // SAFETY: the base is the mapped page of the local APIC; the offset is one of its aligned 32-bit registers.
            unsafe { VolatilePtr::new(base.byte_add(register as usize).cast::<u32>()) }.read()
        }
        // SAFETY: x2APIC mode is on, so the MSR exists; none of the registers that are read has side effects.
        Some(Access::Msr) => unsafe { Msr::new(0x800 + register / 16).read() as u32 },
        None => 0,
    }
}

fn write(register: u32, value: u32) {
    match ACCESS.get() {
        Some(Access::Memory(base)) => {
            // SAFETY: as in `read`; the APIC changes interrupts, not memory.
            unsafe { VolatilePtr::new(base.byte_add(register as usize).cast::<u32>()) }.write(value);
        }
        // SAFETY: as in `read`.
        Some(Access::Msr) => unsafe { Msr::new(0x800 + register / 16).write(u64::from(value)) },
        None => {}
    }
}

/// Where the page with the registers is; nothing, if they are MSRs.
pub(in crate::arch) fn registers() -> Option<PhysAddr> {
    (!cpu::has_x2apic()).then(|| PhysAddr::new(ApicBase::read().0.start_address().as_u64()))
}

/// Enables the boot CPU's local APIC, which non-maskable interrupts from outside come to, whether the firmware has seen
/// to that or not. Where its timer counts, it does so from now on, to be measured.
///
/// # Safety
/// `mapped` is where the page that [`registers`] says is mapped, uncacheable and for ever.
pub(in crate::arch) unsafe fn init_boot(mapped: Option<NonNull<u8>>) {
    ACCESS.call_once(|| mapped.map_or(Access::Msr, Access::Memory));
    enable();
    write(register::LVT_LINT1, LVT_NMI);
    if !cpu::has_tsc_deadline() {
        write(register::TIMER_DIVIDE, DIVIDE);
        write(register::LVT_TIMER, LVT_MASKED);
        write(register::TIMER_INITIAL_COUNT, u32::MAX);
    }
}

/// How far the timer has counted since [`init_boot`].
pub(super) fn timer_count() -> u64 {
    u64::from(u32::MAX - read(register::TIMER_CURRENT_COUNT))
}

/// Prepares the boot CPU's timer, which counts at this frequency in Hz unless it goes by the time-stamp counter.
pub(super) fn start_timer(frequency: u64) {
    if !cpu::has_tsc_deadline() {
        COUNT_FREQUENCY.store(frequency.max(1), Ordering::Relaxed);
    }
    init_timer();
}

/// Enables the local APIC of a CPU that was started later.
pub(in crate::arch) fn init() {
    enable();
    init_timer();
}

fn enable() {
    let (frame, flags) = ApicBase::read();
    let mut flags = flags | ApicBaseFlags::LAPIC_ENABLE;
    flags.set(ApicBaseFlags::X2APIC_ENABLE, cpu::has_x2apic());
    // SAFETY: the base stays where it is, outside all RAM; only the mode changes.
    unsafe { ApicBase::write(frame, flags) };
    write(register::TASK_PRIORITY, 0);
    write(register::LVT_LINT0, LVT_MASKED);
    write(register::SPURIOUS, SOFTWARE_ENABLE | u32::from(vectors::SPURIOUS));
    percpu::this().apic_id.store(u32::from(id()), Ordering::Release);
}

fn init_timer() {
    if cpu::has_tsc_deadline() {
        write(register::LVT_TIMER, LVT_TSC_DEADLINE | u32::from(vectors::TIMER));
    } else {
        write(register::TIMER_DIVIDE, DIVIDE);
        write(register::TIMER_INITIAL_COUNT, 0);
        write(register::LVT_TIMER, u32::from(vectors::TIMER));
    }
}

/// What an interprocessor interrupt asks of its target (SDM volume 3A, figure 11-12).
#[derive(Clone, Copy, Debug)]
pub(in crate::arch) enum Command {
    /// Interrupt with this vector.
    Fixed(u8),
    /// Non-maskable interrupt.
    NonMaskable,
    /// Reset to the state in which it waits for a start-up command.
    Init,
    /// Start at this page number of the first MiB.
    StartUp(u8),
}

/// Delivery status: the last command is still being sent.
const SEND_PENDING: u32 = 1 << 12;
const LEVEL_ASSERT: u32 = 1 << 14;

/// Sends an interrupt to the CPU with this APIC identifier. Interrupts are disabled, since it takes two writes.
pub(in crate::arch) fn send(target: u32, command: Command) {
    let low = LEVEL_ASSERT
        | match command {
            Command::Fixed(vector) => u32::from(vector),
            Command::NonMaskable => 0b100 << 8,
            Command::Init => 0b101 << 8,
            Command::StartUp(page) => 0b110 << 8 | u32::from(page),
        };
    if matches!(ACCESS.get(), Some(Access::Msr)) {
        // SAFETY: x2APIC mode is on; the command interrupts another CPU, which is prepared for what is sent here.
        unsafe {
            Msr::new(0x800 + register::INTERRUPT_COMMAND_LOW / 16).write(u64::from(target) << 32 | u64::from(low))
        };
        return;
    }
    while read(register::INTERRUPT_COMMAND_LOW) & SEND_PENDING != 0 {
        core::hint::spin_loop();
    }
    write(register::INTERRUPT_COMMAND_HIGH, target << 24);
    write(register::INTERRUPT_COMMAND_LOW, low);
}

/// This CPU's identifier, as messages and the I/O APIC address it.
pub(in crate::arch) fn id() -> u8 {
    let id = read(register::ID);
    // In memory the identifier stands in bits 31:24; messages without interrupt remapping reach 8 bits.
    (if matches!(ACCESS.get(), Some(Access::Msr)) { id } else { id >> 24 }) as u8
}

/// Tells the APIC that the interrupt in service was served.
#[inline]
pub(in crate::arch) fn end_of_interrupt() {
    write(register::END_OF_INTERRUPT, 0);
}

/// Raises the timer interrupt once, at a TSC value that is `nanoseconds` away; sooner if that is too far for the
/// counter.
pub(super) fn arm_timer(tsc_deadline: u64, nanoseconds: u64) {
    match COUNT_FREQUENCY.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: the CPU has the TSC deadline mode (`init` chose it); the MSR only arms the timer. Zero would
            // disarm.
            unsafe { Msr::new(IA32_TSC_DEADLINE).write(tsc_deadline.max(1)) };
        }
        frequency => {
            let count = u128::from(nanoseconds) * u128::from(frequency) / 1_000_000_000;
            write(register::TIMER_INITIAL_COUNT, count.clamp(1, u128::from(u32::MAX)) as u32);
        }
    }
}
