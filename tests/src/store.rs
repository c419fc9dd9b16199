//! The store in a machine, with clients on this side.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use xtask::forward::Forwarder;
use xtask::guest;
use xtask::image::PmemImage;
use xtask::qemu::{Exit, Machine, MachineOptions, Network};
use xtask::size::MIB;

use crate::machine::{Outcome, PATIENCE, machine_of, outcome};
use crate::resp::Client;

/// The store's program.
const STORE: &str = "kvstore";
/// The port that the store listens on in the guest.
const PORT: u16 = 6379;

/// An image file for the store, empty at first. It goes away with this.
#[derive(Debug)]
pub struct StoreImage {
    path: PathBuf,
    length: u64,
    _directory: TempDir,
}

impl StoreImage {
    /// An image of `length` bytes.
    pub fn new(length: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { path: directory.path().join("pmem0.img"), length, _directory: directory }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The image, locked, for a machine.
    ///
    /// The lock belongs to an open file, of which a process has a copy between its fork and its exec. So just after a
    /// machine's end one that another test starts at that moment can still have the lock, for no longer than its
    /// start takes.
    pub fn open(&self) -> PmemImage {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match PmemImage::open(&self.path, Some(self.length)) {
                Ok(image) => return image,
                Err(error) if Instant::now() < deadline && error.to_string().contains("in use") => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{error:#}"),
            }
        }
    }
}

/// The options of a machine that runs the store on this image.
pub fn store_machine(image: PmemImage) -> MachineOptions {
    store_machine_of(guest::image(STORE).unwrap(), image)
}

/// The options of a machine that runs the store in `program` on this image.
pub fn store_machine_of(program: PathBuf, image: PmemImage) -> MachineOptions {
    MachineOptions { network: Network::User, memory: 256 * MIB, pmem: vec![image], ..machine_of(program, STORE, &[]) }
}

/// A store that accepts clients. Dropping it kills the machine.
#[derive(Debug)]
pub struct Store {
    forwarder: Forwarder,
    machine: Machine,
    program: PathBuf,
}

impl Store {
    /// Boots the store on this image and waits until it is ready.
    pub fn boot(image: &StoreImage) -> Self {
        Self::start(store_machine(image.open()))
    }

    /// Boots the store in this machine and waits until it is ready.
    pub fn start(options: MachineOptions) -> Self {
        Self::try_start(options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Store::start`], for who wants to go on without.
    ///
    /// # Errors
    /// When QEMU cannot start the machine, or the store does not get ready; the error has what the guest printed.
    pub fn try_start(options: MachineOptions) -> io::Result<Self> {
        let program = options.image.clone();
        let machine = Machine::start(options, None).map_err(|error| io::Error::other(format!("{error:#}")))?;
        if !becomes_ready(&machine) {
            let printed = machine.console().lines().join("\n");
            return Err(io::Error::other(format!("the store does not get ready:\n{printed}")));
        }
        let forwarder = machine.forward_any(PORT).map_err(|error| io::Error::other(format!("{error:#}")))?;
        Ok(Self { forwarder, machine, program })
    }

    /// The machine that it runs in.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.forwarder.address()
    }

    /// QEMU's process id.
    pub fn process_id(&self) -> u32 {
        self.machine.process_id()
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.address()).unwrap()
    }

    /// What followed `prefix` on the first line of the console that starts with it.
    pub fn printed(&self, prefix: &str) -> String {
        let lines = self.machine.console().lines();
        let found = lines.iter().find_map(|line| line.strip_prefix(prefix));
        found.unwrap_or_else(|| panic!("no line starts with `{prefix}`:\n{}", lines.join("\n"))).to_owned()
    }

    /// Kills the machine as a power cut would.
    pub fn kill(self) {
        assert_eq!(self.machine.kill(), Exit::Killed(9));
    }

    /// Presses the power button.
    pub fn press_power_button(&self) {
        self.machine.press_power_button().unwrap();
    }

    /// Waits for the end.
    pub fn wait(self) -> Outcome {
        outcome(&self.machine, &self.program)
    }
}

/// Waits until the store is ready. One that recovers a large pool tells how far it is; as long as it does, it is waited
/// for.
fn becomes_ready(machine: &Machine) -> bool {
    let mut told = 0;
    loop {
        let mut reports = 0;
        let news = machine.console().wait_for_line(PATIENCE, |line| {
            if line.starts_with("kvstore: recovering: ") {
                reports += 1;
                return (reports > told).then_some(false);
            }
            line.starts_with(&format!("kvstore: ready on port {PORT} (")).then_some(true)
        });
        match news {
            Some(false) => told += 1,
            ready => return ready.is_some(),
        }
    }
}
