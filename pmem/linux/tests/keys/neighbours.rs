//! Two devices, the second right behind the first, and an ordinary page before them.

use std::fs::File;
use std::os::unix::fs::FileExt;

use libos_contract::protection::Protection;
use pmem_linux::Device;

use crate::devices::{self, BEFORE, LEN};

/// How often to open two until they are neighbours. A process has keys for so many.
const TRIES: usize = 7;
/// The length of the page before them.
const PAGE: usize = 4096;

/// One of them.
pub struct Neighbour {
    pub device: Device,
    /// Its first byte's address.
    pub start: usize,
    /// Its key's number.
    pub key: Option<u32>,
    /// By which the test sees its bytes, whatever the rights.
    file: File,
}

impl Neighbour {
    fn open(protection: Protection) -> Self {
        let file = devices::file();
        let device = devices::open(&file, protection).unwrap();
        let (start, key) = (devices::address(&device, 0), devices::key(&device));
        Self { device, start, key, file: file.into_file() }
    }
}

/// Both.
pub struct Neighbours {
    pub both: [Neighbour; 2],
}

impl Neighbours {
    /// Opens them under `protection`.
    pub fn open(protection: Protection) -> Self {
        // The kernel looks for room downwards. What has filled a hole stays, so that the next two find another one.
        let mut elsewhere = Vec::new();
        for _ in 0..TRIES {
            let second = Neighbour::open(protection);
            let first = Neighbour::open(protection);
            if first.start + LEN == second.start && map_page(first.start - PAGE) {
                return Self { both: [first, second] };
            }
            elsewhere.push([first, second]);
        }
        panic!("no two devices are neighbours");
    }

    /// The bytes of both, one after the other.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 2 * LEN];
        for (of, bytes) in self.both.iter().zip(bytes.chunks_mut(LEN)) {
            of.file.read_exact_at(bytes, 0).unwrap();
        }
        bytes
    }

    /// Makes them as they were.
    pub fn put_back(&self) {
        self.both.iter().for_each(|of| of.file.write_all_at(&[BEFORE; LEN], 0).unwrap());
    }
}

/// Maps an ordinary page there, if nothing is there yet.
fn map_page(at: usize) -> bool {
    let (permissions, place) = (libc::PROT_READ | libc::PROT_WRITE, at as *mut libc::c_void);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: the map takes the place of no other.
    unsafe { libc::mmap(place, PAGE, permissions, flags, -1, 0) == place }
}
