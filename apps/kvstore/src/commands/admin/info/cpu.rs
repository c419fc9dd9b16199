//! The processor's time.

use std::fmt::Write;
use std::time::Duration;

use crate::shared::Shared;
use crate::usage;

/// The section's lines.
pub fn write(text: &mut String, _: &Shared) {
    if let Some(times) = usage::cpu_times() {
        for (name, time) in [
            ("used_cpu_sys", Some(times.system)),
            ("used_cpu_user", Some(times.user)),
            ("used_cpu_sys_children", Some(Duration::ZERO)),
            ("used_cpu_user_children", Some(Duration::ZERO)),
            ("used_cpu_sys_main_thread", times.main_thread.map(|(system, _)| system)),
            ("used_cpu_user_main_thread", times.main_thread.map(|(_, user)| user)),
        ] {
            if let Some(time) = time {
                let _ = write!(text, "{name}:{}.{:06}\r\n", time.as_secs(), time.subsec_micros());
            }
        }
    }
    each(text);
}

/// What each of the guest's CPUs has done since boot.
#[cfg(target_os = "hermit")]
fn each(text: &mut String) {
    for (cpu, done) in libos::task::statistics_by_cpu() {
        let _ = write!(
            text,
            "cpu{cpu}:switches={},interrupts={},shootdowns_sent={},shootdowns_deferred={}\r\n",
            done.switches, done.interrupts, done.shootdown_interrupts, done.shootdowns_deferred
        );
    }
}

/// On the host they are another system's affair.
#[cfg(not(target_os = "hermit"))]
fn each(_: &mut String) {}
