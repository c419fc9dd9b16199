//! A count that goes on, in one word of a device:
//!
//!     cargo run -p pmem --example counter -- /tmp/counter
//!
//! It counts the lines of its input, and says each number when it is durable. Kill it in any way and start it again:
//! it goes on where it was.

use std::error::Error;
use std::io;

use pmem::device::OpenError;
use pmem::{Device, Load, Medium, OutOfRange, Store};

/// The first word of a counter's file.
const MAGIC: [u8; 8] = *b"COUNTER\n";
/// Where the count is.
const COUNT: u64 = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: counter FILE")?;
    let device = open_or_create(&path, 4096)?;
    match load_word(&device, 0)? {
        MAGIC => {}
        // New. The count is 0 already.
        [0, 0, 0, 0, 0, 0, 0, 0] => store_word(&device, 0, MAGIC)?,
        _ => return Err(format!("{path} is no counter; it was left as it is").into()),
    }
    let mut count = u64::from_le_bytes(load_word(&device, COUNT)?);
    println!("{count} so far; protection {}", device.protection());
    for line in io::stdin().lines() {
        line?;
        count += 1;
        store_word(&device, COUNT, count.to_le_bytes())?;
        println!("{count}");
    }
    Ok(())
}

fn open_or_create(path: &str, len: u64) -> Result<Device, OpenError> {
    match Device::create(path, len) {
        Err(OpenError::Exists(_)) => Device::open(path),
        created => created,
    }
}

fn load_word(device: &Device, offset: u64) -> Result<[u8; 8], Box<dyn Error>> {
    let mut word = [0; 8];
    device.read(|reader| reader.load(offset, &mut word))??;
    Ok(word)
}

/// Stores a word at a multiple of eight, which is there wholly or not at all whenever the power goes, and makes it
/// durable.
fn store_word(device: &Device, offset: u64, word: [u8; 8]) -> Result<(), Box<dyn Error>> {
    device.write(|writer| {
        writer.store(offset, &word)?;
        writer.write_back(offset..offset + 8)?;
        writer.fence();
        Ok::<(), OutOfRange>(())
    })??;
    Ok(())
}
