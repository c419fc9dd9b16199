//! A log of lines with a format of its own, on a device:
//!
//!     cargo run -p pmem --example log -- /tmp/log
//!
//! It prints the lines that are there, then appends those of its input, and says the number of each when it is
//! durable. Kill it in any way and start it again: what it has said is there.
//!
//! A record is its length, a checksum, and the line, from a multiple of eight on. The checksum covers that of the
//! record before: what is left of a torn record never follows the one that is written over it.

use std::error::Error;
use std::io;

use pmem::crc32c::Crc32c;
use pmem::device::OpenError;
use pmem::{Device, Load, LoadError, Medium, OutOfRange, Store};

/// The first word of a log's file.
const MAGIC: [u8; 8] = *b"LINELOG\n";
/// Length and checksum of a record.
const HEADER: u64 = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: log FILE")?;
    let device = open_or_create(&path, 1 << 20)?;
    let mut log = Log::open(device, |number, line| println!("{number}: {}", String::from_utf8_lossy(line)))?;
    println!("{} so far; protection {}", log.lines, log.device.protection());
    for line in io::stdin().lines() {
        println!("{}", log.append(line?.as_bytes())?);
    }
    Ok(())
}

fn open_or_create(path: &str, len: u64) -> Result<Device, OpenError> {
    match Device::create(path, len) {
        Err(OpenError::Exists(_)) => Device::open(path),
        created => created,
    }
}

/// The lines on a device, and where the next one goes.
struct Log {
    device: Device,
    lines: u64,
    end: u64,
    /// The checksum of the last record.
    last: u32,
}

impl Log {
    /// Tells `each` of every line that is there, by its number.
    fn open(device: Device, mut each: impl FnMut(u64, &[u8])) -> Result<Log, Box<dyn Error>> {
        let mut magic = [0; MAGIC.len()];
        device.read(|reader| reader.load(0, &mut magic))??;
        let mut log = Log { device, lines: 0, end: MAGIC.len() as u64, last: 0 };
        match magic {
            MAGIC => {}
            [0, 0, 0, 0, 0, 0, 0, 0] => log.store(0, &MAGIC)?,
            _ => return Err(format!("{} is no log; it was left as it is", log.device.name()).into()),
        }
        while let Some((line, checksum)) = log.device.read(|reader| log.record(reader))?? {
            log.pass(&line, checksum);
            each(log.lines, &line);
        }
        Ok(log)
    }

    /// The line at the end so far, and its checksum, if there is a whole one.
    fn record(&self, reader: impl Load) -> Result<Option<(Vec<u8>, u32)>, LoadError> {
        let mut header = [0; HEADER as usize];
        if self.end + HEADER > reader.size() {
            return Ok(None);
        }
        reader.load(self.end, &mut header)?;
        let [len, checksum] = [0, 4].map(|at| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes")));
        if u64::from(len) > reader.size() - self.end - HEADER {
            return Ok(None);
        }
        let mut line = vec![0; len as usize];
        reader.load(self.end + HEADER, &mut line)?;
        Ok((checksum == self.checksum(&line)).then_some((line, checksum)))
    }

    /// Appends a line, and returns its number when it is durable.
    fn append(&mut self, line: &[u8]) -> Result<u64, Box<dyn Error>> {
        let checksum = self.checksum(line);
        let record = [&(line.len() as u32).to_le_bytes()[..], &checksum.to_le_bytes(), line].concat();
        if record.len() as u64 > self.device.size() - self.end {
            return Err("the log is full".into());
        }
        self.store(self.end, &record)?;
        self.pass(line, checksum);
        Ok(self.lines)
    }

    fn pass(&mut self, line: &[u8], checksum: u32) {
        self.lines += 1;
        self.end = (self.end + HEADER + line.len() as u64).next_multiple_of(8).min(self.device.size());
        self.last = checksum;
    }

    /// Of no length and no bytes it is not 0, so zeros are no record.
    fn checksum(&self, line: &[u8]) -> u32 {
        let before = self.last.to_le_bytes();
        Crc32c::new().update(&before).update(&(line.len() as u32).to_le_bytes()).update(line).value()
    }

    /// Stores bytes, and makes them durable.
    fn store(&self, offset: u64, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        self.device.write(|writer| {
            writer.store(offset, bytes)?;
            writer.write_back(offset..offset + bytes.len() as u64)?;
            writer.fence();
            Ok::<(), OutOfRange>(())
        })??;
        Ok(())
    }
}
