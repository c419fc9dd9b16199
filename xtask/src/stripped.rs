//! Guest images without what only the host reads: names, lines and the table of sections.
//!
//! Lies beside the image that it was made of, which tells what the addresses in its reports mean.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use object::elf::{FileHeader64, SHN_UNDEF};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, LittleEndian, pod};
use tempfile::NamedTempFile;

/// What the name of an image has at its end if it has no symbols.
const EXTENSION: &str = "stripped";

/// Makes the image without symbols beside this one, unless it is there; its path.
///
/// # Errors
/// When the image is none or cannot be read, or the other one cannot be written.
pub fn make(image: &Path) -> Result<PathBuf> {
    let stripped = image.with_added_extension(EXTENSION);
    let making = || -> Result<()> {
        let bytes = strip(&fs::read(image)?)?;
        if fs::read(&stripped).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        // Whole or not at all, since a machine may be reading the one before.
        let directory = image.parent().context("it is in no directory")?;
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(&bytes)?;
        file.as_file().set_permissions(fs::metadata(image)?.permissions())?;
        file.persist(&stripped)?;
        Ok(())
    };
    making().with_context(|| format!("cannot strip {}", image.display()))?;
    Ok(stripped)
}

/// The image with the symbols of this one: itself, or the one that it was made of.
pub fn with_symbols(image: &Path) -> PathBuf {
    if image.extension().is_some_and(|extension| extension == EXTENSION) {
        return image.with_extension("");
    }
    image.to_owned()
}

/// What a loader reads of an image: its headers and its segments, which are at the same places.
fn strip(image: &[u8]) -> Result<Vec<u8>> {
    let header = FileHeader64::<Endianness>::parse(image)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, image)?;
    let headers = header.e_phoff(endian) + u64::from(header.e_phentsize(endian)) * segments.len() as u64;
    let ends = segments.iter().map(|segment| segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
    let end = usize::try_from(ends.fold(headers, u64::max))?;
    ensure!(end <= image.len(), "it ends within a segment");
    let mut bytes = image[..end].to_vec();
    let (header, _) = pod::from_bytes_mut::<FileHeader64<LittleEndian>>(&mut bytes).ok().context("it has no header")?;
    header.e_shoff.set(LittleEndian, 0);
    header.e_shnum.set(LittleEndian, 0);
    header.e_shstrndx.set(LittleEndian, SHN_UNDEF);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use object::{Object, ObjectSegment};

    use super::*;

    #[test]
    fn a_stripped_image_has_the_same_segments_at_the_same_places_and_nothing_else() {
        let image = fs::read(std::env::current_exe().unwrap()).unwrap();
        let stripped = strip(&image).unwrap();
        assert!(stripped.len() < image.len());
        let [whole, bare] = [&image, &stripped].map(|bytes| object::File::parse(&**bytes).unwrap());
        let segments = |file: &object::File<'_>| {
            let segments = file.segments().map(|segment| (segment.address(), segment.file_range()));
            segments.collect::<Vec<_>>()
        };
        assert_eq!((segments(&whole), whole.entry()), (segments(&bare), bare.entry()));
        for segment in bare.segments() {
            let (from, length) = segment.file_range();
            let range = from as usize..(from + length) as usize;
            assert!(range.start < 64 || image[range.clone()] == stripped[range], "the header is in the first");
        }
        assert_eq!((bare.sections().count(), bare.symbols().count()), (0, 0));
        assert_eq!(strip(&stripped).unwrap(), stripped, "nothing more can go");
    }

    #[test]
    fn what_is_cut_off_or_no_image_is_refused() {
        let image = fs::read(std::env::current_exe().unwrap()).unwrap();
        let stripped = strip(&image).unwrap();
        assert!(strip(&stripped[..stripped.len() - 1]).is_err() && strip(b"no image").is_err() && strip(&[]).is_err());
    }

    #[test]
    fn the_symbols_are_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("app");
        fs::copy(std::env::current_exe().unwrap(), &image).unwrap();
        let stripped = make(&image).unwrap();
        assert_eq!(stripped, directory.path().join("app.stripped"));
        assert_eq!((with_symbols(&stripped), with_symbols(&image)), (image.clone(), image.clone()));
        let made = fs::metadata(&stripped).unwrap().modified().unwrap();
        assert_eq!(make(&image).unwrap(), stripped);
        assert_eq!(fs::metadata(&stripped).unwrap().modified().unwrap(), made, "it was there");
    }
}
