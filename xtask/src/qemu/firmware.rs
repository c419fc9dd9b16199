//! What runs in a machine before the image.

use std::path::{Path, PathBuf};

use crate::setup::{self, toolchain::find_program};

/// Where distributions have the files that QEMU comes with.
const PLACES: [&str; 3] = ["/usr/share/qemu", "/usr/share/seabios", "/usr/local/share/qemu"];

/// A machine's firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Firmware {
    /// qboot, which starts a kernel and looks at hardly anything before, where QEMU has it; else the usual one.
    #[default]
    Quick,
    /// What QEMU takes if nothing else is said: SeaBIOS.
    Usual,
}

impl Firmware {
    /// The file that QEMU is told to take.
    pub(super) fn file(self) -> Option<PathBuf> {
        let program = find_program(setup::QEMU.program);
        let own = program.as_deref().and_then(Path::parent).map(|directory| directory.join("../share/qemu"));
        let places = own.into_iter().chain(PLACES.map(PathBuf::from));
        match self {
            Self::Quick => places.map(|place| place.join("qboot.rom")).find(|file| file.is_file()),
            Self::Usual => None,
        }
    }
}
