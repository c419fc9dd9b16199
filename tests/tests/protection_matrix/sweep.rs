//! A non-maskable interrupt at every single instruction of a change of the register: of a plain change, of whole
//! grants, of switches between threads, and of a fault with its handler.
//!
//! The guest does the same change again and again, between two places where a debugger stops it. The change is stepped
//! through until two rounds in a row take the same path. Then, once for every instruction on the path, the guest is
//! stopped just before that instruction, gets a non-maskable interrupt, which is seen to arrive exactly there, and goes
//! on. Around each write of the register there are also two in a row. The handler tries a store to persistent memory.
//! The guest judges each round: the store has faulted, and the thread has exactly its rights afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use holdfast_tests::elf::Elf;
use holdfast_tests::gdb::{self, Gdb, Register, StepMode, StopPoint};
use holdfast_tests::machine::{PATIENCE, outcome};
use libtest_mimic::Trial;
use xtask::qemu::{Machine, Protection};

use crate::shared::{keys, verdict};
use crate::trial;

/// The cases. Each has a machine of its own.
pub(crate) const CASES: &[&str] = &[
    "ours::nmi_while_opening",
    "ours::nmi_while_closing",
    "ours::nmi_while_narrowing",
    "ours::nmi_while_widening",
    "ours::nmi_while_exchanging",
    "ours::nmi_while_skipping",
    "ours::nmi_in_a_whole_grant",
    "ours::nmi_in_a_nested_grant",
    "ours::nmi_in_a_fault",
    "ours::nmi_in_a_switch_to_less",
    "ours::nmi_in_a_switch_to_more",
];

/// The one of them that changes nothing.
const SKIPS: &str = "ours::nmi_while_skipping";

/// The longest path of which every instruction is tried. On a longer one those near a write of the register are, and
/// every seventh.
const WHOLE_PATH: usize = 600;
/// Rounds before the path is written down: a first fault makes notes that later ones find.
const WARM_UP: usize = 3;
/// How near.
const NEAR: usize = 12;
/// How often an instruction is looked for. Where a ring of notes begins anew, a round takes another way.
const TRIES: usize = 8;

/// The tests of these cases.
pub(crate) fn trials(backend: Protection) -> Vec<Trial> {
    let test = |case: &'static str| trial(format!("{}::{case}", backend.word()), move || run(backend, case));
    CASES.iter().map(|case| test(case)).collect()
}

fn run(backend: Protection, case: &str) -> Result<(), String> {
    let (mut options, directory) = keys(backend, &[case]);
    let socket = directory.path().join("gdb");
    options.gdb_socket = Some(socket.clone());
    let image = options.image.clone();
    let stub = Elf::load(&image).address("trap_stubs") + NMI_VECTOR * STUB_SIZE;
    let machine = Machine::start(options, None).map_err(|error| format!("{error:#}"))?;
    let places = machine.console().wait_for_line(PATIENCE, Places::parse).ok_or("the guest does not begin")?;
    let swept = Sweep::new(&machine, &socket, places, stub, backend).and_then(|sweep| sweep.run(case == SKIPS));
    let points = match swept {
        Ok(points) => points,
        Err(error) => {
            // A guest that has found something ends the rounds by itself, and says what. Another one is stopped.
            machine.wait(LAST_WORDS);
            machine.kill();
            let said = verdict(&outcome(&machine, &image), case).err();
            return Err(format!("{}; the debugger: {error}", said.unwrap_or_default()));
        }
    };
    let outcome = outcome(&machine, &image);
    let counted = format!(", {points} NMIs");
    verdict(&outcome, case)?;
    if !outcome.lines().any(|line| line.starts_with("sweep: ") && line.ends_with(&counted)) {
        return Err(format!("the guest has not seen {points} NMIs:\n{outcome}"));
    }
    Ok(())
}

/// How long a guest may take to say what it has found, when the debugger lets it go too early.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Each vector's stub has this many bytes; that of the non-maskable interrupt is the third.
const STUB_SIZE: u64 = 16;
const NMI_VECTOR: u64 = 2;

