//! `cargo xtask pool …`: looks into an image from the host; what its operations cost; and the mutants that
//! measure its tests.

pub mod bench;
pub mod mutants;

use std::path::Path;

use anyhow::{Context, Result, bail};
use pmem::Device;

/// What the image at `path` holds, for people. The image is only read, and locked against writers in the meantime.
///
/// # Errors
/// When the file cannot be read, a machine is using it, or it holds no pool that this version knows.
pub fn info(path: &Path) -> Result<String> {
    let name = path.display();
    let metadata = path.metadata().with_context(|| format!("cannot look at {name}"))?;
    if !metadata.is_file() {
        bail!("{name} is not a regular file");
    }
    let device = Device::open_read_only(path)?;
    let inspection = pmem::inspect(&device).with_context(|| format!("{name} holds no pool that can be opened"))?;
    Ok(format!("image:     {name}\n{inspection}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::PmemImage;
    use crate::size::MIB;
    use pmem::{FormatOptions, Pool};
    use std::fs::{self, File};

    fn message(path: &Path) -> String {
        format!("{:#}", info(path).unwrap_err())
    }

    #[test]
    fn a_pool_is_described_and_its_image_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool.img");
        let mut pool = Pool::format(Device::create(&path, 64 * MIB).unwrap(), &FormatOptions::new([7; 16])).unwrap();
        pool.turn(|turn| turn.put(b"key", b"value", None)).unwrap().0.unwrap();
        pool.close().unwrap();
        let before = fs::read(&path).unwrap();
        let text = info(&path).unwrap();
        assert!(text.contains("keys:      1\n") && text.contains("clean shutdown"), "{text}");
        assert!(text.contains("pool.img"), "{text}");
        assert!(fs::read(&path).unwrap() == before);
    }

    #[test]
    fn an_image_that_a_machine_uses_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pool.img");
        let _machine = PmemImage::open(&path, Some(64 * MIB)).unwrap();
        assert!(message(&path).contains("in use"));
    }

    #[test]
    fn what_holds_no_pool_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blank.img");
        assert!(message(&path).contains("cannot look at"));
        File::create(&path).unwrap();
        assert!(message(&path).contains("empty"));
        File::create(&path).unwrap().set_len(64 * MIB).unwrap();
        let blank = message(&path);
        fs::write(&path, vec![0x5a; 1 << 20]).unwrap();
        let foreign = message(&path);
        assert!(blank.contains("no pool") && foreign.contains("no pool") && blank != foreign, "{blank}\n{foreign}");
        assert!(message(directory.path()).contains("not a regular file"));
    }
}
