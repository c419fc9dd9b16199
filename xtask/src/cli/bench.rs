//! What can be typed to measure.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use libos_contract::limits::LEAST_RAM;
use xtask::bench::native::Place;
use xtask::bench::{Group, Runs, guest};
use xtask::counts::{self, BudgetAction, Load};
use xtask::qemu::{Protection, ProtectionChoice};
use xtask::run::arguments::{MOST_PROCESSORS, NetworkArgument, one_of};
use xtask::setup::toolchain::ToolchainArgument;
use xtask::size;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Measure the store in its machine: requests a second, times to an answer, processor time of QEMU. So does `bench`
    /// alone
    Guest(Box<GuestArguments>),
    /// Count what operations of the pool cost: write-backs, fences, bytes of pmem and DRAM
    Pool {
        /// How many keys to put to see what DRAM they take
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..=100_000_000))]
        keys: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Count the instructions of the library's hot paths: sections, grants, traps and switches
    Paths {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        toolchain: ToolchainArgument,
    },
    /// Count what a request costs the store in the guest: instructions by component and function, memory accesses,
    /// exits, key-register writes, write-backs, fences, frames
    Counts {
        /// Which loads, and their components and functions; may be given more than once [default: all, without]
        #[arg(long = "load", value_enum)]
        loads: Vec<Load>,
        /// How many requests are counted of each load [default: 20000, with pipelines 96000, with one connection 4000]
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
        requests: Option<u64>,
        /// How many keys the store has
        #[arg(long, default_value_t = counts::KEYS, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        keys: u64,
        #[command(flatten)]
        machine: MachineArguments,
        /// Write everything that was counted to this file, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Say what has changed since `--json` wrote this file
        #[arg(long, value_name = "FILE")]
        compare: Option<PathBuf>,
        /// Count a little of each load for the budgets, which a test holds the store to, and nothing else
        #[arg(long, value_enum, conflicts_with_all = ["loads", "requests", "keys", "protection", "net", "json", "compare"])]
        budgets: Option<BudgetAction>,
        #[command(flatten)]
        toolchain: ToolchainArgument,
    },
    /// Measure the store on Linux, on this computer: requests a second, times to an answer, processor time of the
    /// server
    Native {
        /// What to measure in turns with it: `redis` (Debian's, with `appendfsync always`, `everysec`, and no log), or
        /// the file of another build of the store
        #[arg(long, value_name = "redis|FILE")]
        against: Option<String>,
        /// Where the servers' files are; may be given more than once [default: both]
        #[arg(long = "place", value_enum)]
        places: Vec<Place>,
        /// Which loads; may be given more than once [default: standard, mixed, sizes]
        #[arg(long = "loads", value_enum)]
        groups: Vec<Group>,
        #[command(flatten)]
        results: Results,
    },
    /// Measure how long the store takes from the machine's reset until it is ready, stage by stage
    Boot {
        /// Boots of each image, on an empty image of pmem and on a pool
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
        boots: u32,
        /// Another image of the store, to take turns with this one
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// Boot the other one by SeaBIOS, where this one is booted by qboot
        #[arg(long, requires = "against")]
        usual_firmware: bool,
        /// RAM of the machine
        #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size::parse)]
        memory: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        toolchain: ToolchainArgument,
    },
    /// Measure the time to the first answer after a crash and after a shutdown, and Redis's from its log on Linux
    Recovery {
        /// How many keys there are
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(2000..=10_000_000))]
        keys: u64,
        /// Processors of the machines
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_PROCESSORS))]
        smp: u32,
        /// Do not measure Redis
        #[arg(long)]
        no_redis: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        toolchain: ToolchainArgument,
    },
}

/// What the store's machine is like, in all that is measured over a network.
#[derive(Debug, Args)]
pub struct MachineArguments {
    /// What protects pmem from stray accesses
    #[arg(
        long,
        value_parser = one_of::<ProtectionChoice>(ProtectionChoice::ALL.map(ProtectionChoice::word)),
        default_value_t = Protection::Pks.into()
    )]
    pub protection: ProtectionChoice,
    /// How clients reach the store
    #[arg(long, value_enum, default_value_t = NetworkArgument::Tap)]
    pub net: NetworkArgument,
}

/// How to measure the store in its machine.
#[derive(Debug, Args)]
pub struct GuestArguments {
    /// What to measure in turns with it: `redis-linux` (Debian's Redis with `appendfsync always`, on Debian's Linux in
    /// a machine of the same kind), or the file of another image of the store
    #[arg(long, value_name = "redis-linux|FILE")]
    pub against: Option<String>,
    /// Which loads; may be given more than once [default: all]
    #[arg(long = "loads", value_enum)]
    groups: Vec<Group>,
    #[command(flatten)]
    machine: MachineArguments,
    /// Processors of the machines
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_PROCESSORS))]
    smp: u32,
    /// RAM of the machines
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = ram)]
    memory: u64,
    #[command(flatten)]
    pub results: Results,
    #[command(flatten)]
    pub toolchain: ToolchainArgument,
}

impl GuestArguments {
    /// What is asked for by them.
    pub fn options(&self) -> guest::Options {
        let groups = if self.groups.is_empty() { Group::value_variants().to_vec() } else { self.groups.clone() };
        guest::Options {
            against: self.against.as_deref().map(guest::Against::of),
            groups,
            runs: self.results.runs(),
            protection: self.machine.protection,
            hardware: guest::Hardware { smp: self.smp, memory: self.memory, network: self.machine.net.network() },
            document: self.results.write.clone(),
        }
    }
}

/// How long servers are measured, and where the results go.
#[derive(Debug, Args)]
pub struct Results {
    /// Runs of each server under each load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each run is to last, about
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// Write every run to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Say what has changed since `--json` wrote this file
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// Write the tables into this document, and pictures into the folder beside it: docs/benchmarks-guest.md, for
    /// `native` docs/benchmarks.md
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}

impl Results {
    /// How many runs, and how long.
    pub fn runs(&self) -> Runs {
        Runs { rounds: self.rounds, seconds: self.seconds }
    }
}

/// A length of time that is worth measuring.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.01..=600.0).contains(seconds));
    seconds.ok_or_else(|| "it is to be a number of seconds from 0.01 to 600".to_owned())
}

/// As much RAM as the guest needs, or more.
fn ram(text: &str) -> Result<u64, String> {
    let bytes = size::parse(text).map_err(|error| format!("{error:#}"))?;
    if bytes < LEAST_RAM {
        return Err(format!("the guest needs at least {}", size::display(LEAST_RAM)));
    }
    Ok(bytes)
}
