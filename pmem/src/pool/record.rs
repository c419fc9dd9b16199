//! Records: frames of operations, as they lie in a segment.
//!
//! A *frame* is a 16-byte header (checksum, length, batch), a *link* if it begins a batch of a chained segment, and one
//! or more *operations*, each of a 16-byte header (kind, flags, lengths, type, sequence number), an expiry time if
//! flagged, a key and a value, padded to eight bytes. One checksum covers all of a frame, so its operations persist
//! together or not at all.

use alloc::vec::Vec;

use crate::crc32c::Crc32c;
use crate::medium::LINE;
use crate::pool::format::{chunk, frame, large, lost, operation};
use crate::pool::{Meta, ValueType};

/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER: usize = frame::LEN;
/// Bytes of the link that follows the header of a batch's first frame, in a segment that is chained.
pub(crate) const LINK: usize = 8;
/// Bytes of an operation's header, without the expiry time.
pub(crate) const OP_HEADER: usize = operation::LEN;
/// Bytes of the shortest frame.
pub(crate) const LEAST_FRAME: usize = FRAME_HEADER + OP_HEADER;
/// Sequence numbers from here on are taken for damage. Leaves room to count on for ever.
pub(crate) const SEQUENCE_LIMIT: u64 = 1 << 62;
/// Batch numbers from here on are taken for damage; 48 bits hold them.
pub(crate) const BATCH_LIMIT: u64 = (1 << 48) - (1 << 40);
/// The longest value, in bytes.
pub(crate) const VALUE_LIMIT: u64 = 512 << 20;
/// Bytes of the value of a [`Kind::PutLarge`].
pub(crate) const LARGE: usize = large::LEN;
/// Bytes of the key of a [`Kind::Chunk`].
pub(crate) const CHUNK_KEY: usize = chunk::LEN;
/// Bytes of the key of a [`Kind::Lost`].
pub(crate) const LOST_KEY: usize = lost::LEN;
/// The smallest chunk that a large value may be divided into.
const LEAST_CHUNK: u32 = 1024;

/// Flag of an operation: an expiry time follows the header.
const EXPIRES: u8 = 1;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Sets a key's value.
    Put = 1,
    /// Removes a key.
    Remove = 2,
    /// Sets a key's value, which lies in chunks.
    PutLarge = 3,
    /// A part of a large value.
    Chunk = 4,
    /// Nothing follows in this segment.
    End = 5,
    /// What lies between the byte named and this record was never acknowledged.
    Cut = 6,
    /// The pool was shut down cleanly.
    Close = 7,
    /// The value of a key is lost: it lay where the medium cannot be read any more.
    Lost = 8,
    /// Something that a newer program says, and that may be passed over: any kind from here on.
    PassedOver = 128,
}

/// An operation's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpHeader {
    pub kind: Kind,
    pub value_type: ValueType,
    pub expires_at_ms: Option<u64>,
    pub key_len: usize,
    pub value_len: usize,
    pub sequence: u64,
}

impl OpHeader {
    /// That of an operation without an expiry, on a string, and without a number.
    pub(crate) fn new(kind: Kind, key_len: usize, value_len: usize) -> OpHeader {
        OpHeader { kind, value_type: ValueType::STRING, expires_at_ms: None, key_len, value_len, sequence: 0 }
    }

    /// Reads a header from the first bytes of an operation. `None` if they are none.
    #[inline(always)]
    pub(crate) fn decode(bytes: &[u8]) -> Option<OpHeader> {
        let fixed: &[u8; OP_HEADER] = bytes.first_chunk()?;
        let [kind] = operation::KIND.get(fixed);
        let kind = match kind {
            1 => Kind::Put,
            2 => Kind::Remove,
            3 => Kind::PutLarge,
            4 => Kind::Chunk,
            5 => Kind::End,
            6 => Kind::Cut,
            7 => Kind::Close,
            8 => Kind::Lost,
            128.. => Kind::PassedOver,
            _ => return None,
        };
        let expires_at_ms = match operation::FLAGS.get(fixed) {
            [0] => None,
            [EXPIRES] => Some(u64::from_le_bytes(*bytes.get(OP_HEADER..)?.first_chunk()?)),
            _ => return None,
        };
        let [a, b, c] = operation::VALUE_LEN.get(fixed);
        let [value_type] = operation::TYPE.get(fixed);
        let header = OpHeader {
            kind,
            value_type: ValueType::new(value_type),
            expires_at_ms,
            key_len: usize::from(u16::from_le_bytes(operation::KEY_LEN.get(fixed))),
            value_len: u32::from_le_bytes([a, b, c, 0]) as usize,
            sequence: operation::SEQUENCE.u64(fixed),
        };
        let sound = header.sequence < SEQUENCE_LIMIT
            && (value_type == 0 || matches!(kind, Kind::Put | Kind::PutLarge | Kind::PassedOver))
            && match kind {
                Kind::Put | Kind::PassedOver => true,
                Kind::Remove => header.value_len == 0,
                Kind::PutLarge => header.value_len == LARGE,
                Kind::Chunk => header.key_len == CHUNK_KEY,
                Kind::End | Kind::Cut => header.key_len == 0 && header.value_len == 8,
                Kind::Close => header.key_len == 0 && header.value_len == 0,
                Kind::Lost => header.key_len == LOST_KEY && header.value_len == 0,
            };
        sound.then_some(header)
    }

