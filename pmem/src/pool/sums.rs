//! Generation sums: what the generations of all segments add up to, as a segment's header tells it.
//!
//! The newest header tells them for all segments, so one that is as it was in an earlier use is known by what is
//! missing: its two generations differ by as much as the plain sums do, and the hashed ones say whether it is this
//! segment. Segments that were never used count for nothing.

use siphasher::sip::SipHasher13;

use crate::pool::segment::Segment;

/// Two sums over all segments, both modulo 2^32. Zeros: not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Of the generations.
    plain: u32,
    /// Of the low halves of hashes, each of a segment's number and its generation.
    hashed: u32,
}

impl Sums {
    /// Those of these segments.
    pub(crate) fn of(hasher: &SipHasher13, segments: &[Segment]) -> Sums {
        (0..)
            .zip(segments)
            .fold(Sums::default(), |sums, (index, segment)| sums.after(hasher, index, 0, segment.generation))
    }

    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Sums {
        let [a, b, c, d, e, f, g, h] = bytes;
        Sums { plain: u32::from_le_bytes([a, b, c, d]), hashed: u32::from_le_bytes([e, f, g, h]) }
    }

    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (self.plain.to_le_bytes(), self.hashed.to_le_bytes());
        [a, b, c, d, e, f, g, h]
    }

    /// Whether a header that says this tells anything.
    pub(crate) fn is_told(self) -> bool {
        self != Sums::default()
    }

    /// What the sums are when a segment's generation is another one.
    pub(crate) fn after(self, hasher: &SipHasher13, index: u32, from: u64, to: u64) -> Sums {
        let hash = |generation| hash(hasher, index, generation);
        Sums {
            plain: self.plain.wrapping_sub(from as u32).wrapping_add(to as u32),
            hashed: self.hashed.wrapping_sub(hash(from)).wrapping_add(hash(to)),
        }
    }

    /// The one segment of these whose generation is too low by as much as is missing to what a header `told`, which has
    /// the highest `generation` of all.
    pub(crate) fn find_outdated(
        self,
        told: Sums,
        generation: u64,
        hasher: &SipHasher13,
        segments: &[Segment],
    ) -> Option<u32> {
        let missing = u64::from(told.plain.wrapping_sub(self.plain));
        let is_it = |(index, segment): &(u32, &Segment)| {
            let known = segment.generation;
            missing > 0 && known + missing <= generation && self.after(hasher, *index, known, known + missing) == told
        };
        (0..).zip(segments).find(is_it).map(|(index, _)| index)
    }
}

fn hash(hasher: &SipHasher13, index: u32, generation: u64) -> u32 {
    if generation == 0 {
        return 0;
    }
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&index.to_le_bytes());
    bytes[4..].copy_from_slice(&generation.to_le_bytes());
    hasher.hash(&bytes) as u32
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    use super::Sums;
    use crate::pool::segment::Segment;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// One is named; of several none is, which would be a sound one more often than not.
        #[test]
        fn one_segment_that_is_as_it_was_is_named_and_of_several_none(
            generations in proptest::collection::vec(1..1000u64, 2..40),
            lost in proptest::collection::vec((0..40usize, 1..1000u64), 1..4),
        ) {
            let hasher = SipHasher13::new_with_key(&[7; 16]);
            let mut segments: Vec<Segment> =
                generations.iter().map(|generation| Segment { generation: *generation, ..Segment::UNUSED }).collect();
            let told = Sums::of(&hasher, &segments);
            let mut outdated = Vec::new();
            for (index, less) in lost {
                let index = index % segments.len();
                let known = segments[index].generation;
                segments[index].generation = known.saturating_sub(less);
                if !outdated.contains(&index) {
                    outdated.push(index);
                }
            }
            let found = Sums::of(&hasher, &segments).find_outdated(told, 1000, &hasher, &segments);
            let expected = if let [only] = outdated[..] { Some(only as u32) } else { None };
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn sums_follow_each_opening() {
        let hasher = SipHasher13::new_with_key(&[7; 16]);
        let mut segments = [Segment::UNUSED; 9];
        let mut sums = Sums::of(&hasher, &segments);
        assert!(!sums.is_told());
        for generation in 1..50 {
            let index = generation as usize * 4 % 9;
            sums = sums.after(&hasher, index as u32, segments[index].generation, generation);
            segments[index].generation = generation;
            assert_eq!(sums, Sums::of(&hasher, &segments));
            assert_eq!(Sums::from_bytes(sums.to_bytes()), sums);
        }
    }
}
