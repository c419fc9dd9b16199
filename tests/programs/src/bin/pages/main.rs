//! Permissions of parts of a device, splits of its pages, and what the page tables say afterwards: `pages [WAY]`.
//! Without a way, each check prints `ok NAME` and a failed one panics; a way ends in a fault.

#[cfg(target_os = "hermit")]
mod checks;
#[cfg(target_os = "hermit")]
mod faults;
#[cfg(target_os = "hermit")]
mod others;
#[cfg(target_os = "hermit")]
mod registers;

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("pages runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use libos::dax::{Device, audit, devices};

    pub(crate) const PAGE: u64 = 4096;
    pub(crate) const MIB2: u64 = 2 << 20;
    pub(crate) const GIB: u64 = 1 << 30;

    pub(crate) fn main() {
        let Some(device) = devices().first() else { panic!("the test gives this program an NVDIMM") };
        match std::env::args().nth(1).as_deref() {
            None => {
                crate::checks::run(device);
                crate::others::run(device);
                crate::registers::run(device);
                println!("pages: all ok");
            }
            Some(way) => {
                println!("pages: {way}");
                crate::faults::run(way, device);
                println!("pages: survived");
            }
        }
    }

    /// Runs a check, after which the page tables are as they should be, every leaf of them.
    pub(crate) fn check(name: &str, body: impl FnOnce()) {
        body();
        if let Err(error) = audit() {
            panic!("after {name}: {error}");
        }
        println!("ok {name}");
    }

    /// A store as the program's own code would make it, past the grant's methods.
    #[inline(never)]
    pub(crate) fn poke(device: &Device, offset: u64, value: u64) {
        // SAFETY: the caller is in a write grant, or wants to see the fault; nobody has a reference into the device.
        unsafe { (device.address_range().start + offset).as_mut_ptr::<u64>().write_volatile(value) };
    }

    /// A load as the program's own code would make it.
    pub(crate) fn peek(device: &Device, offset: u64) -> u64 {
        // SAFETY: as for `poke`, with a grant to read.
        unsafe { (device.address_range().start + offset).as_ptr::<u64>().read_volatile() }
    }
}
