//! A store that is a process, followed from outside, with a second device that it knows nothing of: the canary.
//!
//! The canary is mapped into the store by system calls that it is made to do, under a protection key of its own, to
//! which no thread ever gets rights. It is no device of Holdfast's, so all that keeps stores out of it is that nobody
//! opens its key.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use libos_contract::rights::{Access, Rights};

use super::maps::{Mapping, maps};
use super::memory::Image;
use super::process::Process;
use crate::faults::debugger::{Debugger, Result, Unfollowed};
use crate::faults::integrity::{CANARY_KEY, Integrity, POOL_KEY};
use crate::faults::record::Group;
use crate::faults::template::LENGTH;
use crate::gdb::Register;

/// What a store's line begins with when it serves clients.
const READY: &str = "kvstore: ready on port ";
/// How far below a stack's end a path is put for a moment.
const BELOW: u64 = 1024;
/// How long a store without clients may take until it waits, and how long it runs between two looks.
const SETTLING: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_millis(20);
/// `pkey_alloc`'s right to nothing.
const CLOSED: u64 = 1;

/// See above.
#[derive(Debug)]
pub struct Store {
    /// The process.
    pub process: Process,
    /// Where clients connect to. No other store has ever had this address.
    pub address: SocketAddr,
    /// What is added to the addresses in the program's file.
    pub bias: u64,
    /// Where the pool's device and the canary are.
    pub devices: [Range<u64>; 2],
    /// How both are mapped.
    mapped: Vec<Mapping>,
    group: Group,
    files: [PathBuf; 2],
    errors: PathBuf,
    _output: BufReader<ChildStdout>,
}

