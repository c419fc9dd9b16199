//! A pool with many keys, for what measures a store.

use std::path::Path;

use anyhow::Result;
use pmem::{Device, FormatOptions, Pool};

use crate::resp::key;

/// Makes an image of `size` bytes and puts keys with values of `value` bytes into it, in pipelines of 16; as if the
/// power went then.
///
/// # Errors
/// When the image cannot be written, or the pool is too small.
pub fn put_keys(path: &Path, size: u64, keys: u64, value: usize) -> Result<()> {
    let device = Device::create(path, size)?;
    let mut pool = Pool::format(device, &FormatOptions::new(*b"bench           "))?;
    let value = vec![b'x'; value];
    for first in (0..keys).step_by(16) {
        let (result, _durable) = pool.turn(|turn| {
            (first..keys.min(first + 16)).try_for_each(|number| turn.put(key(number).as_bytes(), &value, None))
        })?;
        result?;
    }
    Ok(())
}
