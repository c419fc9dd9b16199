//! One run, from the boot of a store to the judgement of its images.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use xtask::image::PmemImage;
use xtask::qemu::{Exit, Machine, MachineOptions, Network, Protection};
use xtask::size::MIB;

use super::debugger::{Result, Unfollowed};
use super::inject::Injector;
use super::integrity::{Integrity, Mapping};
use super::judge::Judgement;
use super::load::Load;
use super::memory::Snapshot;
use super::moment::{self, MOST_WRITES, Quiet};
use super::places::{Places, WorkingSet};
use super::plan::Plan;
use super::record::{Ending, Group, Record};
use super::rights::RightsRegister;
use super::template::{FIRST_SEGMENT, Template, doctor};
use fastrand::Rng;

use crate::elf::Elf;
use crate::gdb::{Gdb, Register, StopPoint};
use crate::machine::{PATIENCE, machine_of};
use crate::store::Store;

/// The RAM of the guest.
const RAM: u64 = 64 * MIB;
/// How often the guest is stopped when its working set is looked for.
const SAMPLES: usize = 24;
/// How long a machine may take to end when its debugger's connection has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often the load's progress is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How many lines of the console are written down.
pub(super) const CONSOLE_LINES: usize = 6;

/// What all runs of a campaign have in common.
#[derive(Debug)]
pub struct Bench {
    image: PathBuf,
    elf: Elf,
    places: Places,
    template: Template,
    smp: u32,
}

/// Something that is done in a run besides its plan, of which it is known what has to come of it: for tests of
/// everything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certain {
    /// The next copy goes to the canary, instead of the plan's fault.
    CopyToCanary,
    /// One byte of the canary's image is changed after the run.
    CanaryChanged,
    /// Bytes of a record that was acknowledged before the run are changed after it.
    RecordChanged,
}

/// A booted store with its load and its debugger.
struct Subject {
    load: Load,
    gdb: Gdb,
    store: Store,
    pool: PathBuf,
    canary: PathBuf,
}

impl Bench {
    /// Prepares for runs of this guest image, with work files in `directory`.
    ///
    /// # Errors
    /// When the template of the images cannot be made.
    pub fn new(image: &Path, smp: u32, directory: &Path) -> io::Result<Self> {
        let elf = Elf::load(image);
        let places = Places::find(&elf);
        Ok(Self { image: image.to_owned(), places, elf, template: Template::make(directory)?, smp })
    }

    /// Finds out which functions a store under load is in.
    ///
    /// # Errors
    /// When the guest cannot be booted or followed.
    pub fn sample(&self) -> io::Result<WorkingSet> {
        let directory = work_directory()?;
        let Subject { load, mut gdb, store, .. } = self.boot(Protection::Pks, 1, directory.path())?;
        gdb.resume().map_err(io::Error::other)?;
        load.wait_for(100, PATIENCE);
        gdb.halt().map_err(io::Error::other)?;
        let set = WorkingSet::sample(&mut gdb, &self.places, SAMPLES, &[]).map_err(io::Error::other)?;
        load.end();
        drop(gdb);
        store.kill();
        drop(load.finish());
        Ok(set)
    }

    /// Boots a store on fresh images and puts it under load. The guest stands still.
    fn boot(&self, protection: Protection, load_seed: u64, directory: &Path) -> io::Result<Subject> {
        let [pool, canary] = self.template.copy(directory)?;
        let open = |path: &Path| PmemImage::open(path, None).map_err(|error| io::Error::other(format!("{error:#}")));
        let socket = directory.join("gdb");
        let options = MachineOptions {
            pmem: vec![open(&pool)?, open(&canary)?],
            protection: protection.into(),
            smp: self.smp,
            memory: RAM,
            gdb_socket: Some(socket.clone()),
            network: Network::User,
            ..machine_of(self.image.clone(), "kvstore", &[])
        };
        let store = Store::try_start(options)?;
        let load = Load::start(store.address(), load_seed, &self.template.ledger);
        let gdb = Gdb::connect(&socket, PATIENCE).map_err(io::Error::other)?;
        Ok(Subject { load, gdb, store, pool, canary })
    }

    /// Carries out a plan.
    ///
    /// # Errors
    /// When the store does not get under load: before the fault is injected nothing may go wrong.
    pub fn run(&self, plan: &Plan, group: Group, set: &WorkingSet, certain: Option<Certain>) -> io::Result<Record> {
        let began = Instant::now();
        let directory = work_directory()?;
        let protection = group.protection();
        let subject = self.boot(protection, plan.load_seed, directory.path())?;
        let Subject { load, mut gdb, store, pool, canary } = subject;
        let mut trial = Trial {
            bench: self,
            plan,
            machine: store.machine(),
            directory: directory.path(),
            register: RightsRegister::find(&self.elf, protection),
            protection,
            load: &load,
            certain,
            cpu: 1,
            record: Record::new(plan, group),
        };
        let printed = store.machine().console().lines().len();
        if let Err(error) = trial.carry_out(&mut gdb, set) {
            // The machine may end at any time once the fault is in; before that it must not.
            if trial.record.rip == 0 {
                return Err(io::Error::other(format!("run {} of {}: {error}", plan.run, group.name())));
            }
            trial.record.trouble = Some(error.to_string());
            trial.await_end();
        }
        let mut record = trial.record;
        load.end();
        drop(gdb);
        store.machine().kill();
        let lines = store.machine().console().lines();
        record.console = lines.into_iter().skip(printed).take(CONSOLE_LINES).collect();
        drop(store);
        record.writes[1] = load.acknowledged();
        let (ledger, complaints) = load.finish();
        record.complaints = complaints;
        match certain {
            Some(Certain::CanaryChanged) => doctor(&canary, 123_456, &[0])?,
            Some(Certain::RecordChanged) => doctor(&pool, FIRST_SEGMENT + 5000, &[0xff; 8])?,
            Some(Certain::CopyToCanary) | None => {}
        }
        let changes = self.template.changes([&pool, &canary])?;
        record.judgement = Judgement::new(&self.template, &pool, &changes, &ledger)?;
        record.outcome = record.decide();
        record.seconds = began.elapsed().as_secs_f64();
        Ok(record)
    }
}

