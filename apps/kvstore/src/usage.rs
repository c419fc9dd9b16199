//! What the program takes of the machine: memory and the processor's time, as far as the system tells.

use std::time::Duration;

/// The processor's time.
pub struct CpuTimes {
    /// In the system.
    pub system: Duration,
    /// In the program.
    pub user: Duration,
    /// Of the thread that serves, in the system and in the program.
    pub main_thread: Option<(Duration, Duration)>,
}

/// The DRAM that the program holds, in bytes.
#[cfg(target_os = "hermit")]
pub fn resident_bytes() -> Option<u64> {
    Some(libos::accounts::Accounts::now().heap_grown)
}

/// The processor's time since the boot. Program and system are one, so all of it is the program's.
#[cfg(target_os = "hermit")]
pub fn cpu_times() -> Option<CpuTimes> {
    let busy = libos::task::statistics().busy;
    Some(CpuTimes { system: Duration::ZERO, user: busy, main_thread: None })
}

/// The memory of the process that is in DRAM, in bytes; pages of the pool's file are not, though they are resident.
#[cfg(not(target_os = "hermit"))]
pub fn resident_bytes() -> Option<u64> {
    resident(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The processor's time of the process, and of this thread.
#[cfg(not(target_os = "hermit"))]
pub fn cpu_times() -> Option<CpuTimes> {
    let read = |path: &str| times(&std::fs::read_to_string(path).ok()?);
    let (system, user) = read("/proc/self/stat")?;
    Some(CpuTimes { system, user, main_thread: read("/proc/thread-self/stat") })
}

/// Reads Linux's `status` of a process: anonymous memory that is resident.
#[cfg(not(target_os = "hermit"))]
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Reads Linux's `stat` of a process or a thread: its time in the system and outside.
#[cfg(not(target_os = "hermit"))]
fn times(stat: &str) -> Option<(Duration, Duration)> {
    /// What Linux tells programs of, whatever its own clock's rate.
    const TICKS_PER_SECOND: u64 = 100;
    // The second field is a name in brackets, which may have spaces and brackets; the third follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let time = |number: usize| {
        let ticks: u64 = fields.get(number - 3)?.parse().ok()?;
        Some(Duration::from_millis(ticks.checked_mul(1000 / TICKS_PER_SECOND)?))
    };
    Some((time(15)?, time(14)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_of_memory_and_time() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t  900 kB\nRssAnon:\t     123 kB\nRssFile:\t 777 kB\n"), Some(123 << 10));
        assert_eq!(resident("Name:\tx\n"), None);
        let stat = "42 (a ) (b) S 1 42 42 0 -1 4194560 1 0 0 0 12 345 6 7 20 0 1 0 100 0 0";
        assert_eq!(times(stat), Some((Duration::from_millis(3450), Duration::from_millis(120))));
        for stat in ["", "42 (x) S 1", "42 x S", "1 (x) S 1 42 42 0 -1 4194560 1 0 0 0 -12 345 6 7"] {
            assert_eq!(times(stat), None, "{stat}");
        }
    }
}
