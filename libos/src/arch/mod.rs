//! What a port gives: every name by which the rest of the library, and a program, reaches the machine.
//!
//! An architecture is a folder with four parts, each on a floor of its own in the library's map: `format`, what bits
//! mean, which the host compiles and tests too; `machine`, what one CPU does, below memory and locks; `trap`, above
//! threads; `start`, the first instructions and the other CPUs. What is taken from here counts there.
//!
//! The list is whole: whoever names something else of a port, or a port that lacks something, does not compile. It
//! says what each thing is for; what exactly it does, and where it may be called, is said where it stands.
//!
//! There is one port. Not in its folder, and x86-64's all the same: how the rights to keys lie in their register
//! (`libos_contract::rights`, which the host reads too); the kinds of protection, PKS and PKU, and the choice of one
//! (`libos_contract::protection`, `keys::protection`), and that PKU takes user pages (`mm::attributes`), so keys of
//! another kind begin there; the devices of PCs (see `port`); `image.ld`; the guest's target
//! (`xtask/src/workspace.rs`) and machine (`xtask/src/qemu/command.rs`).

mod x86_64;

/// Interrupts of the CPU that runs this, and those that it sends to others.
#[cfg(target_os = "hermit")]
pub mod interrupts {
    /// Whether they are enabled.
    pub use super::x86_64::machine::interrupts::are_enabled;
    /// Has another CPU choose again which thread it runs.
    pub(crate) use super::x86_64::machine::interrupts::ask_to_reschedule;
    /// Disables them; whether they were enabled.
    pub use super::x86_64::machine::interrupts::disable;
    /// Undoes `disable`, by what it returned.
    pub use super::x86_64::machine::interrupts::restore;
    /// Interrupts one CPU even if its interrupts are disabled.
    #[cfg(feature = "testing")]
    pub use super::x86_64::machine::interrupts::send_nmi;
    /// Interrupts all others so, for the end of the machine; how many they are.
    pub(crate) use super::x86_64::machine::interrupts::stop_others;
}

/// How pages are cached, by what their leaves say.
pub use x86_64::format::cache_types::CacheTypes;

/// Vectors of devices' interrupts: above memory, for registers of interrupt controllers are mapped.
#[cfg(target_os = "hermit")]
pub mod vectors {
    /// Takes a controller of interrupt lines into use.
    pub use super::x86_64::trap::vectors::add_io_apic;
    /// Takes a vector, with the handler that runs when it comes.
    pub use super::x86_64::trap::vectors::allocate_vector;
    /// What a device has to write where to raise a vector (MSI-X).
    pub use super::x86_64::trap::vectors::message_address_data;
    /// Leads a line, which has ACPI's global number, to a vector.
    pub use super::x86_64::trap::vectors::route_gsi;
}

/// Features and registers of a CPU.
#[cfg(target_os = "hermit")]
pub mod cpu {
    /// Why a CPU is not to go on after `enable_features`.
    pub use super::x86_64::machine::cpu::NoWriteProtection;
    /// How pages are cached.
    pub use super::x86_64::machine::cpu::cache_types;
    /// Turns on what the rest relies on, once on each CPU.
    pub use super::x86_64::machine::cpu::enable_features;
    /// Stops this CPU for good.
    pub use super::x86_64::machine::cpu::halt;
    /// Whether there are protection keys of the kind `protection=pks`.
    pub use super::x86_64::machine::cpu::has_pks;
    /// Whether there are those of the kind `protection=pku`.
    pub use super::x86_64::machine::cpu::has_pku;
    /// What the library cannot do without and this CPU lacks.
    pub use super::x86_64::machine::cpu::missing_feature;
    /// Sets it, in the middle of a switch.
    pub use super::x86_64::machine::cpu::set_thread_pointer;
    /// The thread pointer of the running thread.
    pub use super::x86_64::machine::cpu::thread_pointer;
    /// Enables interrupts and waits for one.
    pub use super::x86_64::machine::cpu::wait_for_interrupt;
    /// The best way that there is to write cache lines back.
    pub use super::x86_64::machine::cpu::write_back_instruction;
}

