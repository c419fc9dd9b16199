//! `cargo xtask bench recovery`: how long the store takes from its start to its first answer, after a crash and after a
//! clean shutdown, and how long Redis takes to read its append-only log on Linux in the same machine.
//!
//! Times are taken on this side, by what the machine prints and answers; beside them stands the processor time that
//! QEMU took, which other work on this computer changes less. What is read from pmem before the first answer is
//! counted, and exact.

mod linux;

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use pmem::{Device, Medium, Pool};
use serde_json::json;

use crate::forward::Forwarder;
use crate::guest::{self, Profile};
use crate::image::{ALIGNMENT, PmemImage};
use crate::pool::put_keys;
use crate::qemu::{Exit, Machine, MachineOptions};
use crate::resp::{Client, key};
use crate::setup::{self, toolchain::Choice};
use crate::size::MIB;

/// Bytes of a value. Keys have 16 bytes.
const VALUE: usize = 64;
/// The port that the store listens on in the guest.
const PORT: u16 = 6379;
/// How long a machine may take for anything.
const PATIENCE: Duration = Duration::from_secs(600);
/// The few keys that a clean start is compared with.
const FEW: u64 = 1000;
/// How much faster the store has to be than Redis.
const TARGET: f64 = 5.0;

/// A duration, and what QEMU took of the processor in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// On the clock, in seconds.
    pub seconds: f64,
    /// Processor time of QEMU, in seconds.
    pub cpu_seconds: f64,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovery {
    /// Keys in the store, and in Redis.
    pub keys: u64,
    /// Processors of the machine.
    pub smp: u32,
    /// From the machine's start to the first answer, after it was killed.
    pub crash: Spent,
    /// From the machine's start to the first answer, after a clean shutdown, with few keys and with all.
    pub clean: [Spent; 2],
    /// Bytes of pmem read from the pool's opening to the first answer, likewise.
    pub clean_bytes: [u64; 2],
    /// From the start of Redis (not of Linux) to its first answer. `None` if that was not asked for.
    pub redis: Option<Spent>,
}

impl Recovery {
    /// How much longer Redis takes, on the clock.
    pub fn factor(&self) -> Option<f64> {
        self.redis.map(|redis| redis.seconds / self.crash.seconds)
    }

    /// Whether the store is as fast as it is to be.
    pub fn keeps_target(&self) -> bool {
        self.factor().is_none_or(|factor| factor >= TARGET)
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let spent = |spent: Spent| json!({ "seconds": spent.seconds, "qemu_cpu_seconds": spent.cpu_seconds });
        json!({
            "keys": self.keys,
            "key_bytes": 16,
            "value_bytes": VALUE,
            "processors": self.smp,
            "store_after_crash": spent(self.crash),
            "store_after_shutdown": {
                "keys": [FEW, self.keys],
                "first_answer": self.clean.map(spent),
                "pmem_bytes_read": self.clean_bytes,
            },
            "redis_from_log": self.redis.map(spent),
            "factor": self.factor(),
        })
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, what: &str, spent: Spent| {
            writeln!(f, "{what:66} {:8.2} {:8.2}", spent.seconds, spent.cpu_seconds)
        };
        let (keys, smp) = (self.keys, self.smp);
        writeln!(f, "keys of 16 bytes, values of {VALUE} bytes; QEMU's TCG, {smp} processors in the machine")?;
        writeln!(f, "{:66} {:>8} {:>8}", "seconds to the first answer", "clock", "cpu")?;
        line(f, &format!("store, {keys} keys, from the machine's start after SIGKILL"), self.crash)?;
        line(f, &format!("store, {FEW} keys, from the machine's start after a shutdown"), self.clean[0])?;
        line(f, &format!("store, {keys} keys, from the machine's start after a shutdown"), self.clean[1])?;
        if let Some(redis) = self.redis {
            line(f, &format!("Redis, {keys} keys, from its own start on Linux, append-only log"), redis)?;
        }
        let [few, all] = self.clean_bytes;
        writeln!(
            f,
            "bytes of pmem read before the first answer after a shutdown: {few} with {FEW} keys, {all} with {keys}"
        )?;
        match self.factor() {
            Some(factor) => {
                write!(f, "Redis takes {factor:.1} times as long as the store after a crash (to be: {TARGET})")
            }
            None => write!(f, "Redis was not measured"),
        }
    }
}