/// A directory for the files of one run, in memory where there is such a place.
pub(super) fn work_directory() -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("holdfast-faults-");
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir())
}

/// One run under way.
struct Trial<'a> {
    bench: &'a Bench,
    plan: &'a Plan,
    machine: &'a Machine,
    directory: &'a Path,
    register: Option<RightsRegister>,
    protection: Protection,
    load: &'a Load,
    certain: Option<Certain>,
    cpu: u32,
    record: Record,
}

impl Trial<'_> {
    fn carry_out(&mut self, gdb: &mut Gdb, set: &WorkingSet) -> Result<()> {
        gdb.resume()?;
        self.load.wait_for(self.plan.writes_before, PATIENCE);
        if self.load.acknowledged() < self.plan.writes_before {
            return Err(Unfollowed("the load does not get going".into()));
        }
        gdb.halt()?;
        let enough = self.load.acknowledged() + MOST_WRITES;
        let reached = moment::reach(gdb, self.plan, set, 0, &|| self.load.acknowledged() >= enough)?;
        (self.cpu, self.record.moment_reached) = (reached.cpu, reached.planned);

        let snapshot = self.snapshot(gdb)?;
        let mapping = Mapping::of(&snapshot);
        self.record.before = self.integrity(gdb, &mapping, &snapshot)?;
        gdb.select(self.cpu)?;
        self.record.cpu = self.cpu;
        self.record.rip = gdb.registers()?.rip();
        self.record.writes[0] = self.load.acknowledged();
        let random = Rng::with_seed(self.plan.injection_seed);
        for &exit in &self.bench.places.exits {
            gdb.insert(StopPoint::Execution, exit)?;
        }
        let enough = self.load.acknowledged() + MOST_WRITES;
        let enough = || self.load.acknowledged() >= enough;
        let done = &mut self.record.injected;
        let injector = Injector::new(gdb, &self.bench.places, &snapshot, self.cpu, random, &enough, done)?;
        match self.certain {
            Some(Certain::CopyToCanary) => injector.copy_to(mapping.last() + 0x1000)?,
            _ => injector.inject(self.plan.kind)?,
        }
        drop(snapshot);
        gdb.resume()?;
        self.watch(gdb)?;
        self.load.end();
        if self.register.is_some() {
            let snapshot = self.snapshot(gdb)?;
            self.record.after = self.integrity(gdb, &mapping, &snapshot)?;
        }
        if let Ending::Exited(_) = self.record.ending {
            for &exit in &self.bench.places.exits {
                gdb.remove(StopPoint::Execution, exit)?;
            }
            gdb.resume()?;
            self.await_end();
        }
        Ok(())
    }

    fn snapshot(&self, gdb: &mut Gdb) -> Result<Snapshot> {
        gdb.select(self.cpu)?;
        let registers = gdb.registers()?;
        let (cr3, cr4) = (registers.get(Register::CR3), registers.get(Register::CR4));
        Ok(Snapshot::take(self.machine, RAM, self.directory, cr3, cr4)?)
    }

    fn integrity(&self, gdb: &mut Gdb, mapping: &Mapping, now: &Snapshot) -> Result<Option<Integrity>> {
        let Some(register) = &self.register else { return Ok(None) };
        Ok(Some(Integrity::check(gdb, register, self.protection, mapping, now)?))
    }

    /// Lets the guest run until it has done its work, has ended, or hangs; it stands still then. How it ended is
    /// written down.
    fn watch(&mut self, gdb: &mut Gdb) -> Result<()> {
        let wanted = self.record.writes[0] + self.plan.writes_after;
        // None of it when it is gone.
        let machine = self.machine;
        let worked = || machine.processor_time().unwrap_or_default();
        let mut quiet = Quiet::new(self.load.acknowledged(), worked());
        loop {
            if let Some(stop) = gdb.wait(LOOK)? {
                gdb.select(stop.cpu)?;
                self.cpu = stop.cpu;
                let place = gdb.register(Register::RIP)? as u64;
                if self.bench.places.exits.contains(&place) {
                    // With which status is known when it has.
                    self.record.ending = Ending::Exited(0);
                    return Ok(());
                }
                gdb.resume()?;
                continue;
            }
            let now = self.load.acknowledged();
            if now >= wanted {
                self.record.ending = Ending::Completed;
                break;
            }
            if self.load.is_over() {
                self.record.ending = Ending::Refused;
                break;
            }
            if quiet.hangs(now, worked) {
                self.record.ending = Ending::Hung;
                break;
            }
        }
        let stop = gdb.halt()?;
        self.cpu = stop.cpu;
        Ok(())
    }

    /// The machine has ended by itself, or is about to.
    fn await_end(&mut self) {
        self.record.ending = match self.machine.wait(LAST_WORDS) {
            Some(Exit::Guest(code)) => Ending::Exited(code),
            Some(_) => Ending::Lost,
            None => Ending::Unfollowed,
        };
    }
}