    /// That of the operation that sets the same value when it lies in chunks.
    pub(crate) fn in_chunks(self) -> OpHeader {
        OpHeader { kind: Kind::PutLarge, value_len: LARGE, ..self }
    }

    /// What the operation says of a value of `len` bytes.
    pub(crate) fn meta(&self, len: u64) -> Meta {
        Meta { len, value_type: self.value_type, expires_at_ms: self.expires_at_ms }
    }

    /// Where the key begins, from the operation's start.
    pub(crate) fn key_at(&self) -> usize {
        OP_HEADER + if self.expires_at_ms.is_some() { 8 } else { 0 }
    }

    /// Where the value begins, from the operation's start.
    pub(crate) fn value_at(&self) -> usize {
        self.key_at() + self.key_len
    }

    /// The operation's length in bytes, its padding included.
    pub(crate) fn len(&self) -> usize {
        (self.value_at() + self.value_len).next_multiple_of(8)
    }

    /// What the operation takes in a frame of its own, in bytes: the unit of all accounting of space.
    pub(crate) fn cost(&self) -> u64 {
        (FRAME_HEADER + self.len()) as u64
    }

    /// Whether the operation is a key's value.
    pub(crate) fn is_put(&self) -> bool {
        matches!(self.kind, Kind::Put | Kind::PutLarge)
    }
}

/// The bytes of the pool that a key of `key_len` bytes with such a value takes, in a frame of its own; a large value's
/// division into chunks, some headers, is not counted.
pub fn record_bytes(key_len: usize, value: Meta) -> u64 {
    let head = OpHeader { expires_at_ms: value.expires_at_ms, ..OpHeader::new(Kind::Put, key_len, 0) };
    (head.cost() - head.len() as u64) + (head.value_at() as u64 + value.len).next_multiple_of(8)
}

/// Appends an operation to `out`. The value is given in parts, to be joined.
pub(crate) fn encode_op(out: &mut Vec<u8>, header: &OpHeader, key: &[u8], value: &[&[u8]]) {
    let start = out.len();
    let flags = if header.expires_at_ms.is_some() { EXPIRES } else { 0 };
    let mut fixed = [0; OP_HEADER];
    operation::KIND.put(&mut fixed, [header.kind as u8]);
    operation::FLAGS.put(&mut fixed, [flags]);
    operation::KEY_LEN.put(&mut fixed, (header.key_len as u16).to_le_bytes());
    let [a, b, c, ..] = (header.value_len as u32).to_le_bytes();
    operation::VALUE_LEN.put(&mut fixed, [a, b, c]);
    operation::TYPE.put(&mut fixed, [header.value_type.number()]);
    operation::SEQUENCE.put(&mut fixed, header.sequence.to_le_bytes());
    out.extend_from_slice(&fixed);
    if let Some(expires_at_ms) = header.expires_at_ms {
        out.extend_from_slice(&expires_at_ms.to_le_bytes());
    }
    out.extend_from_slice(key);
    for part in value {
        out.extend_from_slice(part);
    }
    debug_assert_eq!(out.len() - start, header.value_at() + header.value_len);
    out.resize(start + header.len(), 0);
}

/// What the value of a [`Kind::PutLarge`] says: where the real value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Large {
    /// The number that all chunks of the value share and no other value's.
    pub object: u64,
    /// The value's length in bytes.
    pub len: u64,
    /// The length of every chunk but the last.
    pub chunk_size: u32,
    /// By how much the sequence numbers of the chunks that are meant are higher, all together, than if each chunk had
    /// been written once, in a row from `object` on; the low 32 bits. An older chunk in place of one that is lost does
    /// not add up.
    pub ahead: u32,
}

impl Large {
    pub(crate) fn encode(&self) -> [u8; LARGE] {
        let mut bytes = [0; LARGE];
        large::OBJECT.put(&mut bytes, self.object.to_le_bytes());
        large::VALUE_LEN.put(&mut bytes, self.len.to_le_bytes());
        large::CHUNK_SIZE.put(&mut bytes, self.chunk_size.to_le_bytes());
        large::AHEAD.put(&mut bytes, self.ahead.to_le_bytes());
        bytes
    }

