//! The tap device of `--net tap`: a network of two, the host and one guest.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use libos_contract::command_line::IP;

use crate::output::warn;
use crate::setup::toolchain::find_program;

/// The device's name on the host.
pub const NAME: &str = "holdfast0";
/// The host's address on it.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The guest's address on it.
pub const GUEST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The prefix length of the network.
const PREFIX: u8 = 24;

/// The word of the kernel's command line that gives the guest its address.
pub(crate) fn guest_option() -> String {
    format!("{IP}={GUEST_ADDRESS}/{PREFIX},{HOST_ADDRESS}")
}

/// A tap device that exists as long as this value does.
#[derive(Debug)]
pub struct Tap(());

impl Tap {
    /// Creates the device and gives it the host's address.
    ///
    /// # Errors
    /// When this process may not, or the device exists already: another machine uses it.
    pub fn create() -> Result<Self> {
        if find_program("ip").is_none() {
            bail!("--net tap needs the program `ip` (Debian's package iproute2)");
        }
        // An xtask that was killed leaves its device behind. One that a machine uses cannot be removed.
        add().or_else(|error| remove().and_then(|()| add()).map_err(|_| error)).with_context(|| {
            format!(
                "--net tap cannot create the device {NAME}: it takes root (or CAP_NET_ADMIN) and /dev/net/tun, and only one \
                 machine at a time can have it; --net user needs neither"
            )
        })?;
        let tap = Self(());
        ip(&["address", "add", &format!("{HOST_ADDRESS}/{PREFIX}"), "dev", NAME])?;
        ip(&["link", "set", NAME, "up"])?;
        Ok(tap)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Err(error) = remove() {
            warn(format_args!("the tap device {NAME} stays behind: {error:#}"));
        }
    }
}

fn add() -> Result<()> {
    ip(&["tuntap", "add", "dev", NAME, "mode", "tap"])
}

fn remove() -> Result<()> {
    ip(&["tuntap", "del", "dev", NAME, "mode", "tap"])
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("cannot run ip")?;
    if !output.status.success() {
        bail!("`ip {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
