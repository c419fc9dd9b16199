//! The disk under a mapped file. A sparse file takes room there as it is stored to, and a store for which there is none
//! left is no error that could be returned: the system ends the process by SIGBUS.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::{fmt, io};

use rustix::fs::fstatvfs;

/// That the disk under a file has less room than the file may come to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortage {
    /// Bytes that the file may still take.
    pub wanted: u64,
    /// Bytes that are free.
    pub free: u64,
}

impl Shortage {
    /// What `file` lacks, if anything.
    pub fn of(file: &File) -> io::Result<Option<Shortage>> {
        let metadata = file.metadata()?;
        let disk = fstatvfs(file)?;
        Ok(Self::between(metadata.len(), metadata.blocks() * 512, disk.f_bavail.saturating_mul(disk.f_frsize)))
    }

    fn between(length: u64, taken: u64, free: u64) -> Option<Shortage> {
        let wanted = length.saturating_sub(taken);
        (wanted > free).then_some(Shortage { wanted, free })
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let (wanted, free) = (mib(self.wanted), self.free >> 20);
        write!(
            f,
            "it may take {wanted} MiB more, and its disk has {free} MiB; one that is full ends the program (SIGBUS)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_file_on_a_disk_with_less_room_is_short_of_it() {
        const MIB: u64 = 1 << 20;
        assert_eq!(Shortage::between(64 * MIB, 4 * MIB, 60 * MIB), None);
        let shortage = Shortage::between(64 * MIB, 4 * MIB, 60 * MIB - 1).unwrap();
        assert_eq!(shortage, Shortage { wanted: 60 * MIB, free: 60 * MIB - 1 });
        assert!(shortage.to_string().contains("60 MiB more, and its disk has 59 MiB"), "{shortage}");
        // One that is not sparse wants nothing, however full the disk is; its blocks may be more than its bytes.
        assert_eq!(Shortage::between(5000, 8192, 0), None);
    }
}
