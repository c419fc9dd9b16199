//! Directed strays: stores of a thread that has no grant, one by one, each an instruction that a debugger has it
//! execute at an address of a device. Under a key each has to be denied and leave the device as it was; in the control
//! group each has to be stored.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use libc::{SIGSEGV, SIGTRAP};
use serde::{Deserialize, Serialize};

use super::run::Bench;
use crate::faults::campaign::INTERRUPTED;
use crate::faults::debugger::{Debugger, Result, Unfollowed};
use crate::faults::record::Group;
use crate::faults::template::LENGTH;
use crate::gdb::Register;

/// A store: its name, its instruction, which goes to RDI and gets what it stores from RAX, XMM0 or RCX, and how many
/// bytes it changes when it is executed for one step.
struct Shape {
    name: &'static str,
    code: &'static [u8],
    bytes: usize,
}

#[rustfmt::skip]
const SHAPES: [Shape; 10] = [
    Shape { name: "mov byte", code: &[0x88, 0x07], bytes: 1 },
    Shape { name: "mov word", code: &[0x66, 0x89, 0x07], bytes: 2 },
    Shape { name: "mov dword", code: &[0x89, 0x07], bytes: 4 },
    Shape { name: "mov qword", code: &[0x48, 0x89, 0x07], bytes: 8 },
    Shape { name: "movnti", code: &[0x48, 0x0f, 0xc3, 0x07], bytes: 8 },
    Shape { name: "movups", code: &[0x0f, 0x11, 0x07], bytes: 16 },
    Shape { name: "rep stosb", code: &[0xf3, 0xaa], bytes: 1 },
    Shape { name: "rep movsb", code: &[0xf3, 0xa4], bytes: 1 },
    Shape { name: "xchg", code: &[0x48, 0x87, 0x07], bytes: 8 },
    Shape { name: "lock xadd", code: &[0xf0, 0x48, 0x0f, 0xc1, 0x07], bytes: 8 },
];
/// The most bytes that one changes.
const MOST: usize = 16;
/// How far apart the instructions are in memory, and how many bytes of it there are.
const APART: u64 = 16;
const PAGE: u64 = 4096;
/// Where RSI points to in that page: what block moves copy.
const SOURCE: u64 = 2048;
/// How many strays are made between two looks at whether to stop.
const LOOK: u64 = 1000;

/// What came of strays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strays {
    /// How many there were.
    pub count: u64,
    /// How many a protection key has denied, with nothing stored.
    pub denied: u64,
    /// How many have stored.
    pub stored: u64,
    /// The first that did neither, or both, for people.
    pub odd: Vec<String>,
    /// Whether both devices were as before in the end.
    pub whole: bool,
}

impl Strays {
    /// Whether that is what has to come of them in a group.
    pub fn is_good(&self, group: Group) -> bool {
        let expected = if group.is_protected() { self.denied } else { self.stored };
        expected == self.count && self.odd.is_empty() && self.whole
    }
}

/// Makes `count` strays in a store of this group.
///
/// # Errors
/// When the store cannot be followed, or it is told to stop.
pub fn run(bench: &Bench, group: Group, seed: u64, count: u64, stop: &AtomicBool) -> Result<Strays> {
    let place = bench.workplace()?;
    let (mut store, paths) = (bench.start(group, &place)?, &place.files);
    store.settle()?;
    let devices = store.devices.clone();
    let open = |path: &PathBuf| File::options().read(true).write(true).open(path);
    let files = [open(&paths[0])?, open(&paths[1])?];
    let before = [std::fs::read(&paths[0])?, std::fs::read(&paths[1])?];
    let process = &mut store.process;
    let access = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let code = process.call(libc::SYS_mmap, [0, PAGE, access, flags, u64::MAX, 0])?;
    for (shape, at) in SHAPES.iter().zip((code..).step_by(APART as usize)) {
        process.write(at, shape.code)?;
    }
    process.select(1)?;
    let (mut random, mut strays) = (Rng::with_seed(seed), Strays::default());
    for number in 0..count {
        if number % LOOK == 0 && stop.load(Ordering::SeqCst) {
            return Err(Unfollowed(INTERRUPTED.into()));
        }
        let (shape, device) = (random.usize(..SHAPES.len()), random.usize(..2));
        let offset = random.u64(..LENGTH - MOST as u64);
        let (file, whole) = (&files[device], &before[device][offset as usize..][..MOST]);
        // Something else than what is there, whatever is stored of it.
        let value = !u128::from_le_bytes(*whole.first_chunk().unwrap_or(&[0; MOST]));
        let at = devices[device].start + offset;
        process.arrange(&[
            (Register::RIP, code + shape as u64 * APART),
            (Register::RDI, at),
            (Register::RAX, value as u64),
            (Register::RCX, 64),
            (Register::RSI, code + SOURCE),
        ])?;
        let Shape { name, bytes, .. } = SHAPES[shape];
        match name {
            "movups" => Register::vector().take(1).try_for_each(|register| process.set_register(register, value))?,
            "rep movsb" => process.write(code + SOURCE, &value.to_le_bytes()[..1])?,
            _ => {}
        }
        let step = process.step(1)?;
        let denied = process.denied().iter().any(|address| (at..at + bytes as u64).contains(address));
        let mut now = [0; MOST];
        file.read_exact_at(&mut now, offset)?;
        let changed = now != *whole;
        strays.count += 1;
        match (i32::from(step.signal), denied, changed) {
            (SIGSEGV, true, false) => strays.denied += 1,
            (SIGTRAP, false, true) => strays.stored += 1,
            (signal, ..) if strays.odd.len() < 8 => strays.odd.push(format!(
                "stray {number}, {name} to {offset:#x} of device {device}: signal {signal}, denied {denied}, changed {changed}"
            )),
            _ => {}
        }
        if changed {
            file.write_all_at(whole, offset)?;
        }
        process.forgive();
    }
    process.kill();
    strays.whole = std::fs::read(&paths[0])? == before[0] && std::fs::read(&paths[1])? == before[1];
    Ok(strays)
}
