//! The battery-backed clock: what time it is at boot.
//!
//! Owns the CMOS index and data ports. Never: keeps time (that is `time`, which this sets twice).
//!
//! The clock tells whole seconds. Waiting for its next tick would delay the boot by up to a second, so `init` sets the
//! wall clock to the beginning of the current second, and a short-lived thread then watches for a tick and sets it
//! exactly. The first value is never ahead of the clock, so the second never moves the wall clock backwards.
//!
//! Exact means: as the clock has it. QEMU's begins with the host's time without its fraction, so under QEMU it, and the
//! wall clock with it, is up to a second late, by the same amount for as long as the machine runs.

pub mod calendar;
pub mod cmos;

#[cfg(target_os = "hermit")]
pub use machine::init;

#[cfg(target_os = "hermit")]
mod machine {
    use core::sync::atomic::{AtomicU8, Ordering};
    use core::time::Duration;

    use crate::arch::port::{inb, outb};
    use crate::drivers::rtc::calendar::DateTime;
    use crate::drivers::rtc::cmos::{Cmos, RtcError, date};
    use crate::sync::IrqLock;
    use crate::unix_time::UnixTime;
    use crate::{kprintln, task, time};

    /// How often the thread looks at the clock: the wall clock is exact to half of it.
    const POLL: Duration = Duration::from_millis(4);

    /// A clock that has not ticked for this long has stopped.
    const LONGEST_SECOND: Duration = Duration::from_secs(3);

    /// The register that holds the century; 0 if none does.
    static CENTURY: AtomicU8 = AtomicU8::new(0);

    struct Ports;

    /// Keeps the two halves of a CMOS access together.
    static PORTS: IrqLock<()> = IrqLock::new(());

    impl Cmos for Ports {
        fn read(&mut self, register: u8) -> u8 {
            let _together = PORTS.lock();
            // SAFETY: 0x70 and 0x71 are the CMOS index and data ports of every PC, and reading a register below 0x80
            // changes neither memory nor, but for the interrupt flags in status C, the clock. Bit 7 of the index
            // stays clear, so NMIs stay enabled.
            unsafe {
                outb(0x70, register & 0x7f);
                inb(0x71)
            }
        }
    }

    fn read() -> Result<DateTime, RtcError> {
        let century = Some(CENTURY.load(Ordering::Relaxed)).filter(|register| *register != 0);
        date(&mut Ports, century)
    }

    /// Sets the wall clock, and has it set more exactly within the next second. `century` is the FADT's register.
    pub fn init(century: Option<u8>) -> Result<(), RtcError> {
        CENTURY.store(century.unwrap_or(0), Ordering::Relaxed);
        let date = read()?;
        if !date.is_likely() {
            kprintln!("holdfast: RTC: the clock says {date}, before this library was written: dates will be wrong");
        }
        time::set_wall_clock(UnixTime::from_secs(date.unix_seconds()));
        task::spawn_kernel("rtc", watch_for_tick);
        Ok(())
    }

    fn watch_for_tick() {
        if let Err(error) = set_at_next_tick() {
            kprintln!("holdfast: {error}; the wall clock may be up to a second late");
        }
    }

    fn set_at_next_tick() -> Result<(), RtcError> {
        let first = read()?.unix_seconds();
        let mut before = time::now();
        let give_up = before + LONGEST_SECOND;
        while before < give_up {
            task::sleep_until(before + POLL);
            let seconds = read()?.unix_seconds();
            let after = time::now();
            if seconds != first {
                // The tick was between the two looks: halfway is right to half their distance.
                let exact = UnixTime::from_secs(seconds) + after.saturating_duration_since(before) / 2;
                if exact > time::wall_clock() {
                    time::set_wall_clock(exact);
                }
                return Ok(());
            }
            before = after;
        }
        Err(RtcError::Stopped)
    }
}
