//! The servers as processes of Linux: how each is started, and when it has.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::super::computer::Computer;
use super::super::redis::{Log, Redis};
use super::super::server::{Contender, Server, wait_for_answer};
use crate::launcher;

/// The length of the store's file: its own default.
const POOL: &str = "1G";
/// How long a server may take to get ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that is a server.
#[derive(Clone, Debug)]
pub enum Program {
    /// A build of the store, by its name here.
    Store {
        /// What it is called.
        name: String,
        /// Its file.
        program: PathBuf,
        /// What keeps stray accesses out of its data.
        protection: &'static str,
    },
    /// Redis.
    Redis {
        /// Where its programs are.
        redis: Redis,
        /// What it keeps.
        log: Log,
    },
}

impl Program {
    /// How it is started with its files in `directory`.
    fn command(&self, directory: &Path, port: u16) -> Command {
        match self {
            Self::Store { program, protection, .. } => {
                let mut command = Command::new(program);
                command.arg("--pmem").arg(directory.join("pool.img"));
                command.args(["--size", POOL, "--port", &port.to_string()]);
                command.args(["--protection", protection]);
                command
            }
            Self::Redis { redis, log } => {
                let mut command = redis.program("redis-server");
                command.arg("--dir").arg(directory).args(["--port", &port.to_string()]).args(log.options());
                command
            }
        }
    }
}

impl Contender for Program {
    fn name(&self) -> &str {
        match self {
            Self::Store { name, .. } => name,
            Self::Redis { log, .. } => log.name(),
        }
    }

    fn command(&self) -> String {
        shown(&self.command(Path::new("DIRECTORY"), 6379))
    }

    fn start(&self, directory: &Path, computer: &Computer) -> Result<Box<dyn Server>> {
        // Free when it was asked for; who takes it meanwhile is found out below.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let printed = directory.join("printed");
        let output = File::create(&printed)?;
        let mut command = computer.on_server_cpu(self.command(directory, address.port()));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let words = format!("{command:?}");
        let process = launcher::spawn(command, &[]).with_context(|| format!("cannot run {words}"))?;
        let mut process = Process { process, address };
        let look = || match process.process.try_wait()? {
            Some(status) => bail!("it has ended ({status})"),
            None => Ok(()),
        };
        wait_for_answer(address, PATIENCE, look).with_context(|| {
            format!("{} does not get ready:\n{}", self.name(), fs::read_to_string(printed).unwrap_or_default())
        })?;
        Ok(Box::new(process))
    }
}

/// A program that runs.
#[derive(Debug)]
struct Process {
    process: Child,
    address: SocketAddr,
}

impl Server for Process {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn process(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command as a person would type it, its program by name.
fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy());
    let words: Vec<_> = words.collect();
    // Redis is started by its loader: what comes before its own name is the loader's.
    let first = words.iter().rposition(|word| word.starts_with('/') && !word.contains(':')).unwrap_or(0);
    let name = Path::new(words[first].as_ref()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let quoted = |word: &str| if word.is_empty() { "\"\"".to_owned() } else { word.to_owned() };
    [name].into_iter().chain(words[first + 1..].iter().map(|word| quoted(word))).collect::<Vec<_>>().join(" ")
}
