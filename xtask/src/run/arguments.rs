//! The options of `cargo xtask run`: what can be typed, and what is asked for by it.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use libos_contract::limits::{LEAST_RAM, MAX_CPUS};
use libos_contract::log_level::LogLevel;

use super::RunOptions;
use crate::apps;
use crate::qemu::{Accelerator, FaultPolicy, HostFile, MachineOptions, Network, ProtectionChoice};
use crate::setup::toolchain::{Choice, ToolchainArgument};
use crate::size;
use crate::tap;

/// As many processors as libos runs on.
pub const MOST_PROCESSORS: i64 = MAX_CPUS as i64;

/// The options of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The program: a directory under apps/
    #[arg(long, value_name = "NAME", default_value = apps::DEFAULT)]
    app: String,
    /// Build as what is put to work is built: it is faster, and the build takes longer
    #[arg(long, conflicts_with = "gdb")]
    release: bool,
    /// The image behind the NVDIMM [default: the program's own under var/, created when it is not there: for kvstore
    /// var/pmem0.img]
    #[arg(long, value_name = "FILE")]
    pmem: Option<PathBuf>,
    /// The size of an image that is to be created, e.g. 64M or 2G [default: what the program asks for; kvstore for 1G]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pmem_size: Option<u64>,
    /// The port that clients connect to; 0 takes a free one [default: the program's own; kvstore's is 6379]
    #[arg(long)]
    port: Option<u16>,
    /// The address that clients connect to
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Whether clients from other machines are kept out; programs here have no passwords, and to a guest all clients
    /// look alike
    #[arg(long, value_enum, default_value_t = ProtectedMode::Yes)]
    protected_mode: ProtectedMode,
    /// Processors of the guest, at most 64
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_PROCESSORS))]
    smp: u32,
    /// RAM of the guest
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size::parse)]
    memory: u64,
    /// What executes the guest
    #[arg(long, value_enum, default_value_t = AcceleratorArgument::Tcg)]
    accel: AcceleratorArgument,
    /// What protects pmem from stray accesses; auto takes pks if the processor has it, else pku
    #[arg(long, value_parser = one_of::<ProtectionChoice>(ProtectionChoice::ALL.map(ProtectionChoice::word)), default_value_t)]
    protection: ProtectionChoice,
    /// What follows a stray access; docs/protection-keys.md says what each does
    #[arg(long, value_parser = one_of::<FaultPolicy>(FaultPolicy::ALL.map(FaultPolicy::word)), default_value_t)]
    fault_policy: FaultPolicy,
    /// How much the library says of its work on the console
    #[arg(long, value_name = "LEVEL", value_parser = one_of::<LogLevel>(LogLevel::ALL.map(LogLevel::word)), default_value_t)]
    log: LogLevel,
    /// How the guest reaches the network
    #[arg(long, value_enum, default_value_t = NetworkArgument::User)]
    net: NetworkArgument,
    /// A file of the host's that the program finds, read-only, under a path of its own; may be given more than once
    #[arg(long = "file", value_name = "GUEST=HOST")]
    files: Vec<HostFile>,
    /// Build with debug assertions and all debug information, and wait for a debugger on port 1234 before the start
    #[arg(long)]
    gdb: bool,
    // Help shows it as it stands, and documentation would have the address as a link.
    #[arg(
        long,
        value_name = "FILE",
        help = "Write what the scheduler, grants and interrupts did to this file at the end, for https://ui.perfetto.dev"
    )]
    trace: Option<PathBuf>,
    #[command(flatten)]
    toolchain: ToolchainArgument,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProtectedMode {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AcceleratorArgument {
    Tcg,
    Kvm,
}

/// How the guest reaches the network, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum NetworkArgument {
    /// QEMU's user network
    User,
    /// A tap device, which takes root
    Tap,
}

impl NetworkArgument {
    /// What it means.
    pub fn network(self) -> Network {
        match self {
            Self::User => Network::User,
            Self::Tap => Network::Tap(tap::FIRST),
        }
    }
}

/// Takes one of these words, each of which is read as a `T`; help and errors list them.
pub fn one_of<T>(words: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse())
}

impl RunArguments {
    /// The options that these arguments ask for.
    ///
    /// # Errors
    /// When one of them is wrong or not supported yet.
    pub fn options(self) -> Result<RunOptions> {
        if self.protected_mode == ProtectedMode::Yes && !self.listen.to_canonical().is_loopback() {
            bail!(
                "--listen {} would let other machines in, and the program asks nobody for a password; \
                 if that is what you want, say --protected-mode no too",
                self.listen
            );
        }
        if self.memory < LEAST_RAM {
            bail!(
                "--memory {} is too little: the guest needs at least {} beside its image",
                size::display(self.memory),
                size::display(LEAST_RAM)
            );
        }
        let machine = MachineOptions {
            arguments: self.arguments,
            memory: self.memory,
            smp: self.smp,
            accelerator: match self.accel {
                AcceleratorArgument::Tcg => Accelerator::Tcg,
                AcceleratorArgument::Kvm => Accelerator::Kvm,
            },
            protection: self.protection,
            fault_policy: self.fault_policy,
            log: self.log,
            network: self.net.network(),
            files: self.files,
            gdb: self.gdb,
            ..MachineOptions::default()
        };
        Ok(RunOptions {
            app: self.app,
            release: self.release,
            pmem: self.pmem,
            pmem_size: self.pmem_size,
            listen: self.listen,
            port: self.port,
            trace: self.trace,
            toolchain: Choice::resolve(self.toolchain.toolchain)?,
            machine,
        })
    }
}
