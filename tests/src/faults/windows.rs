//! How small the open windows are: instructions that the guest executes while it could write to persistent memory,
//! counted one by one.
//!
//! A count, and exact: one virtual CPU goes from the instruction after the one that opens the window to the one that
//! closes it, step by step, with interrupts off, which would close the window too. It is a property of the code and not
//! of the emulator.

use std::fmt;
use std::thread;
use std::time::Duration;

use libos_contract::rights::Access;
use serde::Serialize;
use xtask::guest;
use xtask::qemu::{MachineOptions, Protection};
use xtask::size::MIB;

use super::rights::RightsRegister;
use crate::elf::Elf;
use crate::gdb::{Gdb, Register, Result, StepMode, StopPoint};
use crate::machine::PATIENCE;
use crate::resp::{Client, Reply, encode};
use crate::store::{Store, StoreImage, store_machine_of};

/// The key of the device that the store is on: the first that is given out.
const KEY: u8 = 1;
/// How many steps a window may take before the count is given up.
const MOST_STEPS: u64 = 1_000_000;

/// The windows in which some commands were executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Windows {
    /// How many SETs the client sent at once.
    pub commands: u64,
    /// The bytes of each value.
    pub value: u64,
    /// Instructions executed while the device could be written to, for each window.
    pub instructions: Vec<u64>,
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.instructions.iter().sum();
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let windows = self.instructions.len() as u64;
        write!(
            f,
            "{} SET{} of {} bytes: {windows} window{}, {total} instructions while writable, {:.1} for each SET",
            self.commands,
            plural(self.commands),
            self.value,
            plural(windows),
            total as f64 / self.commands as f64
        )
    }
}

/// Counts for one SET and for sixteen in a pipeline, with values of 64 bytes, on a store that was used before.
///
/// # Errors
/// When the guest cannot be followed.
pub fn measure(protection: Protection) -> Result<Vec<Windows>> {
    let (image, directory) = (StoreImage::new(64 * MIB), tempfile::tempdir().expect("a temporary directory"));
    let socket = directory.path().join("gdb");
    let options = MachineOptions {
        gdb_socket: Some(socket.clone()),
        protection: protection.into(),
        smp: 1,
        ..store_machine_of(guest::quick_image("kvstore").unwrap(), image.open())
    };
    let elf = Elf::load(&options.image);
    let register = RightsRegister::find(&elf, protection).expect("there is no window without protection");
    let store = Store::start(options);
    let mut client = store.client();
    for round in 0..4 {
        assert_eq!(client.set("key", &[b'a' + round; 64]), Reply::ok());
    }
    let mut gdb = Gdb::connect(&socket, PATIENCE)?;
    gdb.set_step_mode(StepMode::ALONE)?;
    for &place in register.write_places() {
        gdb.insert(StopPoint::Execution, place)?;
    }
    let mut follower = Follower { gdb, register };
    let mut counts = Vec::new();
    for commands in [1, 16] {
        let writer = thread::spawn(move || {
            write(&mut client, commands);
            client
        });
        let instructions = follower.follow(|| writer.is_finished())?;
        client = writer.join().expect("the writer has its replies");
        counts.push(Windows { commands, value: 64, instructions });
    }
    Ok(counts)
}

fn write(client: &mut Client, commands: u64) {
    let request: Vec<u8> =
        (0..commands).flat_map(|number| encode(&[b"SET", format!("key{number}").as_bytes(), &[b'x'; 64]])).collect();
    client.send(&request).expect("the store takes commands");
    for _ in 0..commands {
        assert_eq!(client.reply().expect("the store replies"), Reply::ok());
    }
}

struct Follower {
    gdb: Gdb,
    register: RightsRegister,
}

impl Follower {
    /// Lets the guest run until `done`, and returns the length of each window.
    fn follow(&mut self, done: impl Fn() -> bool) -> Result<Vec<u64>> {
        let mut windows = Vec::new();
        self.gdb.resume()?;
        loop {
            match self.gdb.wait(Duration::from_millis(20))? {
                Some(stop) => {
                    self.gdb.select(stop.cpu)?;
                    if self.is_opening()? {
                        windows.push(self.count(stop.cpu)?);
                    }
                    self.pass(stop.cpu)?;
                    self.gdb.resume()?;
                }
                None if done() => {
                    self.gdb.halt()?;
                    return Ok(windows);
                }
                None => {}
            }
        }
    }

    /// Whether the CPU is about to make the device writable.
    fn is_opening(&mut self) -> Result<bool> {
        let rights = self.register.about_to_write(&mut self.gdb)?;
        Ok(rights.is_some_and(|rights| rights.access(KEY) == Access::Write))
    }

    /// Executes the instruction at a stop point.
    fn pass(&mut self, cpu: u32) -> Result<()> {
        let place = self.gdb.register(Register::RIP)? as u64;
        self.gdb.remove(StopPoint::Execution, place)?;
        self.gdb.step(cpu)?;
        self.gdb.insert(StopPoint::Execution, place)
    }

    /// Steps from the instruction that opens the window to before the one that closes it. The closing one is executed
    /// while the window is open and counts; the opening one does not.
    fn count(&mut self, cpu: u32) -> Result<u64> {
        self.pass(cpu)?;
        for steps in 1..MOST_STEPS {
            let place = self.gdb.register(Register::RIP)? as u64;
            if !self.register.write_places().contains(&place) {
                self.gdb.step(cpu)?;
                continue;
            }
            let rights = self.register.about_to_write(&mut self.gdb)?;
            if rights.is_some_and(|rights| rights.access(KEY) != Access::Write) {
                return Ok(steps);
            }
            self.pass(cpu)?;
        }
        panic!("the window does not close within {MOST_STEPS} instructions");
    }
}
