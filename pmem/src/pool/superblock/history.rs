//! The history record: which history of changes a pool's batches are of, and how far in it they are. It stands behind
//! each of the two superblocks, and is written with it.

use siphasher::sip::SipHasher13;

use crate::crc32c::Crc32c;
use crate::pool::format::history::{self as field, LEN};

/// First eight bytes of a history record.
const MAGIC: [u8; 8] = *b"HFHISTRY";

/// Names one history of changes, as a replication id does.
pub type HistoryId = [u8; 20];

/// Which history a pool is at which point of. Two pools with equal ids hold the same at equal offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The history.
    pub id: HistoryId,
    /// How far in it the pool is: grows by one with each batch.
    pub offset: u64,
    /// The history before, and up to which offset both are the same.
    pub before: Option<(HistoryId, u64)>,
}

/// What is written of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryRecord {
    /// How often it was written. Of two valid ones the higher counts.
    number: u64,
    id: HistoryId,
    /// The offset of one batch. Those of the others follow from it.
    offset: u64,
    batch: u64,
    before: Option<(HistoryId, u64)>,
}

impl HistoryRecord {
    /// The history that begins with a pool. Its id is made of the UUID, which is random, and does not tell it.
    pub(crate) fn begin(uuid: &[u8; 16]) -> HistoryRecord {
        let mut id = [0; 20];
        for (word, bytes) in id.chunks_mut(8).enumerate() {
            let hash = SipHasher13::new_with_key(uuid).hash(&[&MAGIC[..], &[word as u8]].concat());
            bytes.copy_from_slice(&hash.to_le_bytes()[..bytes.len()]);
        }
        HistoryRecord { number: 1, id, offset: 0, batch: 0, before: None }
    }

    /// The history, at this batch.
    pub(crate) fn at(&self, batch: u64) -> History {
        let offset = self.offset.saturating_add(batch.saturating_sub(self.batch));
        History { id: self.id, offset, before: self.before }
    }

    pub(super) fn encode(&self, uuid: &[u8; 16]) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        field::MAGIC.put(&mut bytes, MAGIC);
        field::NUMBER.put(&mut bytes, self.number.to_le_bytes());
        field::ID.put(&mut bytes, self.id);
        field::OFFSET.put(&mut bytes, self.offset.to_le_bytes());
        field::BATCH.put(&mut bytes, self.batch.to_le_bytes());
        if let Some((id, end)) = self.before {
            field::BEFORE_ID.put(&mut bytes, id);
            field::BEFORE_END.put(&mut bytes, end.to_le_bytes());
        }
        let checksum = Self::checksum(uuid, &bytes);
        field::CHECKSUM.put(&mut bytes, checksum.to_le_bytes());
        bytes
    }

    /// `None` if there is none, or a damaged one.
    pub(super) fn decode(bytes: &[u8], uuid: &[u8; 16]) -> Option<HistoryRecord> {
        let before = (field::BEFORE_ID.get(bytes), field::BEFORE_END.u64(bytes));
        let record = HistoryRecord {
            number: field::NUMBER.u64(bytes),
            id: field::ID.get(bytes),
            offset: field::OFFSET.u64(bytes),
            batch: field::BATCH.u64(bytes),
            before: (before.0 != [0; 20]).then_some(before),
        };
        let sound = field::MAGIC.get(bytes) == MAGIC && field::CHECKSUM.u32(bytes) == Self::checksum(uuid, bytes);
        sound.then_some(record)
    }

    fn checksum(uuid: &[u8; 16], bytes: &[u8]) -> u32 {
        Crc32c::new().update(uuid).update(&bytes[..field::CHECKSUM.at]).value()
    }

    /// Of two the newer one.
    pub(super) fn newer(self, other: HistoryRecord) -> HistoryRecord {
        if other.number > self.number { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::HistoryRecord;

    #[test]
    fn a_record_is_read_as_it_was_written_and_by_its_own_pool_alone() {
        let begun = HistoryRecord::begin(&[7; 16]);
        let later = HistoryRecord { number: 2, offset: 100, batch: 40, before: Some((begun.id, 30)), ..begun };
        for record in [begun, later] {
            let bytes = record.encode(&[7; 16]);
            assert_eq!(HistoryRecord::decode(&bytes, &[7; 16]), Some(record));
            assert_eq!(HistoryRecord::decode(&bytes, &[8; 16]), None);
            for byte in 0..bytes.len() {
                let mut damaged = bytes;
                damaged[byte] ^= 1 << (byte % 8);
                assert_eq!(HistoryRecord::decode(&damaged, &[7; 16]), None, "byte {byte}");
            }
        }
        assert_eq!((later.at(45).offset, later.at(40).offset, begun.at(9).offset), (105, 100, 9));
        assert_eq!((begun.newer(later), later.newer(begun)), (later, later));
        assert_ne!(HistoryRecord::begin(&[8; 16]).id, begun.id);
    }
}