/// The end of a machine that QEMU emulates.
#[cfg(target_os = "hermit")]
pub(crate) mod debug_exit {
    /// Ends it with a status.
    pub(crate) use super::x86_64::machine::debug_exit::exit;
}

/// Each CPU's own data.
#[cfg(target_os = "hermit")]
pub mod percpu {
    /// A number that only grows.
    pub(crate) use super::x86_64::machine::percpu::Counter;
    /// The most CPUs.
    pub use super::x86_64::machine::percpu::MAX_CPUS;
    /// What one CPU keeps for itself: its number, its thread, how many traps it handles, its counters.
    pub use super::x86_64::machine::percpu::PerCpu;
    /// The number of the CPU that runs this.
    pub use super::x86_64::machine::percpu::current_id;
    /// The thread that runs this, in one step.
    pub(crate) use super::x86_64::machine::percpu::current_thread;
    /// The data of the CPU with a number.
    pub(crate) use super::x86_64::machine::percpu::get;
    /// Whether a non-maskable interrupt is being handled.
    pub(crate) use super::x86_64::machine::percpu::in_nmi;
    /// Whether any trap is.
    pub(crate) use super::x86_64::machine::percpu::in_trap;
    /// The CPUs that run threads.
    pub(crate) use super::x86_64::machine::percpu::online;
    /// How many they are.
    pub use super::x86_64::machine::percpu::online_count;
    /// Adds the calling one to them.
    pub(crate) use super::x86_64::machine::percpu::set_online;
    /// The data of the CPU that runs this.
    pub use super::x86_64::machine::percpu::this;
}

/// A variable of which each CPU has its own.
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::machine::CpuLocal;
/// Declares one.
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::machine::cpu_local;

/// A variable of which each thread has its own.
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::machine::PerThread;
/// What every thread begins with.
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::machine::ThreadHead;
/// That of the thread that runs this.
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::machine::current_thread;
/// Declares a variable of which each thread has its own.
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::machine::per_thread;
/// The number of the thread that runs this.
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::machine::thread_id;

/// The register that says which keys are open to whoever runs: the one way to write it.
#[cfg(target_os = "hermit")]
pub mod key_rights {
    /// How often it was written, and why.
    pub use super::x86_64::machine::key_rights::Counts;
    /// Those counts.
    pub use super::x86_64::machine::key_rights::counts;
    /// The running context's rights, as the register has them.
    pub use super::x86_64::machine::key_rights::current;
    /// Turns keys on, all closed, before anything is mapped under one.
    pub use super::x86_64::machine::key_rights::enable;
    /// Changes rights past all grants.
    #[cfg(feature = "testing")]
    pub use super::x86_64::machine::key_rights::force;
    /// The running context's rights, as they were given to it.
    pub(crate) use super::x86_64::machine::key_rights::given;
    /// Whether any CPU has a key open.
    pub(crate) use super::x86_64::machine::key_rights::is_open_on_any_cpu;
    /// Loads those of the thread that comes.
    pub(crate) use super::x86_64::machine::key_rights::load;
    /// What the CPU takes its register for.
    #[cfg(feature = "testing")]
    pub use super::x86_64::machine::key_rights::remembered;
    /// Changes the running context's rights, for a grant.
    pub(crate) use super::x86_64::machine::key_rights::update;
}

/// What every CPU's registers say about protection, for the audit.
#[cfg(target_os = "hermit")]
pub mod register_check {
    /// Shows them, one CPU after the other.
    pub use super::x86_64::machine::register_check::with_registers;
}