/// From now on, programs that this process starts have the same addresses each time.
///
/// # Errors
/// When the kernel does not let it have that.
pub fn keep_addresses() -> io::Result<()> {
    // SAFETY: it changes how programs are loaded, and nothing of this one, which is.
    match unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

impl Store {
    /// Starts the program on these files, the pool's and the canary's, and stops it when it serves. What it writes to
    /// its error output goes to a file in `directory`.
    ///
    /// # Errors
    /// When it does not serve, or cannot be followed.
    pub fn start(program: &Path, files: [PathBuf; 2], group: Group, at: Ipv4Addr, directory: &Path) -> Result<Self> {
        let errors = directory.join("errors");
        let mut command = Command::new(program);
        command.arg("--pmem").arg(&files[0]).args(["--protection", group.name(), "--port", "0"]);
        command.args(["--bind", &at.to_string()]);
        // Names of functions take longer to find than all else in a run takes; a stray's report has them in any case.
        command.env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&errors)?);
        let mut child = command.spawn()?;
        let Some(output) = child.stdout.take() else { return Err(Unfollowed("the store has no output".into())) };
        let mut output = BufReader::new(output);
        let mut line = String::new();
        let port = loop {
            line.clear();
            if output.read_line(&mut line)? == 0 {
                let said = fs::read_to_string(&errors).unwrap_or_default();
                return Err(Unfollowed(format!("the store does not serve: {}", said.trim())));
            }
            if let Some(rest) = line.strip_prefix(READY) {
                break rest.split(' ').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or_default();
            }
        };
        let process = Process::seize(child.id())?;
        let program = program.canonicalize()?;
        let is_first = |map: &&Mapping| Path::new(&map.name) == program;
        let bias = maps(child.id())?.iter().find(is_first).map_or(0, |map| map.range.start);
        let devices = [0..0, 0..0];
        let address = SocketAddr::from((at, port));
        let mut store =
            Self { process, address, bias, devices, mapped: Vec::new(), group, files, errors, _output: output };
        store.map_canary()?;
        store.mapped = store.device_maps()?;
        for (device, file) in store.devices.iter_mut().zip(&store.files) {
            let map = store.mapped.iter().find(|map| Path::new(&map.name) == file);
            *device = map.ok_or_else(|| Unfollowed(format!("{} is not mapped", file.display())))?.range.clone();
        }
        let keys: Vec<u8> = store.mapped.iter().map(|map| map.key).collect();
        if group.is_protected() && (!keys.contains(&POOL_KEY) || !keys.contains(&CANARY_KEY)) {
            return Err(Unfollowed(format!("the devices have other keys: {:?}", store.mapped)));
        }
        Ok(store)
    }

    /// Has the store map the canary.
    fn map_canary(&mut self) -> Result<()> {
        self.process.select(1)?;
        let below = (self.process.register(Register::RSP)? - BELOW) & !7;
        let mut path = self.files[1].as_os_str().as_encoded_bytes().to_vec();
        path.push(0);
        let kept = self.process.read(below, path.len())?;
        self.process.write(below, &path)?;
        let (at, flags) = (libc::AT_FDCWD as u64, libc::O_RDWR as u64);
        let file = self.process.call(libc::SYS_openat, [at, below, flags, 0, 0, 0]);
        self.process.write(below, &kept)?;
        let (file, access) = (file?, (libc::PROT_READ | libc::PROT_WRITE) as u64);
        let map = [0, LENGTH, access, libc::MAP_SHARED as u64, file, 0];
        let start = self.process.call(libc::SYS_mmap, map)?;
        self.process.call(libc::SYS_close, [file, 0, 0, 0, 0, 0])?;
        if self.group.is_protected() {
            let key = self.process.call(libc::SYS_pkey_alloc, [0, CLOSED, 0, 0, 0, 0])?;
            self.process.call(libc::SYS_pkey_mprotect, [start, LENGTH, access, key, 0, 0])?;
        }
        Ok(())
    }

    /// The maps of both devices, wherever they are.
    fn device_maps(&self) -> Result<Vec<Mapping>> {
        let mut maps = maps(self.process.pid())?;
        maps.retain(|map| self.files.iter().any(|file| Path::new(&map.name) == file));
        Ok(maps)
    }

    /// Lets it run until its first thread waits in the kernel, as it does between requests, without any rights to a
    /// device. It stands still then.
    ///
    /// # Errors
    /// When it does not wait, or has rights then.
    pub fn settle(&mut self) -> Result<()> {
        let deadline = Instant::now() + SETTLING;
        while !self.process.is_idle(1)? {
            if Instant::now() >= deadline {
                return Err(Unfollowed("the store does not come to rest".into()));
            }
            self.process.resume()?;
            self.process.wait(REST)?;
            self.process.halt()?;
        }
        if self.group.is_protected() {
            let rights = Rights::from_bits(self.process.rights(1)?);
            if [POOL_KEY, CANARY_KEY].iter().any(|&key| rights.access(key) != Access::Closed) {
                return Err(Unfollowed(format!("the store has rights while it waits: {rights:?}")));
            }
        }
        Ok(())
    }

    /// Its memory. Everything stands still.
    ///
    /// # Errors
    /// When it is gone.
    pub fn image(&mut self) -> Result<Image> {
        let mut tops = Vec::new();
        for thread in self.process.cpus()? {
            self.process.select(thread)?;
            tops.push(self.process.register(Register::RSP)?);
        }
        let memory = File::open(format!("/proc/{}/mem", self.process.pid()))?;
        Ok(Image::new(&maps(self.process.pid())?, memory, tops))
    }

    /// Whether protection is as it should be: no thread has rights to the canary's key, and both devices are mapped
    /// where they were, with their keys, and nowhere else. `None` without protection.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn integrity(&self) -> Result<Option<Integrity>> {
        if !self.group.is_protected() {
            return Ok(None);
        }
        let mut integrity = Integrity::default();
        let last = self.process.living().last().unwrap_or(0);
        integrity.rights = vec![None; last as usize];
        for thread in self.process.living() {
            let rights = self.process.rights(thread)?;
            integrity.rights[thread as usize - 1] = Some(rights);
            let access = Rights::from_bits(rights).access(CANARY_KEY);
            if access != Access::Closed {
                integrity.broken.push(format!("thread {thread}: the canary's key is open: {access:?}"));
            }
        }
        let now = self.device_maps()?;
        let fresh = now.iter().filter(|map| !self.mapped.contains(map));
        integrity.broken.extend(fresh.map(|map| format!("{:#x} is mapped otherwise: {map:x?}", map.range.start)));
        Ok(Some(integrity))
    }

    /// Whether a protection key has denied an access to a device. Elsewhere one denies what it should not: rights that
    /// were spoilt, and are nobody's protection.
    pub fn was_denied(&self) -> bool {
        let is_device = |address: &u64| self.devices.iter().any(|device| device.contains(address));
        self.process.denied().iter().any(is_device)
    }

    /// What it has written to its error output.
    pub fn errors(&self) -> Vec<String> {
        let text = fs::read(&self.errors).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }
}
