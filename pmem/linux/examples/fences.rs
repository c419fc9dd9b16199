//! What brings stored bytes to a disk at the least cost: `cargo run --release -p pmem-linux --example fences -- FILE`.
//!
//! Makes the file, maps it, stores to one or to several places of it, and asks the kernel to bring that to the disk: by
//! msync(2) of each place, by one msync(2) from the first to the last, and by fdatasync(2). The three take turns, so
//! that what else the computer does is the same for all. It prints the system calls and the median time of each.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{Duration, Instant};
use std::{env, io};

/// The file's length, and a page's.
const LEN: usize = 64 << 20;
const PAGE: usize = 4096;
/// How often each is measured.
const ROUNDS: usize = 300;

/// The ways. The first makes a system call for each place.
const WAYS: [&str; 3] = ["msync of each place", "msync of all between them", "fdatasync"];

fn main() -> io::Result<()> {
    let path = env::args_os().nth(1).ok_or_else(|| io::Error::other("which file is to be made?"))?;
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    let measured = measure(&file);
    fs::remove_file(&path)?;
    measured
}

fn measure(file: &File) -> io::Result<()> {
    file.set_len(LEN as u64)?;
    let flags = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new map at a place that the kernel chooses touches nothing that is there.
    let map = unsafe { libc::mmap(ptr::null_mut(), LEN, flags.0, flags.1, file.as_raw_fd(), 0) };
    if map == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let map = map.cast::<u8>();
    // Every page has its place on the disk before time counts.
    // SAFETY: the map has so many bytes, and nobody else knows of it.
    unsafe { map.write_bytes(1, LEN) };
    file.sync_all()?;
    println!("| places stored to | way | system calls | median |\n|---|---|---|---|");
    for places in [1, 3, 8] {
        let mut times: [Vec<Duration>; WAYS.len()] = Default::default();
        for round in 0..ROUNDS {
            for (way, times) in times.iter_mut().enumerate() {
                times.push(fence(file, map, way, places, round)?);
            }
        }
        for (way, mut times) in times.into_iter().enumerate() {
            times.sort();
            let calls = if way == 0 { places } else { 1 };
            println!("| {places} | {} | {calls} | {:.1?} |", WAYS[way], times[ROUNDS / 2]);
        }
    }
    Ok(())
}

/// Stores to so many places that lie apart, and how long it takes to bring that to the disk.
fn fence(file: &File, map: *mut u8, way: usize, places: usize, round: usize) -> io::Result<Duration> {
    let place = |number: usize| (number * (LEN / PAGE / places) + round) * PAGE % LEN;
    for number in 0..places {
        // SAFETY: the place is within the map, and nobody else knows of it.
        unsafe { map.add(place(number)).write_volatile(round as u8) };
    }
    let begun = Instant::now();
    match way {
        0 => (0..places).try_for_each(|number| msync(map, place(number), PAGE))?,
        1 => {
            let first = (0..places).map(place).min().unwrap_or(0);
            let last = (0..places).map(place).max().unwrap_or(0);
            msync(map, first, last + PAGE - first)?;
        }
        _ => file.sync_data()?,
    }
    Ok(begun.elapsed())
}

fn msync(map: *mut u8, at: usize, len: usize) -> io::Result<()> {
    // SAFETY: whole pages of the map; nothing of them changes.
    match unsafe { libc::msync(map.add(at).cast(), len, libc::MS_SYNC) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
