//! The store in its machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::json;

use super::super::computer::Computer;
use super::super::server::{Contender, Server};
use super::{Hardware, NVDIMM, PATIENCE, PORT, Way};
use crate::image::PmemImage;
use crate::qemu::{Machine, MachineOptions, Network, ProtectionChoice};
use crate::size::MIB;
use crate::tap::Tap;

/// An image of the store.
#[derive(Clone, Debug)]
pub struct Store {
    /// What it is called.
    pub name: String,
    /// Its file.
    pub image: PathBuf,
    /// What protects the pool.
    pub protection: ProtectionChoice,
    /// What it runs on.
    pub hardware: Hardware,
}

impl Contender for Store {
    fn name(&self) -> &str {
        &self.name
    }

    fn command(&self) -> String {
        let Hardware { smp, memory, network } = self.hardware;
        let net = if matches!(network, Network::Tap(_)) { "tap" } else { "user" };
        let [memory, nvdimm] = [memory, NVDIMM].map(|bytes| bytes / MIB);
        format!(
            "cargo xtask run --release --smp {smp} --memory {memory}M --pmem FILE --pmem-size {nvdimm}M --net {net} \
             --protection {}",
            self.protection
        )
    }

    fn start(&self, directory: &Path, _: &Computer) -> Result<Box<dyn Server>> {
        let Hardware { smp, memory, network } = self.hardware;
        let tap = network.tap()?;
        let options = MachineOptions {
            image: self.image.clone(),
            name: "kvstore".to_owned(),
            smp,
            memory,
            pmem: vec![PmemImage::open(&directory.join("pmem0.img"), Some(NVDIMM))?],
            network,
            protection: self.protection,
            ..MachineOptions::default()
        };
        let machine = Machine::start(options, None)?;
        let is_ready = |line: &str| line.starts_with("kvstore: ready").then_some(());
        if machine.console().wait_for_line(PATIENCE, is_ready).is_none() {
            let said = [machine.console().lines(), machine.console().diagnostics()].concat();
            bail!("{} does not get ready:\n{}", self.name, said.join("\n"));
        }
        let way = Way::to(network, || machine.forward_any(PORT))?;
        Ok(Box::new(Running { way, machine, _tap: tap }))
    }
}

/// A machine with the store in it.
struct Running {
    way: Way,
    // Ends before its network.
    machine: Machine,
    _tap: Option<Tap>,
}

impl Server for Running {
    fn address(&self) -> SocketAddr {
        self.way.address
    }

    fn process(&self) -> u32 {
        self.machine.process_id()
    }

    fn pause(&mut self) -> Result<()> {
        self.machine.qmp_command("stop", json!({})).map(drop)
    }

    fn resume(&mut self) -> Result<()> {
        self.machine.qmp_command("cont", json!({})).map(drop)
    }
}
