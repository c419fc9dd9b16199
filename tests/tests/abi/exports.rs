//! What the compiled library exports.

use std::collections::BTreeSet;
use std::path::Path;

use object::read::archive::ArchiveFile;
use xtask::guest::IMAGES_VARIABLE;

/// The functions `sys_…` in the symbol table of the library that the images were linked with.
pub(crate) fn of_the_library() -> BTreeSet<String> {
    let images = std::env::var_os(IMAGES_VARIABLE).expect("run the tests that look at images by `cargo xtask test`");
    let dependencies = Path::new(&images).join("deps");
    // Other builds leave theirs lying about; the images are linked with the last one.
    let library = std::fs::read_dir(&dependencies)
        .unwrap()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("liblibos-") && name.ends_with(".rlib")
        })
        .max_by_key(|entry| entry.metadata().and_then(|metadata| metadata.modified()).unwrap())
        .unwrap_or_else(|| panic!("there is no liblibos-*.rlib in {}", dependencies.display()));
    let bytes = std::fs::read(library.path()).unwrap();
    let archive = ArchiveFile::parse(&*bytes).unwrap();
    let symbols = archive.symbols().unwrap().expect("an archive of objects has a table of symbols");
    symbols
        .map(|symbol| String::from_utf8_lossy(symbol.unwrap().name()).into_owned())
        .filter(|name| name.starts_with("sys_"))
        .collect()
}
