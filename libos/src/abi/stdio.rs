//! The three descriptors that every program finds open.

use hermit_abi::{S_IFCHR, stat};

use super::errno::Errno;
use super::object::Object;
use crate::console;
use crate::io::{IoSlices, IoSlicesMut, Ready};

/// Standard input: there is none, so it is at its end.
pub(super) struct Input;

impl Object for Input {
    fn read(&self, _into: &mut IoSlicesMut<'_>) -> Result<usize, Errno> {
        Ok(0)
    }

    fn look(&self, _interest: Ready) -> Ready {
        Ready::IN
    }

    fn describe(&self, about: &mut stat) {
        about.st_mode = S_IFCHR;
    }
}

/// Standard output (1) or standard error (2): the console.
pub(super) struct Output(pub(super) u8);

impl Object for Output {
    fn write(&self, from: &IoSlices<'_>) -> Result<usize, Errno> {
        let mut written = 0;
        for part in from.iter() {
            console::write(self.0, part);
            written += part.len();
        }
        Ok(written)
    }

    fn look(&self, _interest: Ready) -> Ready {
        Ready::OUT
    }

    fn describe(&self, about: &mut stat) {
        about.st_mode = S_IFCHR;
    }
}
