//! `cargo xtask pool …`: looks into an image from the host, checks, repairs, empties and fills it, makes it larger and
//! brings it to the newest version; what the pool's operations cost; and the mutants that measure its tests.

pub mod bench;
mod check;
mod dump;
mod keys;
pub mod mutants;
#[cfg(test)]
mod tests;
mod upkeep;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use pmem::pool::Progress;
use pmem::{Device, FormatOptions, Pool};

pub use check::{Verdict, check, info};
pub use dump::{dump, load};
pub use keys::put_keys;
pub use upkeep::{grow, migrate};

use crate::image;
use crate::output::warn;

/// Makes an image with an empty pool in it.
///
/// # Errors
/// When the file exists already, or the size, the label or the segment size will not do.
pub fn create(path: &Path, size: u64, label: &str, segment_size: Option<u64>) -> Result<()> {
    image::check_size(size).context("bad size for the image")?;
    let mut uuid = [0; 16];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut uuid)).context("no random numbers")?;
    let segment_size = segment_size.map(u32::try_from).transpose().context("the segment size is too large")?;
    let options = FormatOptions { label: label.into(), segment_size, ..FormatOptions::new(uuid) };
    let device = Device::create(path, size).context("cannot create the image")?;
    let mut said = 0;
    let progress = |progress: Progress| {
        let percent = progress.bytes.saturating_mul(100).checked_div(progress.of_bytes).unwrap_or(100);
        if percent >= said + 5 {
            said = percent;
            warn(format_args!("making the pool: {percent} %"));
        }
    };
    let made = Pool::format_with(device, &options, progress).and_then(Pool::close);
    if let Err(error) = made {
        // It was not there before.
        let _ = std::fs::remove_file(path);
        return Err(error).with_context(|| format!("cannot make a pool in {}", path.display()));
    }
    Ok(())
}

/// Checks that a path names a regular file, and returns it.
fn image(path: &Path) -> Result<&Path> {
    let name = path.display();
    let metadata = path.metadata().with_context(|| match path.try_exists() {
        Ok(false) => format!("there is no image {name}; to make one: cargo xtask pool create {name} --size 1G"),
        _ => format!("cannot look at {name}"),
    })?;
    if !metadata.is_file() {
        bail!("{name} is not a regular file; name the image itself");
    }
    Ok(path)
}

/// Why the image at `path` cannot be opened as a pool, with what a person can do about it on this machine.
fn no_pool(path: &Path, error: pmem::Error) -> anyhow::Error {
    let name = path.display();
    let way_on = match error {
        pmem::Error::Blank => format!("\n  a program that keeps a pool makes one there: cargo xtask run --pmem {name}"),
        pmem::Error::Truncated { recorded, .. } => format!(
            "\n  without it, to save the rest: copy the file, then truncate -s {recorded} {name}, then cargo xtask pool check --repair {name}"
        ),
        _ => String::new(),
    };
    anyhow::anyhow!("{name} holds no pool that can be opened: {error}{way_on}")
}