/// What the guest says of itself.
#[derive(Clone, Copy)]
struct Places {
    begin: u64,
    end: u64,
    more: u64,
}

impl Places {
    /// Reads `sweep: begin 0x1 end 0x2 more 0x3`.
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.strip_prefix("sweep: begin ")?.split(' ').collect();
        let number = |index: usize| u64::from_str_radix(words.get(index)?.strip_prefix("0x")?, 16).ok();
        Some(Self { begin: number(0)?, end: number(2)?, more: number(4)? })
    }
}

/// An instruction on the path: where it is, how deep the stack is there, and whether it writes the register.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Point {
    rip: u64,
    rsp: u64,
    writes: bool,
}

/// A sweep under way. Between any two of its functions the guest stands still.
struct Sweep<'m> {
    machine: &'m Machine,
    gdb: Gdb,
    places: Places,
    stub: u64,
    backend: Protection,
}

/// What goes wrong here is a sentence.
type Result<T, E = String> = std::result::Result<T, E>;

fn told(error: gdb::GdbError) -> String {
    error.to_string()
}

impl<'m> Sweep<'m> {
    fn new(machine: &'m Machine, socket: &Path, places: Places, stub: u64, backend: Protection) -> Result<Self> {
        let mut gdb = Gdb::connect(socket, PATIENCE).map_err(told)?;
        gdb.set_step_mode(StepMode::ALONE).map_err(told)?;
        Ok(Self { machine, gdb, places, stub, backend })
    }

    /// Sweeps over the whole path; how many interrupts were injected. If the change `skips` the write, the path has
    /// none.
    fn run(mut self, skips: bool) -> Result<usize> {
        for _ in 0..WARM_UP {
            self.run_to(self.places.begin)?;
        }
        let path = self.usual_path()?;
        let writes: Vec<usize> = (0..path.len()).filter(|&at| path[at].writes).collect();
        if writes.is_empty() != skips {
            return Err(format!("{} instructions of {} write the register", writes.len(), path.len()));
        }
        let near = |at: usize| writes.iter().any(|&write| at.abs_diff(write) <= NEAR);
        let chosen: Vec<usize> =
            (0..path.len()).filter(|&at| path.len() <= WHOLE_PATH || near(at) || at % 7 == 0).collect();
        let mut injected = 0;
        for &at in &chosen {
            let mut there = false;
            for _ in 0..TRIES {
                self.run_to(self.places.begin)?;
                there = self.go_to(&path, at)?;
                if there {
                    self.inject(path[at])?;
                    injected += 1;
                    break;
                }
            }
            if !there {
                return Err(format!("instruction {at} of the path, at {:#x}, is not found again", path[at].rip));
            }
        }
        for &write in &writes {
            self.run_to(self.places.begin)?;
            if self.go_to(&path, write)? {
                injected += self.inject_twice(&path[write])?;
            }
        }
        self.run_to(self.places.begin)?;
        self.gdb.write(self.places.more, &[0; 4]).map_err(told)?;
        self.gdb.detach().map_err(told)?;
        Ok(injected)
    }

    /// Lets the guest run until it comes to `address`.
    fn run_to(&mut self, address: u64) -> Result<()> {
        if self.comes_to(address, None)? {
            return Ok(());
        }
        let here = self.here()?;
        Err(format!("the guest does not come to {address:#x}; it is at {:#x}", here.rip))
    }

    /// Lets the guest run until it comes to `address`, with the stack as deep as given, if that matters; false if it
    /// does not come there, or only as somebody else, such as an interrupt that uses the same function.
    fn comes_to(&mut self, address: u64, rsp: Option<u64>) -> Result<bool> {
        // Where it stands there already, it is the next time that is meant.
        if self.here()?.rip == address {
            self.gdb.step(1).map_err(told)?;
        }
        for _ in 0..TRIES {
            self.gdb.insert(StopPoint::Execution, address).map_err(told)?;
            self.gdb.resume().map_err(told)?;
            let stop = self.gdb.wait(ON_THE_WAY).map_err(told)?;
            if stop.is_none() {
                self.gdb.halt().map_err(told)?;
            }
            self.gdb.remove(StopPoint::Execution, address).map_err(told)?;
            if stop.is_none() {
                return Ok(false);
            }
            let here = self.here()?;
            if here.rip != address {
                return Err(format!("the guest stops at {:#x} instead of {address:#x}", here.rip));
            }
            if rsp.is_none_or(|rsp| rsp == here.rsp) {
                return Ok(true);
            }
            self.gdb.step(1).map_err(told)?;
        }
        Ok(false)
    }

