//! Strings as rows of bits: bit 0 is the highest of the first byte.

/// Some of a string's bits, those from `first` to `last`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BitRange {
    /// The first bit.
    pub first: u64,
    /// The last bit.
    pub last: u64,
}

impl BitRange {
    /// The bytes that have them, first and last.
    pub fn bytes(self) -> (u64, u64) {
        (self.first / 8, self.last / 8)
    }

    /// Clears the bits of a piece of the string that are not among them. The piece begins at byte `offset`, and has
    /// none but [`Self::bytes`].
    fn mask(self, offset: u64, piece: &mut [u8]) {
        let (first, last) = self.bytes();
        if offset == first
            && let Some(byte) = piece.first_mut()
        {
            *byte &= 0xff >> (self.first % 8);
        }
        if offset + piece.len() as u64 == last + 1
            && let Some(byte) = piece.last_mut()
        {
            *byte &= 0xff << (7 - self.last % 8);
        }
    }

    /// How many of them are set in a piece of the string that begins at byte `offset`. The piece is changed.
    pub fn count(self, offset: u64, piece: &mut [u8]) -> u64 {
        self.mask(offset, piece);
        let (words, rest) = piece.as_chunks::<8>();
        let in_words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
        in_words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
    }

    /// The first of them that is `set` in a piece of the string that begins at byte `offset`. The piece is changed.
    pub fn find(self, set: bool, offset: u64, piece: &mut [u8]) -> Option<u64> {
        if !set {
            piece.iter_mut().for_each(|byte| *byte = !*byte);
        }
        self.mask(offset, piece);
        let at = piece.iter().position(|byte| *byte != 0)?;
        Some((offset + at as u64) * 8 + u64::from(piece[at].leading_zeros()))
    }
}

/// A bit; beyond the end all are clear.
pub fn bit(bytes: &[u8], at: u64) -> bool {
    bytes.get((at / 8) as usize).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
}

/// Changes a bit that is there.
pub fn set_bit(bytes: &mut [u8], at: u64, set: bool) {
    let mask = 1 << (7 - at % 8);
    if let Some(byte) = bytes.get_mut((at / 8) as usize) {
        *byte = if set { *byte | mask } else { *byte & !mask };
    }
}

/// The number in `width` bits, at most 64, the highest first.
pub fn field(bytes: &[u8], at: u64, width: u32) -> u64 {
    (at..at + u64::from(width)).fold(0, |value, at| value << 1 | u64::from(bit(bytes, at)))
}

/// Writes the lowest `width` bits of a number.
pub fn set_field(bytes: &mut [u8], at: u64, width: u32, value: u64) {
    for below in 0..u64::from(width) {
        set_bit(bytes, at + u64::from(width) - 1 - below, value >> below & 1 == 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bits of the range, one by one.
    fn bits(bytes: &[u8], range: BitRange) -> impl Iterator<Item = (u64, bool)> {
        (range.first..=range.last).map(move |at| (at, bit(bytes, at)))
    }

    proptest! {
        #[test]
        fn bits_are_counted_and_found_in_pieces_as_one_by_one(
            bytes in prop::collection::vec(prop_oneof![Just(0), Just(0xff), any::<u8>()], 1..60),
            (from, to) in (0..480u64, 0..480u64),
            piece in 1..20usize,
        ) {
            let end = bytes.len() as u64 * 8 - 1;
            let range = BitRange { first: from.min(to).min(end), last: from.max(to).min(end) };
            let (first, last) = range.bytes();
            let (mut count, mut set, mut clear) = (0, None, None);
            let inside = &bytes[first as usize..=last as usize];
            for (number, chunk) in inside.chunks(piece).enumerate() {
                let offset = first + (number * piece) as u64;
                count += range.count(offset, &mut chunk.to_vec());
                set = set.or_else(|| range.find(true, offset, &mut chunk.to_vec()));
                clear = clear.or_else(|| range.find(false, offset, &mut chunk.to_vec()));
            }
            prop_assert_eq!(count, bits(&bytes, range).filter(|(_, set)| *set).count() as u64);
            prop_assert_eq!(set, bits(&bytes, range).find(|(_, set)| *set).map(|(at, _)| at));
            prop_assert_eq!(clear, bits(&bytes, range).find(|(_, set)| !*set).map(|(at, _)| at));
        }

        #[test]
        fn a_field_is_read_as_it_was_written_and_its_neighbours_stay(
            before: [u8; 12],
            at in 0..32u64,
            width in 1..=64u32,
            value: u64,
        ) {
            let mut bytes = before;
            set_field(&mut bytes, at, width, value);
            prop_assert_eq!(field(&bytes, at, width), value & (u64::MAX >> (64 - width)));
            for other in (0..at).chain(at + u64::from(width)..96) {
                prop_assert_eq!(bit(&bytes, other), bit(&before, other));
            }
        }
    }
}
