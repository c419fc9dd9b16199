//! `cargo xtask run --trace FILE`: what the guest's scheduler, grants and interrupts did, as a file for
//! [Perfetto](https://ui.perfetto.dev).
//!
//! The guest writes events into rings in a file that QEMU maps into it ([`Region`], `libos/src/trace`). Once the
//! machine has ended, however that was, they are read ([`decode`]) and written as a Chrome trace ([`chrome`]).

pub mod chrome;
pub mod decode;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
pub use libos_contract::trace as layout;

use crate::handed;

/// How many events each CPU's ring has room for, at least: the last second or so of a busy CPU.
const EVENTS: usize = 1 << 16;

/// The memory that a traced machine shares with the host, a file without a name. It goes away with the last that has
/// it.
#[derive(Debug)]
pub struct Region {
    file: File,
    length: u64,
}

impl Region {
    /// Makes an empty one for a machine with so many CPUs.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(cpus: u32) -> Result<Self> {
        let file = handed::file("the trace")?;
        let rings = layout::ring(cpus as usize, EVENTS);
        // QEMU wants a power of two.
        let length = rings.next_power_of_two() as u64;
        let mut header = [0; layout::HEADER_CPUS + 8];
        header[layout::HEADER_MAGIC..][..8].copy_from_slice(&layout::MAGIC.to_le_bytes());
        header[layout::HEADER_CPUS..][..8].copy_from_slice(&u64::from(cpus).to_le_bytes());
        file.write_all_at(&header, 0).and_then(|()| file.set_len(length)).context("cannot make the trace's memory")?;
        Ok(Self { file, length })
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Its length in bytes, a power of two.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What the guest has written so far.
    ///
    /// # Errors
    /// When the file cannot be read, or the guest has written nothing.
    pub fn decode(&self) -> Result<decode::Trace> {
        let length = usize::try_from(self.length).context("the trace is too long")?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0).context("cannot read the trace")?;
        decode::decode(&bytes)
    }
}

/// The file that a trace is to be written to. It is made at once, so that a wrong name is an error before anything is
/// built.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write the trace to {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes a trace, and says what it has, in one line.
    ///
    /// # Errors
    /// When there is none, or it cannot be written.
    pub fn write(self, region: &Region) -> Result<String> {
        let trace = region.decode()?;
        let name = self.path.display();
        let mut out = BufWriter::new(self.file);
        serde_json::to_writer(&mut out, &chrome::convert(&trace))
            .map_err(std::io::Error::from)
            .and_then(|()| out.flush())
            .with_context(|| format!("cannot write the trace to {name}"))?;
        let events: usize = trace.cpus.iter().map(|ring| ring.events.len()).sum();
        let dropped: u64 = trace.cpus.iter().map(|ring| ring.dropped).sum();
        let dropped = if dropped == 0 { String::new() } else { format!(", {dropped} older ones were dropped") };
        Ok(format!("{name} has a trace of {events} events{dropped}; open it in https://ui.perfetto.dev"))
    }
}
