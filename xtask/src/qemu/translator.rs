//! What is asked of QEMU's translator: how the guest's time passes, and a plugin that looks on.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// How the guest's time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GuestTime {
    /// As the host's.
    #[default]
    Host,
    /// With its instructions: each takes two nanoseconds, however long QEMU needs for it. Only while the guest waits
    /// its time is the host's. So the guest believes in a processor that is always as fast. With one processor only.
    Steady,
    /// As [`Self::Steady`] with a nanosecond, and waiting takes none of the host's time: the guest's time counter
    /// counts instructions, the same on every run.
    Instructions,
}

impl GuestTime {
    /// What `-icount` is told.
    pub(super) fn option(self) -> Option<&'static str> {
        match self {
            Self::Host => None,
            Self::Steady => Some("shift=1"),
            Self::Instructions => Some("shift=0,sleep=off"),
        }
    }
}

/// A plugin for QEMU's translator. With one, all processors take turns on one thread: what the plugin sees is in one
/// order.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// The library.
    pub library: PathBuf,
    /// What the plugin is told, by name.
    pub options: Vec<(&'static str, OsString)>,
    /// Whether each translation is of one instruction: what the plugin reads of the registers is up to date then.
    pub single_step: bool,
}

impl Plugin {
    /// Our own plugin, `tests/plugin`. Cargo builds it for the programs whose package depends on it, and leaves it in
    /// `deps`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn own(options: Vec<(&'static str, OsString)>, single_step: bool) -> Result<Self> {
        const NAME: &str = "deps/libholdfast_trace.so";
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let mut places = program.ancestors().skip(1).take(2).map(|directory| directory.join(NAME));
        let library = places.find(|path| path.is_file());
        let library = library.with_context(|| format!("there is no {NAME} for {}", program.display()))?;
        Ok(Self { library, options, single_step })
    }
}
