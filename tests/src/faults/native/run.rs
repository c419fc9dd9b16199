//! One run, from the start of a store to the judgement of its files.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use libc::{SIGSEGV, WEXITSTATUS, WIFSIGNALED, WTERMSIG};
use libos_contract::report::FAULT;
use object::{Object, ObjectSymbol, RelocationTarget};
use tempfile::TempDir;

use super::store::{self, Store};
use crate::elf::Elf;
use crate::faults::debugger::{Debugger, Result, Unfollowed};
use crate::faults::inject::Injector;
use crate::faults::judge::Judgement;
use crate::faults::load::Load;
use crate::faults::moment::{self, MOST_WRITES, Quiet};
use crate::faults::places::{Places, WorkingSet};
use crate::faults::plan::{Kind, Plan};
use crate::faults::record::{Ending, Group, Record};
use crate::faults::run::{CONSOLE_LINES, work_directory};
use crate::faults::template::Template;
use crate::gdb::Register;
use crate::machine::PATIENCE;

/// How often the store is stopped when its working set is looked for.
const SAMPLES: usize = 100;
/// How often the load's progress is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// How long the store may take for the first lines of its report of a stray access.
const REPORT: Duration = Duration::from_secs(10);
/// How many ticks of a processor's time a second has, for programs.
const TICKS: u64 = 100;

/// Where a run is made, and the next one, which finds the files as this one found them.
#[derive(Debug)]
pub(super) struct Workplace {
    directory: TempDir,
    /// The pool's device and the canary.
    pub(super) files: [PathBuf; 2],
}

/// What all runs of a campaign have in common.
#[derive(Debug)]
pub struct Bench {
    program: PathBuf,
    elf: Elf,
    /// Where the program has the addresses of the functions that copy.
    copies: Vec<u64>,
    template: Template,
    /// The places in every process of it: addresses are not randomised.
    places: OnceLock<(u64, Places)>,
    /// Where no run is made at the moment.
    free: Mutex<Vec<Workplace>>,
    /// How many stores have been started: each listens on an address of its own, so that no client of one that is gone
    /// ever reaches another.
    started: AtomicU32,
}

impl Bench {
    /// Prepares for runs of this program, with work files in `directory`.
    ///
    /// # Errors
    /// When the template of the files cannot be made, or the program is none that faults can be injected into.
    pub fn new(program: &Path, directory: &Path) -> io::Result<Self> {
        let copies = imports(&fs::read(program)?, &["memcpy", "memmove"])?;
        let (elf, template) = (Elf::load(program), Template::make(directory)?);
        store::keep_addresses()?;
        let (places, free, started) = (OnceLock::new(), Mutex::default(), AtomicU32::new(0));
        Ok(Self { program: program.to_owned(), elf, copies, template, places, free, started })
    }

