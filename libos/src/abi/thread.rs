//! Threads.

use crate::arch::percpu;
use crate::task::{self, ThreadId};

/// Starts a thread that runs `function(argument)` on a stack of at least `stack_size` bytes; its identifier, 0 on
/// failure. Priorities do not exist, and a CPU cannot be chosen.
#[unsafe(no_mangle)]
extern "C" fn sys_spawn2(
    function: extern "C" fn(usize),
    argument: usize,
    _priority: u8,
    stack_size: usize,
    _core: isize,
) -> u32 {
    // `std` does not say the name; `task::with_name` finds it.
    task::spawn("<unnamed>", task::Role::Program, function, argument, stack_size).map_or(0, ThreadId::get)
}

/// Waits until the thread's function has returned; at once if there is no such thread any more.
#[unsafe(no_mangle)]
extern "C" fn sys_join(id: u32) -> i32 {
    if let Some(id) = ThreadId::new(id) {
        task::join(id);
    }
    0
}

/// Lets other threads run.
#[unsafe(no_mangle)]
extern "C" fn sys_yield() {
    task::yield_now();
}

/// How many CPUs run threads.
#[unsafe(no_mangle)]
extern "C" fn sys_available_parallelism() -> usize {
    percpu::online_count()
}

/// As `sys_available_parallelism`; the `num_cpus` crate's name for it.
#[unsafe(no_mangle)]
extern "C" fn sys_get_processor_count() -> usize {
    percpu::online_count()
}