/// Measures.
///
/// # Errors
/// When something is missing, or a machine does not do what it should.
pub fn measure(keys: u64, smp: u32, redis: bool, choice: Choice) -> Result<Recovery> {
    let toolchain = setup::ensure(choice, &[setup::QEMU])?;
    let image = guest::build(&toolchain, &["kvstore"], Profile::Release)?.join("kvstore");
    let directory = tempfile::Builder::new().prefix("holdfast-recovery-").tempdir()?;
    let store = Store { program: &image, smp };

    let many = directory.path().join("many.img");
    let size = (keys * 384).next_multiple_of(ALIGNMENT).max(64 * MIB);
    put_keys(&many, size, keys, VALUE)?;
    // A machine takes a write, and is killed.
    let (machine, mut connection, _) = store.start(&many, 0)?;
    connection.client.set(&key(keys), "written before the crash")?;
    if machine.kill() != Exit::Killed(9) {
        bail!("the machine ended by itself");
    }
    // The image is free only without the machine that had it.
    drop(machine);
    let (machine, mut connection, crash) = store.start(&many, keys - 1)?;
    if connection.client.get(&key(keys))? != b"written before the crash" {
        bail!("an acknowledged write is lost");
    }
    store.shut_down(machine, connection)?;
    let few = directory.path().join("few.img");
    put_keys(&few, size, FEW, VALUE)?;
    let (machine, connection, _) = store.start(&few, 0)?;
    store.shut_down(machine, connection)?;

    let mut clean = Vec::new();
    let mut clean_bytes = Vec::new();
    for (file, keys) in [(&few, FEW), (&many, keys)] {
        clean_bytes.push(bytes_read(file, keys)?);
        let (machine, _, spent) = store.start(file, keys / 2)?;
        machine.kill();
        clean.push(spent);
    }
    let redis = if redis { Some(linux::measure(keys, smp)?) } else { None };
    Ok(Recovery { keys, smp, crash, clean: [clean[0], clean[1]], clean_bytes: [clean_bytes[0], clean_bytes[1]], redis })
}

/// Opens the pool of a file as the store does, gets one key, and says how much was read until then. Changes nothing.
fn bytes_read(path: &Path, keys: u64) -> Result<u64> {
    let mut pool = Pool::open(Device::open_copy_on_write(path)?)?;
    let mut value = Vec::new();
    let (found, _durable) = pool.turn(|turn| turn.get(key(keys / 2).as_bytes(), &mut value))?;
    if found?.is_none() {
        bail!("a key is not there");
    }
    Ok(pool.medium().counters().bytes_loaded)
}

/// How the store is started.
struct Store<'a> {
    program: &'a Path,
    smp: u32,
}

impl Store<'_> {
    /// Starts a machine on this file, and gets a key. Returns how long that took.
    fn start(&self, file: &Path, number: u64) -> Result<(Machine, Connection, Spent)> {
        let options = MachineOptions {
            image: self.program.to_path_buf(),
            name: "kvstore".to_owned(),
            memory: 512 * MIB,
            smp: self.smp,
            pmem: vec![PmemImage::open(file, None)?],
            ..MachineOptions::default()
        };
        let begun = Instant::now();
        let machine = Machine::start(options, None)?;
        let is_ready = |line: &str| line.starts_with("kvstore: ready").then_some(());
        if machine.console().wait_for_line(PATIENCE, is_ready).is_none() {
            bail!("the store does not get ready:\n{}", machine.console().lines().join("\n"));
        }
        let forwarder = machine.forward_any(PORT)?;
        let mut client = Client::connect(forwarder.address(), PATIENCE)?;
        if client.get(&key(number))? != [b'x'; VALUE] {
            bail!("a key has another value than it was given");
        }
        let spent =
            Spent { seconds: begun.elapsed().as_secs_f64(), cpu_seconds: machine.processor_time()?.as_secs_f64() };
        Ok((machine, Connection { client, _forwarder: forwarder }, spent))
    }

    /// Shuts the store down cleanly.
    fn shut_down(&self, machine: Machine, connection: Connection) -> Result<()> {
        machine.press_power_button()?;
        match machine.wait(PATIENCE) {
            Some(Exit::Guest(0)) => {
                drop(connection);
                Ok(())
            }
            other => bail!("the store does not stop: {other:?}\n{}", machine.console().lines().join("\n")),
        }
    }
}

/// A connection into a machine, and who carries it there.
struct Connection {
    client: Client,
    _forwarder: Forwarder,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_decides() {
        let spent = |seconds| Spent { seconds, cpu_seconds: seconds };
        let recovery = |redis| Recovery {
            keys: 10,
            smp: 1,
            crash: spent(2.0),
            clean: [spent(1.0); 2],
            clean_bytes: [1, 2],
            redis,
        };
        assert!(recovery(Some(spent(10.0))).keeps_target() && !recovery(Some(spent(9.0))).keeps_target());
        assert!(recovery(None).keeps_target());
        assert!(recovery(Some(spent(9.0))).to_string().contains("4.5 times"));
    }

    #[test]
    fn what_is_read_before_the_first_answer_does_not_grow_with_the_keys() {
        let directory = tempfile::tempdir().unwrap();
        let read = [20_000, 160_000].map(|keys| {
            let file = directory.path().join(keys.to_string());
            put_keys(&file, 64 * MIB, keys, VALUE).unwrap();
            Pool::open(Device::open(&file).unwrap()).unwrap().close().unwrap();
            bytes_read(&file, keys).unwrap()
        });
        assert!(read[0].abs_diff(read[1]) < MIB, "{read:?}");
    }
}
