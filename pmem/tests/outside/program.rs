//! A program outside of this repository, whose manifest names `pmem` by path and nothing else: see `../outside.rs`.
//!
//!     outside count FILE PROTECTION    counts its starts in a pool
//!     outside stray FILE PROTECTION    stores to the device's memory outside of every scope

use std::error::Error;

use pmem::device::OpenOptions;
use pmem::{Device, FormatOptions, Medium, Pool};

/// Where the stray store goes.
const STRAY: usize = 0x5000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, file, protection] = &arguments[..] else {
        return Err("usage: outside count|stray FILE PROTECTION".into());
    };
    let device = OpenOptions::new().protection(protection.parse()?).open(file)?;
    println!("{}", device.protection());
    match &**what {
        "count" => count(device),
        "stray" => stray(&device, file),
        _ => Err(format!("{what} is neither count nor stray").into()),
    }
}

fn count(device: Device) -> Result<(), Box<dyn Error>> {
    let mut pool = Pool::open_or_format(device, &FormatOptions::new(*b"outside of all 1"))?;
    let (counted, _receipt) = pool.turn(|turn| {
        let mut value = Vec::new();
        turn.get(b"starts", &mut value)?;
        let starts = value.try_into().map_or(0, u64::from_le_bytes) + 1;
        turn.put(b"starts", &starts.to_le_bytes(), None)?;
        Ok::<_, pmem::Error>(starts)
    })?;
    println!("{}", counted?);
    Ok(())
}

/// Finds the device's memory as a wild pointer would have it: not from the crate, which gives nobody an address.
fn stray(device: &Device, file: &str) -> Result<(), Box<dyn Error>> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let map = maps.lines().find(|line| line.ends_with(file)).ok_or("the device is not mapped")?;
    let start = map.split('-').next().ok_or("an address without an end")?;
    assert!((STRAY as u64) < device.len());
    store(usize::from_str_radix(start, 16)? + STRAY);
    println!("went through");
    Ok(())
}

#[inline(never)]
fn store(address: usize) {
    // SAFETY: none; that is what it is for. The device is mapped there, and no reference into it exists.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(0xee) };
}