    /// Reads the value of a [`Kind::PutLarge`]. `None` if it is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Large> {
        let bytes: &[u8; LARGE] = bytes.try_into().ok()?;
        let large = Large {
            object: large::OBJECT.u64(bytes),
            len: large::VALUE_LEN.u64(bytes),
            chunk_size: large::CHUNK_SIZE.u32(bytes),
            ahead: large::AHEAD.u32(bytes),
        };
        let sound = large.len <= VALUE_LIMIT && large.chunk_size >= LEAST_CHUNK && large.object < SEQUENCE_LIMIT;
        sound.then_some(large)
    }

    /// The number of chunks.
    pub(crate) fn chunks(&self) -> u32 {
        self.len.div_ceil(u64::from(self.chunk_size)) as u32
    }

    /// The length in bytes of one chunk.
    pub(crate) fn chunk_len(&self, chunk: u32) -> u64 {
        let size = u64::from(self.chunk_size);
        (self.len - u64::from(chunk) * size).min(size)
    }

    /// What a chunk with this sequence number adds to `ahead`.
    pub(crate) fn ahead_by(&self, chunk: u32, sequence: u64) -> u32 {
        (sequence as u32).wrapping_sub(self.object as u32).wrapping_sub(chunk)
    }

    /// The key under which one chunk is found.
    pub(crate) fn chunk_key(&self, chunk: u32) -> [u8; CHUNK_KEY] {
        let mut key = [0; CHUNK_KEY];
        chunk::OBJECT.put(&mut key, self.object.to_le_bytes());
        chunk::NUMBER.put(&mut key, chunk.to_le_bytes());
        key
    }
}

/// What a [`Kind::Lost`] says, for which the key itself cannot be relied on: it may be lost, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// The low 32 bits of the key's hash, as the index knows them.
    pub hash: u64,
    /// Where the operation that is lost lies.
    pub place: u64,
}

impl Lost {
    pub(crate) fn encode(&self) -> [u8; LOST_KEY] {
        let mut bytes = [0; LOST_KEY];
        lost::HASH.put(&mut bytes, self.hash.to_le_bytes());
        lost::PLACE.put(&mut bytes, self.place.to_le_bytes());
        bytes
    }

    /// Reads the key of a [`Kind::Lost`].
    pub(crate) fn decode(key: &[u8]) -> Option<Lost> {
        let key: &[u8; LOST_KEY] = key.try_into().ok()?;
        let lost = Lost { hash: lost::HASH.u64(key), place: lost::PLACE.u64(key) };
        (lost.hash <= u64::from(u32::MAX) && lost.place.is_multiple_of(8)).then_some(lost)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub checksum: u32,
    /// Bytes of the frame, header included: a multiple of eight.
    pub len: u32,
    /// The batch that the frame was written with. A batch is written only after the one before it is durable.
    pub batch: u64,
    /// Cache lines from the one that the batch begins in to the one that the frame begins in.
    pub line: u16,
}

impl FrameHeader {
    /// Reads a frame's header. Says nothing about the frame's checksum.
    pub(crate) fn decode(bytes: &[u8; FRAME_HEADER]) -> FrameHeader {
        let [a, b, c, d, e, f] = frame::BATCH.get(bytes);
        FrameHeader {
            checksum: frame::CHECKSUM.u32(bytes),
            len: frame::FRAME_LEN.u32(bytes),
            batch: u64::from_le_bytes([a, b, c, d, e, f, 0, 0]),
            line: u16::from_le_bytes(frame::LINES.get(bytes)),
        }
    }
}

/// Puts the link into a frame that has room for one behind its header.
pub(crate) fn set_link(frame: &mut [u8], link: u64) {
    frame[FRAME_HEADER..][..LINK].copy_from_slice(&link.to_le_bytes());
}

/// The link of a frame that has one.
pub(crate) fn link_of(frame: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*frame.get(FRAME_HEADER..)?.first_chunk()?))
}

/// What salts the checksums of one use of one segment: no frame of another pool, of another use of the segment or at
/// another place is valid here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Salt(Crc32c);

impl Salt {
    pub(crate) fn new(uuid: &[u8; 16], generation: u64) -> Salt {
        Salt(Crc32c::new().update(uuid).update(&generation.to_le_bytes()))
    }

    /// The checksum of a frame at byte `offset` of the medium.
    pub(crate) fn checksum(&self, offset: u64, frame: &[u8]) -> u32 {
        self.0.update(&offset.to_le_bytes()).update(&frame[frame::CHECKSUM.end()..]).value()
    }

