//! Debian's Redis, fetched as a package, with its own libraries: nothing is installed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::linux;

/// What Redis keeps on the disk, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Log {
    /// Every write is on the disk before it is answered
    Always,
    /// What is written is on the disk a second later
    Everysec,
    /// Nothing
    No,
}

impl Log {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Always, Self::Everysec, Self::No];

    /// Redis's options for it. Neither snapshots nor rewriting the log, which take Redis's time, are wanted of it.
    pub fn options(self) -> Vec<&'static str> {
        let options: &[_] = match self {
            Self::Always => &["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"],
            Self::Everysec => {
                &["--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"]
            }
            Self::No => &["--appendonly", "no"],
        };
        [options, &["--save", ""]].concat()
    }

    /// What such a Redis is called here.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "Redis, appendfsync always",
            Self::Everysec => "Redis, appendfsync everysec",
            Self::No => "Redis, no log",
        }
    }
}

/// Redis's programs.
#[derive(Clone, Debug)]
pub struct Redis {
    /// The packages' files.
    root: PathBuf,
}

impl Redis {
    /// Fetches them, once.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn fetch() -> Result<Self> {
        Ok(Self { root: linux::redis()? })
    }

    /// One of them, started by the packages' own loader and C library.
    pub fn program(&self, name: &str) -> Command {
        let library = |of: &str| self.root.join(of).join("x86_64-linux-gnu").into_os_string();
        let path = [library("lib"), library("usr/lib")].join(&OsString::from(":"));
        let mut command = Command::new(self.root.join("lib64/ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(path).arg(self.root.join("usr/bin").join(name));
        command
    }

    /// Its version.
    ///
    /// # Errors
    /// When it does not run.
    pub fn version(&self) -> Result<String> {
        let output = self.program("redis-server").arg("--version").output().context("cannot run Debian's Redis")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="));
        Ok(version.with_context(|| format!("Redis says of its version: {text}"))?.to_owned())
    }
}