    /// A place for a run, with fresh files.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn workplace(&self) -> io::Result<Workplace> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match free {
            Some(place) => Ok(place),
            None => {
                let directory = work_directory()?;
                Ok(Workplace { files: self.template.copy(directory.path())?, directory })
            }
        }
    }

    /// Starts a store. It stands still.
    pub(super) fn start(&self, group: Group, place: &Workplace) -> Result<Store> {
        let number = self.started.fetch_add(1, Ordering::SeqCst);
        // 127.1.0.0 and on: addresses of this computer that nobody else listens on.
        let address = Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number);
        Store::start(&self.program, place.files.clone(), group, address, place.directory.path())
    }

    fn places(&self, store: &mut Store) -> Result<&Places> {
        if self.places.get().is_none() {
            let copies = self.copies.iter().map(|at| store.process.read_u64(store.bias + at));
            let mut copies = copies.collect::<Result<Vec<u64>>>()?;
            copies.sort_unstable();
            copies.dedup();
            // Another run may have found the same in the meantime.
            let _ = self.places.set((store.bias, Places::of_process(&self.elf, store.bias, copies)));
        }
        let found = self.places.get().filter(|(bias, _)| *bias == store.bias);
        found.map(|(_, places)| places).ok_or_else(|| Unfollowed("the program is somewhere else each time".into()))
    }

    /// Finds out which functions a store under load is in: where they begin in the program's file.
    ///
    /// # Errors
    /// When the store cannot be started or followed.
    pub fn sample(&self) -> Result<WorkingSet> {
        let place = self.workplace()?;
        let mut store = self.start(Group::None, &place)?;
        let places = self.places(&mut store)?;
        store.process.resume()?;
        let load = Load::start(store.address, 1, &self.template.ledger);
        load.wait_for(100, PATIENCE);
        store.process.halt()?;
        let mut set = WorkingSet::sample(&mut store.process, places, SAMPLES, &[1])?;
        set.functions.iter_mut().for_each(|function| *function -= store.bias);
        load.end();
        drop(store);
        drop(load.finish());
        Ok(set)
    }

    /// Carries out a plan.
    ///
    /// # Errors
    /// When the store does not get under load: before the fault is injected nothing may go wrong.
    pub fn run(&self, plan: &Plan, group: Group, set: &WorkingSet) -> io::Result<Record> {
        let began = Instant::now();
        let place = self.workplace()?;
        let early = |error: Unfollowed| io::Error::other(format!("run {} of {}: {error}", plan.run, group.name()));
        let mut store = self.start(group, &place).map_err(early)?;
        let places = self.places(&mut store).map_err(early)?;
        store.process.resume().map_err(early)?;
        let load = Load::start(store.address, plan.load_seed, &self.template.ledger);
        let mut trial = Trial { plan, places, store, load: &load, record: Record::new(plan, group) };
        let result = trial.carry_out(set);
        let Trial { mut store, mut record, .. } = trial;
        load.end();
        if let Err(error) = result {
            // The process may end at any time once the fault is in; before that it must not.
            if record.rip == 0 {
                return Err(early(error));
            }
            record.trouble = Some(error.to_string());
            record.ending = store.process.ending().map_or(Ending::Unfollowed, |status| ending(&store, status));
        }
        store.process.kill();
        record.console =
            denials(&store).chain(store.errors()).filter(|line| !line.is_empty()).take(CONSOLE_LINES).collect();
        let is_gone = store.process.is_gone();
        drop(store);
        record.writes[1] = load.acknowledged();
        let (ledger, complaints) = load.finish();
        record.complaints = complaints;
        let changes = self.template.changes([&place.files[0], &place.files[1]])?;
        record.judgement = Judgement::new(&self.template, &place.files[0], &changes, &ledger)?;
        // A store that takes long to end has its files for as long.
        if is_gone {
            self.template.restore(&place.files, &changes)?;
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        }
        record.outcome = record.decide();
        record.seconds = began.elapsed().as_secs_f64();
        Ok(record)
    }
}

/// One run under way.
struct Trial<'a> {
    plan: &'a Plan,
    places: &'a Places,
    store: Store,
    load: &'a Load,
    record: Record,
}

impl Trial<'_> {
    fn carry_out(&mut self, set: &WorkingSet) -> Result<()> {
        let (plan, load) = (self.plan, self.load);
        load.wait_for(plan.writes_before, PATIENCE);
        if load.acknowledged() < plan.writes_before {
            return Err(Unfollowed("the load does not get going".into()));
        }
        self.store.process.halt()?;
        let enough = load.acknowledged() + MOST_WRITES;
        let enough = || load.acknowledged() >= enough;
        let reached = moment::reach(&mut self.store.process, plan, set, self.store.bias, &enough)?;
        (self.record.cpu, self.record.moment_reached) = (reached.cpu, reached.planned);
        self.record.before = self.store.integrity()?;
        self.record.writes[0] = load.acknowledged();
        let image = self.store.image()?;
        let process = &mut self.store.process;
        process.select(reached.cpu)?;
        self.record.rip = process.register(Register::RIP)?;
        let (random, done) = (Rng::with_seed(plan.injection_seed), &mut self.record.injected);
        match plan.kind {
            Kind::SavedContext => saved_context(process, reached.cpu, random, done)?,
            kind => {
                let enough = load.acknowledged() + MOST_WRITES;
                let enough = || load.acknowledged() >= enough;
                Injector::new(process, self.places, &image, reached.cpu, random, &enough, done)?.inject(kind)?;
            }
        }
        process.resume()?;
        self.watch()?;
        load.end();
        self.record.after = self.store.integrity()?;
        Ok(())
    }

    /// Lets the store run until it has done its work, has ended, or hangs; it stands still then. How it ended is
    /// written down.
    fn watch(&mut self) -> Result<()> {
        let wanted = self.record.writes[0] + self.plan.writes_after;
        let pid = self.store.process.pid();
        let worked = || processor_time(pid).unwrap_or_default();
        let mut quiet = Quiet::new(self.load.acknowledged(), worked());
        let mut denied = None;
        loop {
            if self.store.process.wait(LOOK)?.is_some() {
                if let Some(status) = self.store.process.ending() {
                    self.record.ending = ending(&self.store, status);
                    return Ok(());
                }
                self.store.process.resume()?;
            }
            // A store that gets signals without end is noticed by these as well.
            let now = self.load.acknowledged();
            if self.store.was_denied() {
                let since = *denied.get_or_insert_with(Instant::now);
                // What follows the first lines of a report is names of functions, which take long to find.
                if since.elapsed() > REPORT || self.store.errors().iter().any(|line| line.contains(FAULT)) {
                    self.record.ending = Ending::Killed { signal: SIGSEGV as u8, by_key: since.elapsed() <= REPORT };
                    break;
                }
            } else if now >= wanted {
                self.record.ending = Ending::Completed;
                break;
            } else if self.load.is_over() {
                self.record.ending = Ending::Refused;
                break;
            } else if quiet.hangs(now, worked) {
                self.record.ending = Ending::Hung;
                break;
            }
        }
        self.store.process.halt().map(drop)
    }
}

