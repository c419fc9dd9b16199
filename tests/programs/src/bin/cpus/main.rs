//! What several CPUs add: `cpus checks` tests that threads take everything along when they move, and that what one CPU
//! unmaps no other still sees; each check prints `ok NAME`, and a failed one panics. `cpus resting` tests the same of
//! what is write-protected while a CPU rests, and needs a machine of its own. `cpus costs` prints what threads cost in
//! switches and interrupts between CPUs.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("cpus runs in the guest");
}

#[cfg(target_os = "hermit")]
mod costs;
#[cfg(target_os = "hermit")]
mod memory;
#[cfg(target_os = "hermit")]
mod moves;
#[cfg(target_os = "hermit")]
mod registers;
#[cfg(target_os = "hermit")]
mod waits;

#[cfg(target_os = "hermit")]
mod guest {
    use libos::arch::percpu;
    use libos::task::{self, ThreadId};

    use crate::{costs, memory, moves, waits};

    pub(crate) fn main() {
        match std::env::args().nth(1).as_deref() {
            Some("checks") => checks(),
            Some("resting") => {
                memory::protected();
                println!("cpus: no resting cpu of {} stores by what it remembers", cpus());
            }
            Some("costs") => costs::print(),
            _ => panic!("say checks, resting or costs"),
        }
    }

    fn checks() {
        let all: [(&str, fn()); 7] = [
            ("nobody-wakes-an-idle-machine", moves::idle),
            ("threads-spread-over-all-cpus", moves::spread),
            ("a-pinned-thread-stays-on-its-cpu", moves::pinned),
            ("a-grant-moves-with-its-thread", moves::granted),
            ("registers-and-rights-move-at-any-instruction", moves::preempted),
            ("a-wake-ends-one-wait", waits::woken_once),
            ("resting-cpus-forget-what-was-unmapped", memory::unmapped),
        ];
        for (name, check) in all {
            check();
            println!("ok {name}");
        }
        println!("cpus: all ok on {} cpus", cpus());
    }

    /// How many CPUs run threads.
    pub(crate) fn cpus() -> u32 {
        percpu::online_count() as u32
    }

    /// The running thread.
    pub(crate) fn own_id() -> ThreadId {
        ThreadId::new(task::current_id()).expect("a thread")
    }

    /// Takes the running thread to this CPU.
    pub(crate) fn go_to(cpu: u32) {
        assert!(task::pin(own_id(), Some(cpu)));
        assert_eq!(percpu::current_id(), cpu);
    }

    /// Lets the running thread run anywhere again.
    pub(crate) fn roam() {
        assert!(task::pin(own_id(), None));
    }
}
