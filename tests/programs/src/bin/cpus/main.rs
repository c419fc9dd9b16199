//! What several CPUs add: `cpus checks` tests that threads take everything along when they move, and that what one CPU
//! unmaps no other still sees; each check prints `ok NAME`, and a failed one panics. `cpus costs` prints what threads cost
//! in switches and interrupts between CPUs.

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("cpus runs in the guest");
}

#[cfg(target_os = "hermit")]
mod costs;

#[cfg(target_os = "hermit")]
mod guest {
    pub(crate) fn main() {
        match std::env::args().nth(1).as_deref() {
            Some("costs") => crate::costs::print(),
            _ => panic!("say checks or costs"),
        }
    }
}
