//! Parameters that have their effect at once.

use pmem::protection;

use super::super::kind::Kind::{Integer, Memory, Text, YesNo};
use super::super::kind::Why;
use super::Knob;
use crate::shared::Shared;

/// Whether this program runs on the guest, whose clients come through its network card.
const GUEST: bool = cfg!(target_os = "hermit");

/// In no order.
pub const KNOBS: &[Knob] = &[
    // Of our own: what follows a stray access, and how many bytes per second are verified in the background.
    Knob::live("fault-policy", Text, fault_policy, set_fault_policy),
    Knob::live("scrub-rate", Text, |shared| shared.scrub.rate().to_string(), set_scrub_rate),
    Knob::live("maxclients", Integer(1, u32::MAX as i64), |shared| shared.limits.clients.to_string(), set_clients),
    Knob::live("maxmemory", Memory(0, u64::MAX), maxmemory, |shared, value| {
        shared.settings.maxmemory = Some(number(value)?);
        Ok(())
    }),
    Knob::live(
        "timeout",
        Integer(0, i32::MAX as i64),
        |shared| shared.settings.timeout.to_string(),
        |shared, value| {
            shared.settings.timeout = number(value)?;
            Ok(())
        },
    ),
    Knob::live(
        "protected-mode",
        YesNo,
        |shared| yes_or_no(shared.settings.protected_mode),
        |shared, value| {
            if GUEST && value == "yes" {
                return Err("every client of this machine is on another one, and would be refused".into());
            }
            shared.settings.protected_mode = value == "yes";
            Ok(())
        },
    ),
    Knob::live("slowlog-log-slower-than", Integer(-1, i64::MAX), slower_than, |shared, value| {
        shared.slow_log.slower_than = value.parse().map_err(|_| NO_INTEGER)?;
        Ok(())
    }),
    Knob::live(
        "slowlog-max-len",
        Integer(0, i64::MAX),
        |shared| shared.slow_log.most.to_string(),
        |shared, value| {
            shared.slow_log.most = number(value)?;
            Ok(())
        },
    ),
    Knob::live("latency-monitor-threshold", Integer(0, i64::MAX), latency_threshold, |shared, value| {
        shared.latency.threshold = number(value)?;
        Ok(())
    }),
    Knob::live(
        "latency-tracking",
        YesNo,
        |shared| yes_or_no(shared.latency.tracking),
        |shared, value| {
            shared.latency.tracking = value == "yes";
            Ok(())
        },
    ),
];

const NO_INTEGER: &str = "argument couldn't be parsed into an integer";

fn slower_than(shared: &Shared) -> String {
    shared.slow_log.slower_than.to_string()
}

fn latency_threshold(shared: &Shared) -> String {
    shared.latency.threshold.to_string()
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.into()
}

fn number(value: &str) -> Result<u64, Why> {
    value.parse().map_err(|_| NO_INTEGER.into())
}

/// Until it is set, what the pool holds.
fn maxmemory(shared: &Shared) -> String {
    shared.maxmemory().to_string()
}

fn fault_policy(_: &Shared) -> String {
    protection::fault_policy().unwrap_or_else(|| "none".into())
}

fn set_fault_policy(_: &mut Shared, value: &str) -> Result<(), Why> {
    protection::set_fault_policy(value).map_err(|error| error.to_string().into())
}

fn set_scrub_rate(shared: &mut Shared, value: &str) -> Result<(), Why> {
    shared.scrub.set_rate(value.parse().map_err(|_| "argument must be bytes per second, or 0")?);
    Ok(())
}

/// As many clients as the server started with, or fewer.
fn set_clients(shared: &mut Shared, value: &str) -> Result<(), Why> {
    let (wanted, most) = (number(value)?, shared.most_clients);
    if wanted > most as u64 {
        return Err(format!(
            "The operating system is not able to handle the specified number of clients, try with {most}"
        )
        .into());
    }
    shared.limits.clients = wanted as usize;
    Ok(())
}
