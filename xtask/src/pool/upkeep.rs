//! `pool migrate` and `pool grow`: a stopped pool becomes one of the newest version of the format, or larger, in place.

use std::path::Path;

use anyhow::{Context, Result, bail};
use pmem::pool::{FORMAT_VERSION, Growth, Migration};
use pmem::{Device, Medium, Pool};

use crate::image;
use crate::size;

/// Makes the pool in an image one of the newest version of the format, and says what was done.
///
/// # Errors
/// When a machine uses the image, it holds no pool, or the medium cannot read a place of its superblocks.
pub fn migrate(path: &Path) -> Result<String> {
    let device = Device::open(super::image(path)?)?;
    let (_, migration) = Pool::migrate(device).map_err(|error| super::no_pool(path, error))?;
    let name = path.display();
    Ok(match migration {
        Migration::Done { from } if from == FORMAT_VERSION => {
            format!("{name}: an interrupted migration was finished: version {FORMAT_VERSION}")
        }
        Migration::Done { from } => format!("{name}: version {from} became version {FORMAT_VERSION}"),
        Migration::NotNeeded => format!("{name}: is version {FORMAT_VERSION} already"),
    })
}

/// Makes an image and the pool in it `size` bytes long, and says what was done.
///
/// # Errors
/// When the size will not do or is less than what the image has, a machine uses the image, it holds no pool, or one
/// that has to be migrated first.
pub fn grow(path: &Path, size: u64) -> Result<String> {
    image::check_size(size).context("bad size for the image")?;
    let path = super::image(path)?;
    let name = path.display();
    // Whatever a power cut has left of a growth is known by the length that the image has now.
    let device = Device::open(path)?;
    let present = device.len();
    if size < present {
        bail!(
            "{name} has {present} bytes, more than {size}: a pool does not shrink; to make a smaller one, dump it and load it there"
        );
    }
    let (device, before) = Pool::grow(device).map_err(|error| super::no_pool(path, error))?;
    let after = match size == present {
        true => Growth::NotNeeded,
        false => {
            let device =
                device.extend(size).with_context(|| format!("cannot extend the image to {}", size::display(size)))?;
            let grown = Pool::grow(device)
                .with_context(|| format!("{name} has {size} bytes now, the pool in it as many as before"));
            grown?.1
        }
    };
    let segments: u32 = [before, after].iter().map(added).sum();
    Ok(match (before, after) {
        (Growth::NotNeeded, Growth::NotNeeded) => format!("{name}: is {size} bytes long already"),
        _ => format!("{name}: {size} bytes now, with {segments} segments more"),
    })
}

fn added(growth: &Growth) -> u32 {
    match growth {
        Growth::Done { segments, .. } => *segments,
        Growth::NotNeeded => 0,
    }
}
