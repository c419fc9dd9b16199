//! Redis on Linux in a machine: Debian's kernel and packages, nothing installed on this computer.
//!
//! What Redis appends to its log goes to ext4 on the NVDIMM, mapped directly (DAX): no page cache is between, and what
//! a write is answered after is an fdatasync, as the store's is a fence.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::super::computer::Computer;
use super::super::redis::Log;
use super::super::server::{Contender, Server, wait_for_answer};
use super::{Hardware, NVDIMM, PATIENCE, PORT, Way};
use crate::forward::{self, Forwarder, Target};
use crate::image::PmemImage;
use crate::linux::{self, Initrd, NAMESPACE};
use crate::qemu::{Network, Qmp, devices};
use crate::tap::{self, Tap};

/// What it is called.
pub const NAME: &str = "Redis on Linux, appendfsync always";
/// What the machine does, once the variables are set.
const SCRIPT: &str = include_str!("redis.sh");
/// What Redis says when it serves.
const READY: &str = "eady to accept connections";
/// What comes before something that the machine tells of itself: a name, and behind a colon a value.
const TELLS: &str = "bench: ";
/// The address that QEMU's user network has for a machine, and the length of its prefix.
const USER_ADDRESS: &str = "10.0.2.15/24";

/// Redis on Linux.
#[derive(Clone, Copy, Debug)]
pub struct RedisOnLinux {
    /// What it runs on.
    pub hardware: Hardware,
}

impl RedisOnLinux {
    /// The script with its variables.
    fn script(&self) -> Result<String> {
        let address = match self.hardware.network {
            Network::Tap(link) => format!("{}/{}", link.guest, tap::PREFIX),
            Network::User => USER_ADDRESS.to_owned(),
            Network::None => bail!("a machine without a network cannot be measured"),
        };
        Ok(format!("{NAMESPACE}\naddress={address}\nserver='{}'\n{SCRIPT}", server()))
    }
}

/// How Redis is started in the machine.
fn server() -> String {
    let quoted = |word: &&str| if word.is_empty() { "\"\"".to_owned() } else { (*word).to_owned() };
    let options: Vec<_> = Log::Always.options().iter().map(quoted).collect();
    let options = options.join(" ");
    format!("redis-server --dir /data --port {PORT} --bind 0.0.0.0 --protected-mode no {options}")
}

impl Contender for RedisOnLinux {
    fn name(&self) -> &str {
        NAME
    }

    fn command(&self) -> String {
        server()
    }

    fn start(&self, directory: &Path, _: &Computer) -> Result<Box<dyn Server>> {
        let Hardware { smp, memory, network } = self.hardware;
        let tap = network.tap()?;
        let image = PmemImage::open(&directory.join("pmem0.img"), Some(NVDIMM))?;
        let monitor = directory.join("monitor");
        let mut arguments = devices(std::slice::from_ref(&image), network);
        let mut chardev = "socket,id=qmp,server=on,wait=off,path=".to_owned();
        chardev.push_str(monitor.to_str().context("a directory's name is not UTF-8")?);
        arguments.extend(["-chardev", chardev.as_str(), "-mon", "chardev=qmp,mode=control"].map(Into::into));
        let hardware = linux::Hardware { smp, memory, arguments, patience: PATIENCE };
        let mut initrd = Initrd::new()?;
        initrd.modules()?;
        initrd.tree(linux::redis()?);
        initrd.tree(linux::mke2fs()?);
        let mut machine = linux::Machine::start(&hardware, &initrd, &self.script()?)?;
        let (mut told, mut printed) = (Vec::new(), Vec::new());
        loop {
            let Some(line) = machine.next_line()? else { bail!("{NAME} does not get ready:\n{}", printed.join("\n")) };
            if line.contains(READY) {
                break;
            }
            told.extend(parse(&line));
            printed.push(line);
        }
        let monitor = UnixStream::connect(monitor).context("QEMU's monitor cannot be reached")?;
        let mut qmp = Qmp::new(monitor, PATIENCE)?;
        let way = Way::to(network, || {
            let target = Target::Paced(qmp.user_network_port(PORT)?);
            Forwarder::start(forward::listen(([127, 0, 0, 1], 0).into())?, target).context("cannot start the forwarder")
        })?;
        // Its network card may take a while longer than Redis.
        wait_for_answer(way.address, PATIENCE, || Ok(())).with_context(|| format!("{NAME} does not get ready"))?;
        Ok(Box::new(Running { told, way, qmp, machine, _image: image, _tap: tap }))
    }
}

/// What the machine tells of itself in a line, if it does.
fn parse(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix(TELLS)?.split_once(": ")?;
    Some((name.to_owned(), value.to_owned()))
}

/// A machine with Linux and Redis in it.
struct Running {
    told: Vec<(String, String)>,
    way: Way,
    qmp: Qmp,
    // Ends before its network and its image.
    machine: linux::Machine,
    _image: PmemImage,
    _tap: Option<Tap>,
}

impl Server for Running {
    fn address(&self) -> SocketAddr {
        self.way.address
    }

    fn process(&self) -> u32 {
        self.machine.process()
    }

    fn pause(&mut self) -> Result<()> {
        self.qmp.execute("stop", json!({})).map(drop)
    }

    fn resume(&mut self) -> Result<()> {
        self.qmp.execute("cont", json!({})).map(drop)
    }

    fn told(&self) -> Vec<(String, String)> {
        self.told.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size::MIB;

    #[test]
    fn redis_is_started_as_the_configuration_says() {
        let of = |network| RedisOnLinux { hardware: Hardware { smp: 1, memory: 512 * MIB, network } };
        let peer = of(Network::Tap(tap::SECOND));
        let script = peer.script().unwrap();
        assert!(script.contains("\naddress=10.77.1.2/24\n"), "{script}");
        assert!(script.contains(&format!("\nserver='{}'\n", peer.command())), "{script}");
        assert!(peer.command().contains("--appendonly yes --appendfsync always"), "{}", peer.command());
        assert!(peer.command().ends_with("--save \"\""), "{}", peer.command());
        assert!(of(Network::None).script().is_err());
    }

    #[test]
    fn what_the_machine_tells_of_itself_is_read() {
        let told = parse("bench: Linux: 6.1.0-40-amd64").unwrap();
        assert_eq!(told, ("Linux".to_owned(), "6.1.0-40-amd64".to_owned()));
        assert_eq!(parse("5:M 30 Nov 2026 18:00:00.000 # Warning: no config file"), None);
    }
}