    /// Where the guest stands.
    fn here(&mut self) -> Result<Point> {
        let registers = self.gdb.registers().map_err(told)?;
        let rip = registers.rip();
        let code = self.gdb.read(rip, 3).map_err(told)?;
        let writes = match self.backend {
            Protection::Pku => code == [0x0f, 0x01, 0xef],
            _ => code[..2] == [0x0f, 0x30] && registers.get(Register::RCX) as u32 == IA32_PKRS,
        };
        Ok(Point { rip, rsp: registers.get(Register::RSP), writes })
    }

    /// The path that two rounds in a row have taken: in the first ones, threads of the library's may still have to
    /// begin.
    fn usual_path(&mut self) -> Result<Vec<Point>> {
        let mut path = self.path()?;
        for _ in 0..TRIES {
            self.run_to(self.places.begin)?;
            let again = self.path()?;
            if again == path && !path.is_empty() {
                return Ok(path);
            }
            path = again;
        }
        Err("no two rounds in a row take the same way".into())
    }

    /// Steps from the beginning to the end and notes each instruction on the way; nothing if the end is far away this
    /// time.
    fn path(&mut self) -> Result<Vec<Point>> {
        let mut path = Vec::new();
        loop {
            let here = self.here()?;
            if here.rip == self.places.end {
                return Ok(path);
            }
            path.push(here);
            if path.len() == LONGEST_PATH {
                return Ok(Vec::new());
            }
            self.gdb.step(1).map_err(told)?;
        }
    }

    /// Goes from the beginning to the instruction with this number on the path: to the last one before it that is on
    /// the path only once, and by steps from there. False if the guest has taken another way this time, as where a
    /// ring of notes begins anew.
    fn go_to(&mut self, path: &[Point], at: usize) -> Result<bool> {
        let mut times = BTreeMap::new();
        path.iter().for_each(|point| *times.entry(point.rip).or_insert(0) += 1);
        let from = (1..=at).rev().find(|&before| times[&path[before].rip] == 1);
        if let Some(from) = from
            && !self.comes_to(path[from].rip, Some(path[from].rsp))?
        {
            return Ok(false);
        }
        for _ in from.unwrap_or(0)..at {
            self.gdb.step(1).map_err(told)?;
        }
        Ok(self.here()? == path[at])
    }

    /// Injects one before a write of the register, and another one right after it: the first must not leave behind that
    /// the CPU's memory is true, since the write is still under way.
    fn inject_twice(&mut self, write: &Point) -> Result<usize> {
        self.inject(*write)?;
        if !self.comes_to(write.rip, Some(write.rsp))? {
            return Err(format!("the interrupt does not return to {:#x}", write.rip));
        }
        self.gdb.step(1).map_err(told)?;
        let after = self.here()?;
        self.inject(after)?;
        Ok(2)
    }

    /// Injects a non-maskable interrupt here, and sees it arrive before another instruction is executed.
    fn inject(&mut self, here: Point) -> Result<()> {
        self.machine.inject_nmi().map_err(|error| format!("{error:#}"))?;
        self.run_to(self.stub)?;
        let stack = self.gdb.registers().map_err(told)?.get(Register::RSP);
        let interrupted = self.gdb.read_u64(stack).map_err(told)?;
        if interrupted == here.rip {
            Ok(())
        } else {
            Err(format!("the interrupt comes at {interrupted:#x} and not at {:#x}", here.rip))
        }
    }
}

/// The register's number among the MSRs.
const IA32_PKRS: u32 = 0x6e1;

/// How long the guest may take to a place on its path, which is a few microseconds away.
const ON_THE_WAY: Duration = Duration::from_secs(10);

/// More steps than any change takes.
const LONGEST_PATH: usize = 4_000;
