//! The servers that are compared: how each is started, and when it has.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::computer::Computer;
use super::redis::{Log, Redis};
use crate::processor_time::{exact_processor_time, processor_times};
use crate::resp::Client;

/// The length of the store's file: its own default.
const POOL: &str = "1G";
/// How long a server may take to get ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// The least processor time of which the kernel's share is said: twenty of the steps that Linux tells it in.
const LEAST_TO_DIVIDE: Duration = Duration::from_millis(200);

/// A server that takes part.
#[derive(Clone, Debug)]
pub enum Contender {
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

impl Contender {
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Store { name, .. } => name,
            Self::Redis { log, .. } => log.name(),
        }
    }

    /// How it is started with its files in `directory`.
    pub fn command(&self, directory: &Path, port: u16) -> Command {
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

/// A server that runs. It ends with this.
#[derive(Debug)]
pub struct Server {
    process: Child,
    /// The port that it listens on.
    pub port: u16,
    /// A connection to it.
    pub client: Client,
}

impl Server {
    /// Starts a contender with its files in `directory`, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(contender: &Contender, directory: &Path, computer: &Computer) -> Result<Self> {
        fs::create_dir_all(directory)?;
        // Free when it was asked for; who takes it meanwhile is found out below.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let printed = directory.join("printed");
        let output = File::create(&printed)?;
        let mut command = computer.on_server_cpu(contender.command(directory, port));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut process = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = process.try_wait()? {
                let printed = fs::read_to_string(printed)?;
                bail!("{} ended ({status}) before it was ready:\n{printed}", contender.name());
            }
            if let Ok(mut client) = Client::connect(("127.0.0.1", port), PATIENCE)
                && client.ping().is_ok()
            {
                return Ok(Self { process, port, client });
            }
            if Instant::now() > deadline {
                let _ = process.kill();
                bail!("{} does not get ready:\n{}", contender.name(), fs::read_to_string(printed)?);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its number for Linux.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// How long processors have worked for it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn used(&self) -> Result<Used> {
        let exact = exact_processor_time(self.process.id()).context("a server has ended")?;
        let [own, kernel] = processor_times(self.process.id()).context("a server has ended")?;
        Ok(Used { exact, own, kernel })
    }
}

/// How long processors have worked for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// All, to the nanosecond.
    pub exact: Duration,
    /// In its own code, and in the kernel's: to hundredths of a second.
    own: Duration,
    kernel: Duration,
}

impl Used {
    /// Since what it was before. The time of threads that have ended meanwhile is not in it.
    pub fn since(self, before: Self) -> Self {
        let since = |of: fn(&Self) -> Duration| of(&self).saturating_sub(of(&before));
        Self { exact: since(|it| it.exact), own: since(|it| it.own), kernel: since(|it| it.kernel) }
    }

    /// The kernel's share as a part of one; nothing if that is known too coarsely.
    pub fn kernel_share(self) -> Option<f64> {
        let all = self.own + self.kernel;
        (all >= LEAST_TO_DIVIDE).then(|| self.kernel.as_secs_f64() / all.as_secs_f64())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_share_is_of_what_was_used_since() {
        let used = |exact, own, kernel| {
            let [exact, own, kernel] = [exact, own, kernel].map(Duration::from_millis);
            Used { exact, own, kernel }
        };
        let since = used(1234, 300, 900).since(used(34, 0, 0));
        assert_eq!((since.exact, since.kernel_share()), (Duration::from_millis(1200), Some(0.75)));
        assert_eq!(used(190, 100, 90).since(used(0, 0, 0)).kernel_share(), None);
    }
}
