//! How much a process has worked.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Linux tells times to programs in hundredths of a second, whatever its own clock.
const TICK: Duration = Duration::from_millis(10);

/// The time that processors have worked for a process since its start, in its own code and the kernel's. Unlike the
/// time that has passed, other work on the host does not add to it.
pub fn processor_time(process: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    ticks(&stat).map(|ticks| TICK * ticks).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// The ticks in the text of `/proc/PID/stat` (proc_pid_stat(5)): `utime` and `stime`, the 12th and 13th field behind
/// the name, which stands in parentheses and may have spaces and parentheses in it.
fn ticks(stat: &str) -> Option<u32> {
    let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    let mut next = || times.next()?.parse::<u32>().ok();
    next()?.checked_add(next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_stand_behind_a_name_of_any_kind() {
        assert_eq!(ticks("7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 120 34 13 14"), Some(154));
        assert_eq!(ticks("7 (cut) S 1 2 3 4 5 6 7 8 9 10 120"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn only_a_process_that_is_there_has_worked() {
        assert!(processor_time(std::process::id()).is_ok());
        assert!(processor_time(u32::MAX).is_err());
    }
}
