//! Planted defects: images of the programs that do what the tests of durability have to find.
//!
//! Each is a patch file in `tests/planted`, in the folder of the program that has it. (To leave events out of a trace
//! would be cheaper, and show less: neither that the plugin sees the difference nor that a reply that overtakes its
//! fence is noticed.)

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::defects::{self, Defect};
use crate::setup::toolchain::Toolchain;
use crate::{guest, workspace};

/// The variable that tells where the images with planted defects are, each in a directory with the defect's name.
pub const PLANTED_VARIABLE: &str = "HOLDFAST_PLANTED_IMAGES";

/// What of the workspace the programs are made of.
const MEMBERS: [&str; 4] = ["libos", "pmem", "apps/kvstore", "apps/ledger"];

/// A program with a defect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plant {
    /// The program that has it.
    pub program: String,
    /// The defect.
    pub defect: Defect,
}

impl Plant {
    /// All defects of a program.
    ///
    /// # Errors
    /// When there is none, or one cannot be read.
    pub fn all(program: &str) -> Result<Vec<Self>> {
        let defects = Defect::all(&workspace::root().join("tests/planted").join(program))?;
        Ok(defects.into_iter().map(|defect| Self { program: program.into(), defect }).collect())
    }

    /// The defect of a program that has this name.
    ///
    /// # Errors
    /// When there is none; the message says which there are.
    pub fn find(program: &str, name: &str) -> Result<Self> {
        let all = Self::all(program)?;
        let names: Vec<_> = all.iter().map(|plant| plant.defect.name.clone()).collect();
        let found = all.into_iter().find(|plant| plant.defect.name == name);
        found.with_context(|| format!("{program} has no defect `{name}`; there are: {}", names.join(", ")))
    }

    /// The image with this defect, for a program that `cargo xtask` has started.
    ///
    /// # Errors
    /// When it was not built.
    pub fn image(&self) -> Result<PathBuf> {
        let directory = std::env::var_os(PLANTED_VARIABLE).with_context(|| {
            format!(
                "{PLANTED_VARIABLE} is not set: `cargo xtask crash --plant` and `cargo xtask test` build the images"
            )
        })?;
        Ok(PathBuf::from(directory).join(&self.defect.name).join(&self.program))
    }
}

/// Builds programs with each of these defects, and returns the directory to name by [`PLANTED_VARIABLE`].
///
/// # Errors
/// When a defect does not fit the sources any more, or the program does not build with it.
pub fn build(toolchain: &Toolchain, plants: &[Plant]) -> Result<PathBuf> {
    let directory = workspace::target_directory().join("planted");
    let images = directory.join("images");
    // One copy serves all, in turn: to cargo several would be the same packages, for they have the same places in their
    // workspaces.
    let copy = workspace::planted_source();
    let sources = defects::sources(&MEMBERS)?;
    for Plant { program, defect } in plants {
        let mut hasher = DefaultHasher::new();
        (&sources, fs::read(&defect.patch)?, toolchain.description()).hash(&mut hasher);
        let folder = images.join(&defect.name);
        let (built_from, image, stamp) =
            (format!("{:016x}", hasher.finish()), folder.join(program), folder.join("built-from"));
        if image.is_file() && fs::read_to_string(&stamp).is_ok_and(|there| there == built_from) {
            continue;
        }
        defects::copy(&sources, &copy)?;
        defect.put_into(&copy)?;
        let built = guest::build_copy(toolchain, &copy, program)
            .with_context(|| format!("{program} does not build with the defect {}", defect.name))?;
        fs::create_dir_all(&folder)?;
        fs::copy(built, &image)?;
        fs::write(&stamp, built_from)?;
    }
    Ok(images)
}
