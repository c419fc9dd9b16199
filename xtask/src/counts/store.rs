//! The store in a machine whose instructions are counted.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_trace::snapshot::{self, Block};
use libos_contract::protection::ProtectionChoice;
use tempfile::TempDir;

use super::code::Code;
use super::figures::Figure;
use super::frames::Frames;
use super::load::{Load, VALUE};
use super::tally::Tally;
use crate::forward::Forwarder;
use crate::image::PmemImage;
use crate::pool::put_keys;
use crate::qemu::{GuestTime, Machine, MachineOptions, Network, Plugin};
use crate::resp::Client;
use crate::size::{GIB, MIB};
use crate::tap::Tap;
use crate::traffic::Clients;

/// The port that the store listens on in the guest.
const PORT: u16 = 6379;
/// The length of the pool.
const POOL: u64 = GIB;
/// How long the store may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the guest executes nothing when it is at rest, and how often that is looked for.
const REST: (Duration, u32) = (Duration::from_millis(50), 200);

/// How the store is started.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// What protects the pool.
    pub protection: ProtectionChoice,
    /// How clients reach it.
    pub network: Network,
    /// How many keys it has.
    pub keys: u64,
}

/// A store that is counted.
pub struct Store {
    forwarder: Forwarder,
    code: Code,
    options: StoreOptions,
    socket: PathBuf,
    frames: PathBuf,
    // Ends before its network and its files.
    _machine: Machine,
    _tap: Option<Tap>,
    _directory: TempDir,
}

impl Store {
    /// Fills a pool and starts the store of this image on it.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(program: &Path, options: StoreOptions) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("holdfast-counts-").tempdir()?;
        let [pmem, socket, frames] = ["pmem0.img", "socket", "frames"].map(|name| directory.path().join(name));
        put_keys(&pmem, POOL, options.keys, VALUE)?;
        let tap = options.network.tap()?;
        let plugin = Plugin::own(vec![("mode", "count".into()), ("socket", socket.clone().into())], false)?;
        let machine = MachineOptions {
            image: program.to_owned(),
            name: "kvstore".to_owned(),
            memory: 256 * MIB,
            pmem: vec![PmemImage::open(&pmem, None)?],
            network: options.network,
            protection: options.protection,
            plugin: Some(plugin),
            time: GuestTime::Steady,
            frames: Some(frames.clone()),
            ..MachineOptions::default()
        };
        let machine = Machine::start(machine, None)?;
        let is_ready = |line: &str| line.starts_with("kvstore: ready").then_some(());
        if machine.console().wait_for_line(PATIENCE, is_ready).is_none() {
            let said = [machine.console().lines(), machine.console().diagnostics()].concat();
            bail!("the store does not get ready:\n{}", said.join("\n"));
        }
        let forwarder = machine.forward_any(PORT)?;
        // It costs as much as time passes, whatever the clients do.
        Client::connect(forwarder.address(), PATIENCE)?.configure("scrub-rate", "0")?;
        Ok(Self {
            forwarder,
            code: Code::load(program)?,
            options,
            socket,
            frames,
            _machine: machine,
            _tap: tap,
            _directory: directory,
        })
    }

    /// Counts a load of so many requests, after it has run for a while.
    ///
    /// # Errors
    /// When the store does not answer as it should.
    pub fn count(&mut self, load: Load, requests: u64) -> Result<Tally> {
        let mut clients = Clients::connect(load.traffic(self.options.keys), self.forwarder.address())?;
        clients.run(requests / 4)?;
        let (blocks, frames) = (self.at_rest()?, self.frames()?);
        clients.run(requests)?;
        let (blocks_after, frames_after) = (self.at_rest()?, self.frames()?);
        let mut tally = Tally::between(&blocks, &blocks_after, &mut self.code);
        tally.total[Figure::FramesIn] = frames_after.incoming - frames.incoming;
        tally.total[Figure::FramesOut] = frames_after.outgoing - frames.outgoing;
        Ok(tally)
    }

    /// Waits until the guest executes nothing, so that all that a load leads to has been done, and takes a snapshot.
    fn at_rest(&self) -> Result<Vec<Block>> {
        let (time, times) = REST;
        let executions = |blocks: &[Block]| blocks.iter().map(|block| block.executions).sum::<u64>();
        let mut last = self.snapshot()?;
        for _ in 0..times {
            thread::sleep(time);
            let next = self.snapshot()?;
            if executions(&next) == executions(&last) {
                return Ok(next);
            }
            last = next;
        }
        bail!("the guest does not come to rest")
    }

    fn frames(&self) -> Result<Frames> {
        Frames::count(&self.frames, matches!(self.options.network, Network::Tap(_)))
    }

    fn snapshot(&self) -> Result<Vec<Block>> {
        let mut text = String::new();
        UnixStream::connect(&self.socket)
            .and_then(|mut stream| stream.read_to_string(&mut text))
            .context("QEMU does not tell what it has counted")?;
        snapshot::read(&text).context("what QEMU tells of its counts is not whole")
    }
}
