//! Files that are no files: what programs for other systems expect in `/dev`.

use crate::io::{IoSlices, IoSlicesMut};

/// Fills a buffer with random bytes.
pub type Entropy = fn(&mut [u8]);

/// A character device.
#[derive(Clone, Copy, Debug)]
pub enum Device {
    /// Is at its end, and takes everything.
    Null,
    /// Gives zeros, and takes everything.
    Zero,
    /// Gives random bytes, and takes everything.
    Random(Entropy),
}

impl Device {
    /// Fills the buffers; how many bytes.
    pub fn read(self, into: &mut IoSlicesMut<'_>) -> usize {
        let mut read = 0;
        for part in into.iter_mut() {
            match self {
                Self::Null => return 0,
                Self::Zero => part.fill(0),
                Self::Random(entropy) => entropy(part),
            }
            read += part.len();
        }
        read
    }

    /// Takes what is written and forgets it; how many bytes.
    pub fn write(self, from: &IoSlices<'_>) -> usize {
        from.iter().map(<[u8]>::len).sum()
    }
}
