//! How much a process has worked.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::io::Errno;

/// Linux tells times to programs in hundredths of a second, whatever its own clock.
const TICK: Duration = Duration::from_millis(10);

/// The time that processors have worked for a process since its start, in its own code and the kernel's. Unlike the
/// time that has passed, other work on the host does not add to it.
pub fn processor_time(process: u32) -> io::Result<Duration> {
    let [own, kernel] = processor_times(process)?;
    Ok(own + kernel)
}

/// The same by whose code they worked in: its own, and the kernel's for it.
pub fn processor_times(process: u32) -> io::Result<[Duration; 2]> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    ticks(&stat).map(|times| times.map(|ticks| TICK * ticks)).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// The same to the nanosecond, of the threads that there are now (proc(5), `/proc/PID/task/TID/schedstat`): what those
/// have worked that ended is not in it.
pub fn exact_processor_time(process: u32) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        match fs::read_to_string(thread?.path().join("schedstat")) {
            Ok(text) => sum += nanoseconds(&text).ok_or(ErrorKind::InvalidData)?,
            // It has ended since it was listed.
            Err(error) if is_of_ended_thread(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

/// Whether this is what Linux says of a thread that was there: its folder has gone, or only the thread.
fn is_of_ended_thread(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// The first field of `schedstat`: the time that a thread has run.
fn nanoseconds(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// The ticks in the text of `/proc/PID/stat` (proc_pid_stat(5)): `utime` and `stime`, the 12th and 13th field behind
/// the name, which stands in parentheses and may have spaces and parentheses in it.
fn ticks(stat: &str) -> Option<[u32; 2]> {
    let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    let mut next = || times.next()?.parse().ok();
    Some([next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_stand_behind_a_name_of_any_kind() {
        assert_eq!(ticks("7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 120 34 13 14"), Some([120, 34]));
        assert_eq!(ticks("7 (cut) S 1 2 3 4 5 6 7 8 9 10 120"), None);
        assert_eq!(ticks(""), None);
    }

    #[test]
    fn the_exact_time_is_the_first_of_three_fields() {
        assert_eq!(nanoseconds("2558530000 17 9\n"), Some(Duration::from_nanos(2_558_530_000)));
        assert_eq!(nanoseconds(""), None);
    }

    #[test]
    fn only_a_process_that_is_there_has_worked() {
        assert!(processor_time(std::process::id()).is_ok());
        assert!(processor_time(u32::MAX).is_err());
        assert!(exact_processor_time(std::process::id()).unwrap() > Duration::ZERO);
        assert!(exact_processor_time(u32::MAX).is_err());
    }
}
