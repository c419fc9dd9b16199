//! How many frames a network card has sent and received, from the file that QEMU writes them to (libpcap's format).

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The hardware address that QEMU gives the first card.
const CARD: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/// Bytes that a tap device has in front of each frame: the header of virtio's network cards.
const TAP_HEADER: usize = 12;
/// The first number of a file whose numbers are as this processor has them.
const MAGIC: u32 = 0xa1b2_c3d4;

/// Frames that a card has received and sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Received.
    pub incoming: u64,
    /// Sent.
    pub outgoing: u64,
}

impl Frames {
    /// Counts those in a file, of a card on a tap device or on another network.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn count(file: &Path, is_tap: bool) -> Result<Self> {
        let open = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        let before = if is_tap { TAP_HEADER } else { 0 };
        Self::read(BufReader::new(open), before).with_context(|| format!("cannot read {}", file.display()))
    }

    /// Counts those that are read, with so many bytes before each.
    fn read(mut file: impl Read, before: usize) -> Result<Self> {
        let mut header = [0; 24];
        file.read_exact(&mut header)?;
        if number(&header, 0) != MAGIC {
            bail!("it is no file of libpcap's");
        }
        let mut frames = Self::default();
        let mut record = [0; 16];
        loop {
            match file.read_exact(&mut record) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(frames),
                result => result?,
            }
            let mut frame = vec![0; number(&record, 8) as usize];
            match file.read_exact(&mut frame) {
                // QEMU is about to write the rest.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(frames),
                result => result?,
            }
            match frame.get(before + 6..before + 12) == Some(&CARD[..]) {
                true => frames.outgoing += 1,
                false => frames.incoming += 1,
            }
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(frames: &[&[u8]]) -> Vec<u8> {
        let mut file = MAGIC.to_ne_bytes().to_vec();
        file.extend([0; 20]);
        for frame in frames {
            file.extend([0; 8]);
            file.extend([frame.len() as u32, 1500].iter().flat_map(|length| length.to_ne_bytes()));
            file.extend(*frame);
        }
        file
    }

    #[test]
    fn frames_are_the_cards_by_their_source() {
        let from_card = [[2; 6].to_vec(), CARD.to_vec(), vec![8, 0]].concat();
        let to_card = [CARD.to_vec(), [2; 6].to_vec(), vec![8, 0]].concat();
        let whole = file(&[&from_card, &to_card, &to_card, &[1, 2]]);
        assert_eq!(Frames::read(&*whole, 0).unwrap(), Frames { incoming: 3, outgoing: 1 });
        // The last one is being written.
        assert_eq!(Frames::read(&whole[..whole.len() - 1], 0).unwrap(), Frames { incoming: 2, outgoing: 1 });
        assert_eq!(Frames::read(&*file(&[]), 0).unwrap(), Frames::default());
        assert!(Frames::read(&[0; 24][..], 0).is_err() && Frames::read(&whole[..20], 0).is_err());
        let on_tap = [&[0; TAP_HEADER][..], &from_card].concat();
        assert_eq!(Frames::read(&*file(&[&on_tap]), TAP_HEADER).unwrap(), Frames { incoming: 0, outgoing: 1 });
    }
}