    /// Fills in the header of a frame that is about to be stored at byte `offset` of the medium. Returns its checksum.
    pub(crate) fn seal(&self, frame: &mut [u8], offset: u64, batch: u64, batch_start: u64) -> u32 {
        let line = (offset / LINE - batch_start / LINE) as u16;
        let len = frame.len() as u32;
        let [a, b, c, d, e, f, ..] = batch.to_le_bytes();
        frame::FRAME_LEN.put(frame, len.to_le_bytes());
        frame::BATCH.put(frame, [a, b, c, d, e, f]);
        frame::LINES.put(frame, line.to_le_bytes());
        let checksum = self.checksum(offset, frame);
        frame::CHECKSUM.put(frame, checksum.to_le_bytes());
        checksum
    }
}

/// The operations of a frame, each with its position in it. Ends early, with [`Ops::is_whole`] false, at the first
/// byte that is not as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Ops<'a> {
    frame: &'a [u8],
    at: usize,
}

impl<'a> Ops<'a> {
    /// Those of a frame without a link.
    pub(crate) fn of(frame: &'a [u8]) -> Ops<'a> {
        Ops { frame, at: FRAME_HEADER }
    }

    /// Those of a frame with one.
    pub(crate) fn behind_link(frame: &'a [u8]) -> Ops<'a> {
        Ops { frame, at: FRAME_HEADER + LINK }
    }

    /// Whether everything up to the frame's end was an operation.
    pub(crate) fn is_whole(&self) -> bool {
        self.at == self.frame.len()
    }
}

/// One operation of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameOp<'a> {
    /// From the frame's start, in bytes.
    pub at: usize,
    pub header: OpHeader,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

impl<'a> Iterator for Ops<'a> {
    type Item = FrameOp<'a>;

    fn next(&mut self) -> Option<FrameOp<'a>> {
        let bytes = self.frame.get(self.at..)?;
        let header = OpHeader::decode(bytes)?;
        let bytes = bytes.get(..header.len())?;
        let op = FrameOp {
            at: self.at,
            header,
            key: &bytes[header.key_at()..header.value_at()],
            value: &bytes[header.value_at()..header.value_at() + header.value_len],
        };
        self.at += header.len();
        Some(op)
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameHeader, Kind, LEAST_FRAME, Large, OpHeader, Ops, Salt, encode_op};
    use crate::pool::record::FRAME_HEADER;
    use alloc::vec::Vec;

    fn frame(salt: &Salt, offset: u64) -> Vec<u8> {
        let header = OpHeader { expires_at_ms: Some(99), sequence: 12, ..OpHeader::new(Kind::Put, 3, 6) };
        let mut frame = Vec::from([0; FRAME_HEADER]);
        encode_op(&mut frame, &header, b"key", &[b"val", b"ue!"]);
        salt.seal(&mut frame, offset, 7, offset - 640);
        frame
    }

    #[test]
    fn a_frame_says_what_was_put_into_it() {
        let frame = frame(&Salt::new(&[1; 16], 5), 6400);
        let header = FrameHeader::decode(frame.first_chunk().unwrap());
        assert_eq!((header.len as usize, header.batch, header.line), (frame.len(), 7, 10));
        assert!(frame.len() >= LEAST_FRAME && frame.len().is_multiple_of(8));
        let mut ops = Ops::of(&frame);
        let op = ops.next().unwrap();
        assert_eq!((op.at, op.key, op.value), (FRAME_HEADER, b"key".as_slice(), b"value!".as_slice()));
        assert_eq!((op.header.expires_at_ms, op.header.sequence), (Some(99), 12));
        assert!(ops.next().is_none() && ops.is_whole());
    }

    #[test]
    fn a_checksum_is_of_one_pool_one_use_and_one_place() {
        let salt = Salt::new(&[1; 16], 5);
        let frame = frame(&salt, 6400);
        let checksum = FrameHeader::decode(frame.first_chunk().unwrap()).checksum;
        assert_eq!(salt.checksum(6400, &frame), checksum);
        assert_ne!(salt.checksum(6464, &frame), checksum);
        assert_ne!(Salt::new(&[1; 16], 6).checksum(6400, &frame), checksum);
        assert_ne!(Salt::new(&[2; 16], 5).checksum(6400, &frame), checksum);
    }

    #[test]
    fn chunks_cover_a_large_value() {
        let large = Large { object: 3, len: 100_000, chunk_size: 32 << 10, ahead: 8 };
        assert_eq!(Large::decode(&large.encode()), Some(large));
        assert_eq!((0..large.chunks()).map(|chunk| large.chunk_len(chunk)).sum::<u64>(), large.len);
        assert_eq!(Large::decode(&Large { chunk_size: 0, ..large }.encode()), None);
        assert_eq!(Large::decode(&Large { len: u64::MAX, ..large }.encode()), None);
    }
}
