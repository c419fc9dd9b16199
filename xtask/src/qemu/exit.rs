//! What QEMU's exit status says about the guest.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use libos_contract::exit::{BOOT_REFUSED, FATAL_EXCEPTION, PANIC, PROTECTION_FAULT};
use signal_hook::consts::SIGBUS;

/// How a machine ended.
///
/// The guest powers off by ACPI after success, and QEMU then exits with 0. It ends with a code of its own by writing
/// it to the `isa-debug-exit` device, which makes QEMU exit with `(code << 1) | 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest ended with this exit code, which is 0 after a power-off.
    Guest(u8),
    /// QEMU itself failed with this status; the guest said nothing.
    Qemu(i32),
    /// QEMU was killed by this signal.
    Killed(i32),
}

impl Exit {
    /// Reads QEMU's exit status.
    pub fn from_status(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(0), _) => Self::Guest(0),
            (Some(code), _) if code >= 3 && code % 2 == 1 => match u8::try_from(code >> 1) {
                Ok(guest) => Self::Guest(guest),
                Err(_) => Self::Qemu(code),
            },
            (Some(code), _) => Self::Qemu(code),
            (None, signal) => Self::Killed(signal.unwrap_or(0)),
        }
    }

    /// The exit code that xtask passes on: the guest's; 1 for a failure of QEMU; 128 and the signal's number, as
    /// shells do, when QEMU was killed.
    pub fn code(self) -> u8 {
        match self {
            Self::Guest(code) => code,
            Self::Qemu(_) => 1,
            Self::Killed(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest(0) => write!(f, "the guest powered off"),
            Self::Guest(PANIC) => write!(f, "the guest panicked (exit code {PANIC})"),
            Self::Guest(FATAL_EXCEPTION) => {
                write!(f, "the guest was stopped by a fatal exception (exit code {FATAL_EXCEPTION})")
            }
            Self::Guest(PROTECTION_FAULT) => {
                write!(f, "the guest was stopped by a protection fault (exit code {PROTECTION_FAULT})")
            }
            Self::Guest(BOOT_REFUSED) => write!(f, "the guest refused to boot (exit code {BOOT_REFUSED})"),
            Self::Guest(code) => write!(f, "the guest ended with exit code {code}"),
            Self::Qemu(status) => write!(f, "QEMU failed with status {status}"),
            Self::Killed(SIGBUS) => write!(
                f,
                "QEMU was killed by signal {SIGBUS} (SIGBUS): most likely the disk under an image is full; make room there \
                 and run it again: what was acknowledged is in the image"
            ),
            Self::Killed(signal) => write!(f, "QEMU was killed by signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(code: i32) -> Exit {
        Exit::from_status(ExitStatus::from_raw(code << 8))
    }

    #[test]
    fn every_debug_exit_code_of_the_guest_comes_back() {
        for code in 1..=127u8 {
            let exit = exited(i32::from(code) << 1 | 1);
            assert_eq!(exit, Exit::Guest(code));
            assert_eq!(exit.code(), code);
        }
    }

    #[test]
    fn a_power_off_is_success() {
        assert_eq!(exited(0), Exit::Guest(0));
        assert_eq!(exited(0).code(), 0);
    }

    #[test]
    fn qemus_own_failures_are_not_taken_for_the_guests() {
        for status in [1, 2, 4, 100] {
            assert_eq!(exited(status), Exit::Qemu(status));
            assert_eq!(exited(status).code(), 1);
        }
    }

    #[test]
    fn a_kill_is_reported_as_shells_report_it() {
        let exit = Exit::from_status(ExitStatus::from_raw(9));
        assert_eq!(exit, Exit::Killed(9));
        assert_eq!(exit.code(), 137);
        assert!(exit.to_string().contains("signal 9"));
    }

    #[test]
    fn sigbus_is_explained_by_a_full_disk() {
        let exit = Exit::from_status(ExitStatus::from_raw(SIGBUS));
        assert_eq!(exit.code(), 135);
        assert!(exit.to_string().contains("signal 7 (SIGBUS): most likely the disk under an image is full"));
    }
}