/// How a store ended that did so by itself.
fn ending(store: &Store, status: i32) -> Ending {
    if WIFSIGNALED(status) {
        let signal = WTERMSIG(status);
        Ending::Killed { signal: signal as u8, by_key: signal == SIGSEGV && store.was_denied() }
    } else {
        Ending::Exited(WEXITSTATUS(status) as u8)
    }
}

/// What the kernel has said of protection keys, which is all that is known of a stray access to the canary.
fn denials(store: &Store) -> impl Iterator<Item = String> {
    let names = ["the pool's device", "the canary"];
    let devices = store.devices.clone();
    store.process.denied().iter().map(move |address| {
        let device = names.iter().zip(&devices).find(|(_, device)| device.contains(address));
        let place = device.map_or("elsewhere", |(name, _)| name);
        format!("SIGSEGV: a protection key denies the access to {address:#x}, {place}")
    })
}

/// One bit of a register of a thread that waits in the kernel.
fn saved_context(process: &mut impl Debugger, running: u32, mut random: Rng, done: &mut Vec<String>) -> Result<()> {
    let others: Vec<u32> = process.cpus()?.into_iter().filter(|&thread| thread != running).collect();
    if others.is_empty() {
        return Ok(());
    }
    let thread = others[random.usize(..others.len())];
    process.select(thread)?;
    let registers: Vec<Register> = Register::general().chain([Register::RIP]).collect();
    let register = registers[random.usize(..registers.len())];
    let (right, bit) = (process.register(register)?, random.u64(..64));
    process.set_register(register, (right ^ 1 << bit).into())?;
    done.push(format!("bit {bit} of {register} of thread {thread}, which does not run, flipped: it was {right:#x}"));
    Ok(())
}

/// What a process has used of a processor.
fn processor_time(pid: u32) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may have anything in it. Behind it these are the twelfth and the next.
    let numbers = text.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().skip(11).take(2);
    let ticks: u64 = numbers.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// Where a program has the addresses of functions that it imports, before its base is added.
fn imports(program: &[u8], names: &[&str]) -> io::Result<Vec<u64>> {
    let file = object::File::parse(program).map_err(io::Error::other)?;
    let Some(relocations) = file.dynamic_relocations() else { return Ok(Vec::new()) };
    let symbols = file.dynamic_symbol_table();
    let is_one = |target| match target {
        RelocationTarget::Symbol(index) => symbols
            .as_ref()
            .and_then(|symbols| object::ObjectSymbolTable::symbol_by_index(symbols, index).ok())
            .is_some_and(|symbol| symbol.name().is_ok_and(|name| names.contains(&name))),
        _ => false,
    };
    Ok(relocations.filter(|(_, relocation)| is_one(relocation.target())).map(|(at, _)| at).collect())
}