/// How page tables look: how many levels they have, how large a page is; and which this machine uses.
pub mod paging {
    /// How many entries a table has.
    pub(crate) use super::x86_64::format::paging::ENTRIES;
    /// Address bits that say how memory is encrypted.
    pub use super::x86_64::format::paging::Encryption;
    /// How many levels there are, and which addresses that leaves.
    pub use super::x86_64::format::paging::Levels;
    /// Levels, the largest page and encryption: what the arithmetic of page tables goes by.
    pub use super::x86_64::format::paging::Mode;
    /// The size of the smallest page.
    pub use super::x86_64::format::paging::PAGE;
    /// The wish of the person who boots.
    pub use super::x86_64::format::paging::Paging;
    /// The size of what an entry at a level covers.
    pub(crate) use super::x86_64::format::paging::coverage;
    /// The place of an address's entry.
    pub(crate) use super::x86_64::format::paging::index;
    /// Why the tables cannot be as the person who boots wants them.
    #[cfg(target_os = "hermit")]
    pub use super::x86_64::machine::paging::NoFiveLevels;
    /// Makes tables the address space.
    #[cfg(target_os = "hermit")]
    pub use super::x86_64::machine::paging::load;
    /// How this machine's tables are to look.
    #[cfg(target_os = "hermit")]
    pub use super::x86_64::machine::paging::mode;
}

/// The entries of page tables.
pub mod page_table {
    /// An entry as it stands in a table: unused, to a table, or a leaf.
    pub(crate) use super::x86_64::format::entry::Entry;
    /// What a leaf says.
    pub use super::x86_64::format::entry::Leaf;
    /// A table.
    pub use super::x86_64::format::entry::PageTable;
    /// How a page may be cached.
    pub use super::x86_64::format::flags::Cacheability;
    /// What a leaf says besides where its page is.
    pub use super::x86_64::format::flags::Flags;
}

/// Who wanted what at an address, and what stood against it.
pub use x86_64::format::page_fault::PageFault;

/// What CPUs remember of page tables.
#[cfg(target_os = "hermit")]
pub mod shootdown {
    /// Says that this CPU uses nothing of it while it waits for an interrupt.
    pub(crate) use super::x86_64::machine::shootdown::enter_lazy;
    /// Makes every CPU forget some addresses.
    pub use super::x86_64::machine::shootdown::flush_everywhere;
}

/// From one thread's stack to another's.
#[cfg(target_os = "hermit")]
pub mod switch {
    /// Lays out a new thread's stack.
    pub use super::x86_64::machine::switch::prepare;
    /// Leaves one thread and goes on with another.
    pub use super::x86_64::machine::switch::switch;
}

/// What is where in a thread's block of thread-local storage.
#[cfg(target_os = "hermit")]
pub(crate) mod tls {
    /// Fills a block; its thread pointer.
    pub(crate) use super::x86_64::machine::tls::fill;
    /// The size and the alignment of one.
    pub(crate) use super::x86_64::machine::tls::layout;
}

/// This CPU's timer: one interrupt at a time.
#[cfg(target_os = "hermit")]
pub mod timer {
    /// Sets it.
    pub use super::x86_64::machine::timer::arm;
}

/// The counter from which time is read; it is the same on all CPUs, and counts from the reset.
#[cfg(target_os = "hermit")]
pub mod counter {
    /// Nanoseconds since the boot.
    pub use super::x86_64::machine::tsc::now;
    /// The counter.
    pub use super::x86_64::machine::tsc::read;
    /// Nanoseconds a count, for whoever converts later.
    pub(crate) use super::x86_64::machine::tsc::scale;
    /// Nanoseconds since the reset.
    pub use super::x86_64::machine::tsc::to_nanoseconds;
}

/// Random numbers of the CPU's.
#[cfg(target_os = "hermit")]
pub mod entropy {
    /// One.
    pub use super::x86_64::machine::entropy::random;
}

