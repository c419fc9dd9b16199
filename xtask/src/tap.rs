//! The tap devices of `--net tap`: each is a network of two, the host and one guest.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use libos_contract::command_line::IP;

use crate::output::warn;
use crate::setup::toolchain::find_program;

/// A network of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The device's name on the host.
    pub name: &'static str,
    /// The host's address on it.
    pub host: Ipv4Addr,
    /// The guest's.
    pub guest: Ipv4Addr,
}

/// That of a machine, and of the first of two.
pub const FIRST: Link =
    Link { name: "holdfast0", host: Ipv4Addr::new(10, 77, 0, 1), guest: Ipv4Addr::new(10, 77, 0, 2) };
/// That of a machine beside one on [`FIRST`].
pub const SECOND: Link =
    Link { name: "holdfast1", host: Ipv4Addr::new(10, 77, 1, 1), guest: Ipv4Addr::new(10, 77, 1, 2) };
/// The prefix length of the networks.
pub(crate) const PREFIX: u8 = 24;

impl Link {
    /// The word of the kernel's command line that gives the guest its address.
    pub(crate) fn guest_option(self) -> String {
        format!("{IP}={}/{PREFIX},{}", self.guest, self.host)
    }
}

/// A tap device that exists as long as this value does.
#[derive(Debug)]
pub struct Tap(Link);

impl Tap {
    /// Creates the device of a link and gives it the host's address.
    ///
    /// # Errors
    /// When this process may not, or the device exists already: another machine uses it.
    pub fn create(link: Link) -> Result<Self> {
        if find_program("ip").is_none() {
            bail!("--net tap needs the program `ip` (Debian's package iproute2)");
        }
        // An xtask that was killed leaves its device behind. One that a machine uses cannot be removed.
        let name = link.name;
        add(name).or_else(|error| remove(name).and_then(|()| add(name)).map_err(|_| error)).with_context(|| {
            format!(
                "--net tap cannot create the device {name}: it takes root (or CAP_NET_ADMIN) and /dev/net/tun, and only one \
                 machine at a time can have it; --net user needs neither"
            )
        })?;
        let tap = Self(link);
        ip(&["address", "add", &format!("{}/{PREFIX}", link.host), "dev", name])?;
        ip(&["link", "set", name, "up"])?;
        Ok(tap)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Err(error) = remove(self.0.name) {
            warn(format_args!("the tap device {} stays behind: {error:#}", self.0.name));
        }
    }
}

fn add(name: &str) -> Result<()> {
    ip(&["tuntap", "add", "dev", name, "mode", "tap"])
}

fn remove(name: &str) -> Result<()> {
    ip(&["tuntap", "del", "dev", name, "mode", "tap"])
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("cannot run ip")?;
    if !output.status.success() {
        bail!("`ip {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
