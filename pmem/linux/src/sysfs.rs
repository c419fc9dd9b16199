//! What the kernel tells of disks and of DAX devices, in the files below `/sys`.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Dev, major, minor};

/// A DAX device: memory that is mapped without a file system, as `/dev/dax0.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DaxDevice {
    /// Its length in bytes.
    pub(crate) len: u64,
    /// Where its persistence domain begins; nothing where it is memory that goes with the power.
    pub(crate) domain: Option<Domain>,
}

/// Where the persistence domain of a region of NVDIMMs begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    /// At the processor's caches (eADR).
    Caches,
    /// At the memory controller (ADR). That is what is left where the platform says nothing, too: then nothing but
    /// written-back lines can be relied on.
    MemoryController,
}

/// The DAX device with this number of a character device, if it is one.
pub(crate) fn dax_device(number: Dev) -> Option<DaxDevice> {
    dax_device_at(&numbered("char", number))
}

/// Where the persistence domain of the disk with this number begins, if it is persistent memory.
pub(crate) fn domain_of_disk(number: Dev) -> Option<Domain> {
    domain_at(&numbered("block", number))
}

/// The directory of a device.
fn numbered(kind: &str, number: Dev) -> PathBuf {
    format!("/sys/dev/{kind}/{}:{}", major(number), minor(number)).into()
}

fn dax_device_at(directory: &Path) -> Option<DaxDevice> {
    let subsystem = fs::read_link(directory.join("subsystem")).ok()?;
    if subsystem.file_name()? != "dax" {
        return None;
    }
    let len = fs::read_to_string(directory.join("size")).ok()?.trim().parse().ok()?;
    Some(DaxDevice { len, domain: domain_at(directory) })
}

/// The domain of what is at this directory. Whatever lies on NVDIMMs is below their region, but for a disk that is made
/// of others, which it names: its domain begins at the caches only if those of all of them do.
fn domain_at(directory: &Path) -> Option<Domain> {
    let directory = directory.canonicalize().ok()?;
    let told = |above: &Path| fs::read_to_string(above.join("persistence_domain")).ok();
    if let Some(word) = directory.ancestors().find_map(told) {
        return Some(if word.trim() == "cpu_cache" { Domain::Caches } else { Domain::MemoryController });
    }
    let parts = fs::read_dir(directory.join("slaves")).ok()?;
    let domains: Option<Vec<_>> = parts.map(|part| domain_at(&part.ok()?.path())).collect();
    let domains = domains.filter(|domains| !domains.is_empty())?;
    Some(if domains.contains(&Domain::MemoryController) { Domain::MemoryController } else { Domain::Caches })
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Directories as the kernel has them: two regions, a disk in each, one made of both, and DAX devices.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for (region, word) in [("region0", "cpu_cache\n"), ("region1", "memory_controller\n"), ("region2", "\n")] {
            let disk = format!("{region}/namespace/block/pmem");
            fs::create_dir_all(at(&disk)).unwrap();
            fs::write(at(&format!("{region}/persistence_domain")), word).unwrap();
        }
        let parts = [("one", &["region0"][..]), ("both", &["region0", "region1"]), ("mixed", &["region0", "sda"])];
        fs::create_dir_all(at("sda/namespace/block/pmem/slaves")).unwrap();
        for (name, regions) in parts {
            fs::create_dir_all(at(&format!("{name}/slaves"))).unwrap();
            for region in regions {
                let disk = at(&format!("{region}/namespace/block/pmem"));
                symlink(disk, at(&format!("{name}/slaves/{region}"))).unwrap();
            }
        }
        for (name, subsystem) in
            [("region1/dax1.0", "bus/dax"), ("hmem/dax2.0", "class/dax"), ("mem/null", "class/mem")]
        {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(&format!("{name}/size")), "130023424\n").unwrap();
            symlink(Path::new("../..").join(subsystem), at(&format!("{name}/subsystem"))).unwrap();
        }
        root
    }

    #[test]
    fn a_disk_has_the_domain_of_its_region_or_of_the_weakest_of_its_parts() {
        let root = tree();
        for (path, domain) in [
            ("region0/namespace/block/pmem", Some(Domain::Caches)),
            ("region1/namespace/block/pmem", Some(Domain::MemoryController)),
            ("region2/namespace/block/pmem", Some(Domain::MemoryController)),
            ("one", Some(Domain::Caches)),
            ("both", Some(Domain::MemoryController)),
            ("mixed", None),
            ("sda/namespace/block/pmem", None),
            ("nowhere", None),
        ] {
            assert_eq!(domain_at(&root.path().join(path)), domain, "{path}");
        }
    }

    #[test]
    fn dax_devices_are_told_by_their_subsystem_and_may_be_memory_that_is_not_persistent() {
        let root = tree();
        let found = |path: &str| dax_device_at(&root.path().join(path));
        let len = 130_023_424;
        assert_eq!(found("region1/dax1.0"), Some(DaxDevice { len, domain: Some(Domain::MemoryController) }));
        assert_eq!(found("hmem/dax2.0"), Some(DaxDevice { len, domain: None }));
        assert_eq!(found("mem/null"), None);
        assert_eq!(found("nowhere"), None);
    }
}