/// Bytes to and from persistent memory, past what the compiler could move.
#[cfg(target_os = "hermit")]
pub mod dax_copy {
    /// What makes a stored cache line reach the persistence domain.
    pub use super::x86_64::machine::dax_copy::WriteBack;
    /// Copies; says whether a machine check cut it short.
    pub use super::x86_64::machine::dax_copy::copy;
    /// Waits until what was stored and written back before is durable.
    pub use super::x86_64::machine::dax_copy::fence;
    /// Fills.
    pub use super::x86_64::machine::dax_copy::fill;
    /// Stores past the caches.
    pub use super::x86_64::machine::dax_copy::stream;
    /// Writes lines back.
    pub use super::x86_64::machine::dax_copy::write_back;
}

/// I/O ports. What uses them is a device of PCs, and an architecture without ports has others: `drivers::{pci, power,
/// rtc}` (configuration space, ACPI's registers, the CMOS clock); the console is a UART at a port.
#[cfg(target_os = "hermit")]
pub mod port {
    /// Reads a byte.
    pub use super::x86_64::machine::port::inb;
    /// Reads four.
    pub use super::x86_64::machine::port::inl;
    /// Reads two.
    pub use super::x86_64::machine::port::inw;
    /// Writes a byte.
    pub use super::x86_64::machine::port::outb;
    /// Writes four.
    pub use super::x86_64::machine::port::outl;
    /// Writes two.
    pub use super::x86_64::machine::port::outw;
}

/// Traps, and what they leave of the context that they interrupt.
#[cfg(target_os = "hermit")]
pub mod trap {
    /// That context.
    pub use super::x86_64::trap::TrapFrame;
    /// Names a handler of non-maskable interrupts.
    #[cfg(feature = "testing")]
    pub use super::x86_64::trap::set_nmi_handler;
    /// How many of them nobody had asked for.
    pub use super::x86_64::trap::unexpected_nmis;
}

/// What the rooms above decide about traps.
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::trap::Hooks;
/// Names them.
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::trap::set_hooks;

/// The instruction or the copy that was interrupted, for reports of it.
#[cfg(target_os = "hermit")]
pub(crate) mod interrupted {
    /// Its bytes.
    pub(crate) use super::x86_64::trap::interrupted::code;
    /// How much it has left to read or write.
    pub(crate) use super::x86_64::trap::interrupted::remaining;
}

/// One instruction with other rights.
#[cfg(target_os = "hermit")]
pub(crate) mod single_step {
    /// Why it cannot be let through.
    pub(crate) use super::x86_64::trap::single_step::CannotStep;
    /// Lets the interrupted one through.
    pub(crate) use super::x86_64::trap::single_step::open_for_one_instruction;
}

/// Who has called whom.
#[cfg(target_os = "hermit")]
pub mod backtrace {
    /// The frame pointer of the calling function.
    pub use super::x86_64::trap::backtrace::frame_pointer;
    /// Its callers.
    pub use super::x86_64::trap::backtrace::from_frame_pointer;
    /// The callers of what was interrupted.
    pub use super::x86_64::trap::backtrace::from_trap;
    /// Where the calling function returns to.
    pub(crate) use super::x86_64::trap::backtrace::return_address;
}

/// The boot CPU's timer and its interrupts: the last of the three steps by which `start` takes it into use.
#[cfg(target_os = "hermit")]
pub use x86_64::trap::init_interrupts;
/// Guarded stacks for those traps that need their own, once memory is managed: the second.
#[cfg(target_os = "hermit")]
pub(crate) use x86_64::trap::init_stacks;
/// From here on an exception is reported: the first.
#[cfg(target_os = "hermit")]
pub use x86_64::trap::init_traps;

/// What the boot loader tells; its address is the argument of `start::start`, which a port's first instructions call.
#[cfg(target_os = "hermit")]
pub use x86_64::start::StartInfo;

/// The other CPUs.
#[cfg(target_os = "hermit")]
pub(crate) mod smp {
    /// Starts them.
    pub(crate) use super::x86_64::start::smp::start;
}
