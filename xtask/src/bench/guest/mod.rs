//! `cargo xtask bench`: the store in its machine, beside Redis on Linux in another.
//!
//! Both are QEMU's, with the same processors, RAM, NVDIMM and network card, and the load comes from outside, over a tap
//! device for each. The one that is not measured is paused, and costs the computer nothing.

mod redis_linux;
mod store;
mod targets;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::computer::{self, Computer};
use super::document::Document;
use super::hardware::Counting;
use super::redis::Redis;
use super::report::Report;
use super::server::Contender;
use super::session::Session;
use super::workload::Group;
use super::{Runs, STORE, version};
use crate::forward::Forwarder;
use crate::guest::{self, Profile};
use crate::qemu::{Network, ProtectionChoice};
use crate::setup::{self, toolchain::Choice};
use crate::size::{self, GIB};
use crate::tap;
use redis_linux::RedisOnLinux;
use store::Store;

/// Bytes of the NVDIMM of each machine.
const NVDIMM: u64 = GIB;
/// The port that servers listen on in their machines.
const PORT: u16 = 6379;
/// How long a machine may take until its server is ready.
const PATIENCE: Duration = Duration::from_secs(300);
/// Where the servers' data are, as it is called here; and where the host keeps what is on the NVDIMMs.
const PLACE: &str = "NVDIMM";
const DIRECTORY: &str = "/dev/shm";

/// What the store is measured beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// Debian's Redis with `appendfsync always`, on Debian's Linux in a machine of the same kind.
    RedisOnLinux,
    /// Another image of the store.
    Store(PathBuf),
}

impl Against {
    /// What a word on the command line means.
    pub fn of(word: &str) -> Self {
        if word == "redis-linux" { Self::RedisOnLinux } else { Self::Store(PathBuf::from(word)) }
    }
}

/// What every machine is made of.
#[derive(Clone, Copy, Debug)]
pub struct Hardware {
    /// Processors.
    pub smp: u32,
    /// RAM, in bytes.
    pub memory: u64,
    /// How clients reach it.
    pub network: Network,
}

impl Hardware {
    /// That of a machine beside this one.
    fn beside(self) -> Self {
        let network = match self.network {
            Network::Tap(_) => Network::Tap(tap::SECOND),
            other => other,
        };
        Self { network, ..self }
    }
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// What else is measured in turns with the store.
    pub against: Option<Against>,
    /// The loads.
    pub groups: Vec<Group>,
    /// How long.
    pub runs: Runs,
    /// What protects the pool.
    pub protection: ProtectionChoice,
    /// What the machines are made of.
    pub hardware: Hardware,
    /// The document that shows the results, if they are to be written into one.
    pub document: Option<PathBuf>,
}

/// Builds the store's image and measures it.
///
/// # Errors
/// When something is missing, or a server fails.
pub fn measure(options: &Options, choice: Choice) -> Result<Report> {
    // It should be known before all the work whether there is a place for its results.
    let document = options.document.as_deref().map(|path| Document::open(path, "bench")).transpose()?;
    let toolchain = setup::ensure(choice, &[setup::QEMU])?;
    let image = guest::build(&toolchain, &["kvstore"], Profile::Release)?.join("kvstore");
    let report = measure_image(&image, options)?;
    if let Some(document) = document {
        document.write(&report)?;
    }
    Ok(report)
}

/// Measures this image of the store.
///
/// # Errors
/// When something is missing, or a server fails.
pub fn measure_image(image: &Path, options: &Options) -> Result<Report> {
    let redis = Redis::fetch()?;
    let (computer, counting) = (Computer::unpinned()?, Counting::find_out());
    let contenders = contenders(image, options)?;
    let mut session = Session::new(&contenders, &redis, &computer, &counting, options.runs);
    let rows = session.rows(&options.groups, PLACE, Path::new(DIRECTORY))?;
    Ok(Report {
        configuration: configuration(options, &session)?,
        grants: None,
        targets: vec![(PLACE, targets::targets(&rows, PLACE))],
        rows,
    })
}

fn contenders(image: &Path, options: &Options) -> Result<Vec<Box<dyn Contender>>> {
    let &Options { protection, hardware, .. } = options;
    let store = |name: &str, image: &Path, hardware| -> Box<dyn Contender> {
        Box::new(Store { name: name.to_owned(), image: image.to_owned(), protection, hardware })
    };
    let mut contenders = vec![store(STORE, image, hardware)];
    match &options.against {
        None => {}
        Some(Against::RedisOnLinux) => contenders.push(Box::new(RedisOnLinux { hardware: hardware.beside() })),
        Some(Against::Store(image)) => {
            let image = image.canonicalize().with_context(|| format!("there is no {}", image.display()))?;
            contenders.push(store("the other store", &image, hardware.beside()));
        }
    }
    Ok(contenders)
}

/// Where clients reach a server, and who carries them there if it is not the network.
struct Way {
    address: SocketAddr,
    _forwarder: Option<Forwarder>,
}

impl Way {
    /// Into a machine on this network; a forwarder is started where one is needed.
    fn to(network: Network, forward: impl FnOnce() -> Result<Forwarder>) -> Result<Self> {
        match network {
            Network::Tap(link) => Ok(Self { address: (link.guest, PORT).into(), _forwarder: None }),
            Network::User => {
                let forwarder = forward()?;
                Ok(Self { address: forwarder.address(), _forwarder: Some(forwarder) })
            }
            Network::None => bail!("a machine without a network cannot be measured"),
        }
    }
}

/// All that the figures depend on: names and values.
fn configuration(options: &Options, session: &Session) -> Result<Vec<(String, String)>> {
    let mut configuration = computer::description(session.computer)?;
    let Hardware { smp, memory, network } = options.hardware;
    let processors = if smp == 1 { "one processor".to_owned() } else { format!("{smp} processors") };
    let [ram, nvdimm] = [memory, NVDIMM].map(size::display);
    let machine = format!("{}, TCG; {processors} (max), {ram} of RAM, an NVDIMM of {nvdimm}", qemu()?);
    configuration.extend(
        [
            ("machines", machine),
            ("NVDIMM", format!("a file in {DIRECTORY}: {}", computer::file_system(Path::new(DIRECTORY))?)),
            ("network", format!("{network}; virtio-net-pci")),
            ("protection", options.protection.to_string()),
            ("store", version()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    configuration.extend(session.description()?);
    Ok(configuration)
}

/// QEMU's name and version.
fn qemu() -> Result<String> {
    let output = Command::new(setup::QEMU.program).arg("--version").output().context("cannot run QEMU")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().context("QEMU does not say its version")?.replace("emulator version ", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_differ_in_their_link_alone() {
        let first = Hardware { smp: 2, memory: GIB, network: Network::Tap(tap::FIRST) };
        let second = first.beside();
        assert_eq!((second.smp, second.memory, second.network), (2, GIB, Network::Tap(tap::SECOND)));
        assert_ne!(tap::FIRST.guest, tap::SECOND.guest);
        let user = Hardware { network: Network::User, ..first }.beside();
        assert_eq!(user.network, Network::User);
    }

    #[test]
    fn the_way_is_the_network_itself_or_a_forwarder() {
        let direct = Way::to(Network::Tap(tap::FIRST), || panic!("nobody is needed")).unwrap();
        assert_eq!(direct.address, SocketAddr::from((tap::FIRST.guest, PORT)));
        let error = Way::to(Network::User, || bail!("not today")).err().unwrap().to_string();
        assert_eq!(error, "not today");
        assert!(
            Way::to(Network::None, || bail!("never asked")).err().unwrap().to_string().contains("without a network")
        );
    }
}
