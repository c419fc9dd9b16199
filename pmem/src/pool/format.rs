//! Where each field of a structure on the medium lies: named once, for writing it and for reading it.
//!
//! docs/pool-format.md says what the fields mean; a test compares its tables with these. Structures that are nothing
//! but numbers in a row (lists of ranges, tables of a checkpoint) have no names here.

use core::ops::Range;

/// A field of so many bytes in a structure, little-endian if it is a number.
///
/// Its methods take all of the structure. That the field lies within is asserted below, with the structure's length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<const LEN: usize> {
    /// From the structure's start, in bytes.
    pub at: usize,
}

impl<const LEN: usize> Field<LEN> {
    const fn at(at: usize) -> Field<LEN> {
        Field { at }
    }

    /// Behind its last byte.
    pub(crate) const fn end(self) -> usize {
        self.at + LEN
    }

    pub(crate) const fn range(self) -> Range<usize> {
        self.at..self.end()
    }

    pub(crate) fn get(self, structure: &[u8]) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes.copy_from_slice(&structure[self.range()]);
        bytes
    }

    pub(crate) fn put(self, structure: &mut [u8], bytes: [u8; LEN]) {
        structure[self.range()].copy_from_slice(&bytes);
    }

    /// The field, and how its row in the documentation begins.
    const fn row(self, says: &'static str) -> Row {
        Row { at: self.at, len: LEN, says }
    }
}

impl Field<4> {
    pub(crate) fn u32(self, structure: &[u8]) -> u32 {
        u32::from_le_bytes(self.get(structure))
    }
}

impl Field<8> {
    pub(crate) fn u64(self, structure: &[u8]) -> u64 {
        u64::from_le_bytes(self.get(structure))
    }
}

/// A field, or bytes that are zero, as a table of the documentation has it.
#[derive(Clone, Copy, Debug)]
struct Row {
    at: usize,
    len: usize,
    #[cfg_attr(not(test), expect(dead_code, reason = "the test of the documentation reads it"))]
    says: &'static str,
}

/// Bytes that are zero.
const fn zero(range: Range<usize>) -> Row {
    Row { at: range.start, len: range.end - range.start, says: "zero" }
}

/// Whether rows follow each other without a gap, up to `len`.
const fn fill(rows: &[Row], len: usize) -> bool {
    let (mut row, mut end) = (0, 0);
    while row < rows.len() {
        if rows[row].at != end {
            return false;
        }
        end += rows[row].len;
        row += 1;
    }
    end == len
}

/// What a pool is. At the medium's start and at its end.
pub(crate) mod superblock {
    use super::{Field, Row, fill, zero};

    pub(crate) const LEN: usize = 128;
    pub(crate) const MAGIC: Field<8> = Field::at(0);
    pub(crate) const VERSION: Field<4> = Field::at(8);
    pub(crate) const SEGMENT_SIZE: Field<4> = Field::at(12);
    pub(crate) const UUID: Field<16> = Field::at(16);
    pub(crate) const MEDIUM_LEN: Field<8> = Field::at(32);
    pub(crate) const FIRST_SEGMENT: Field<8> = Field::at(40);
    pub(crate) const SEGMENTS: Field<4> = Field::at(48);
    pub(crate) const EPOCH: Field<8> = Field::at(56);
    pub(crate) const FEATURES_TO_READ: Field<8> = Field::at(64);
    pub(crate) const FEATURES_TO_WRITE: Field<8> = Field::at(72);
    pub(crate) const LABEL: Field<32> = Field::at(80);
    pub(crate) const CHECKSUM: Field<4> = Field::at(124);

    pub(super) const ROWS: [Row; 14] = [
        MAGIC.row("magic"),
        VERSION.row("format version"),
        SEGMENT_SIZE.row("segment size"),
        UUID.row("UUID of the pool"),
        MEDIUM_LEN.row("length of the medium"),
        FIRST_SEGMENT.row("offset of segment 0"),
        SEGMENTS.row("number of segments"),
        zero(52..56),
        EPOCH.row("epoch"),
        FEATURES_TO_READ.row("features that a program must know to read"),
        FEATURES_TO_WRITE.row("features that a program must know to write"),
        LABEL.row("label"),
        zero(112..124),
        CHECKSUM.row("CRC32C"),
    ];
    const _: () = assert!(fill(&ROWS, LEN));
}

/// Which history of changes the pool's batches are of. Behind each superblock.
pub(crate) mod history {
    use super::{Field, Row, fill, zero};

    pub(crate) const LEN: usize = 128;
    pub(crate) const MAGIC: Field<8> = Field::at(0);
    pub(crate) const NUMBER: Field<8> = Field::at(8);
    pub(crate) const ID: Field<20> = Field::at(16);
    pub(crate) const BEFORE_ID: Field<20> = Field::at(36);
    pub(crate) const OFFSET: Field<8> = Field::at(56);
    pub(crate) const BATCH: Field<8> = Field::at(64);
    pub(crate) const BEFORE_END: Field<8> = Field::at(72);
    pub(crate) const CHECKSUM: Field<4> = Field::at(124);

    pub(super) const ROWS: [Row; 9] = [
        MAGIC.row("magic"),
        NUMBER.row("number: how often"),
        ID.row("replication id"),
        BEFORE_ID.row("the replication id before"),
        OFFSET.row("offset of the batch below"),
        BATCH.row("number of that batch"),
        BEFORE_END.row("offset up to which"),
        zero(80..124),
        CHECKSUM.row("CRC32C"),
    ];
    const _: () = assert!(fill(&ROWS, LEN));
}

/// What a copy of the list of bad ranges begins with. The ranges follow.
pub(crate) mod bad_ranges {
    use super::{Field, Row, fill};

    pub(crate) const LEN: usize = 32;
    pub(crate) const MAGIC: Field<8> = Field::at(0);
    pub(crate) const NUMBER: Field<8> = Field::at(8);
    pub(crate) const COUNT: Field<8> = Field::at(16);
    pub(crate) const CHECKSUM: Field<8> = Field::at(24);

    pub(super) const ROWS: [Row; 4] =
        [MAGIC.row("magic"), NUMBER.row("number: how often"), COUNT.row("number of ranges"), CHECKSUM.row("CRC32C")];
    const _: () = assert!(fill(&ROWS, LEN));
}

/// The first and the last line of a segment.
pub(crate) mod segment_header {
    use super::{Field, Row, fill};

    pub(crate) const LEN: usize = 64;
    pub(crate) const STATE: Field<8> = Field::at(0);
    pub(crate) const GENERATION: Field<8> = Field::at(8);
    pub(crate) const FIRST_SEQUENCE: Field<8> = Field::at(16);
    pub(crate) const FIRST_BATCH: Field<8> = Field::at(24);
    pub(crate) const CLEARED_THROUGH: Field<8> = Field::at(32);
    pub(crate) const INDEX: Field<3> = Field::at(40);
    pub(crate) const FORM: Field<1> = Field::at(43);
    pub(crate) const JOINED_FROM: Field<8> = Field::at(44);
    pub(crate) const SUMS: Field<8> = Field::at(52);
    pub(crate) const CHECKSUM: Field<4> = Field::at(60);

    pub(super) const ROWS: [Row; 10] = [
        STATE.row("state"),
        GENERATION.row("generation"),
        FIRST_SEQUENCE.row("the next sequence number"),
        FIRST_BATCH.row("the next batch number"),
        CLEARED_THROUGH.row("cleared-through"),
        INDEX.row("the segment's own number"),
        FORM.row("form of its frames"),
        JOINED_FROM.row("joined-from"),
        SUMS.row("generation sums"),
        CHECKSUM.row("CRC32C"),
    ];
    const _: () = assert!(fill(&ROWS, LEN));
}

/// What a frame begins with. Its operations follow.
pub(crate) mod frame {
    use super::{Field, Row, fill};

    pub(crate) const LEN: usize = 16;
    pub(crate) const CHECKSUM: Field<4> = Field::at(0);
    pub(crate) const FRAME_LEN: Field<4> = Field::at(4);
    pub(crate) const BATCH: Field<6> = Field::at(8);
    pub(crate) const LINES: Field<2> = Field::at(14);

    pub(super) const ROWS: [Row; 4] = [
        CHECKSUM.row("CRC32C"),
        FRAME_LEN.row("length of the frame"),
        BATCH.row("batch number"),
        LINES.row("cache lines"),
    ];
    const _: () = assert!(fill(&ROWS, LEN));
}

/// What an operation begins with. Its expiry time, if it has one, its key and its value follow.
pub(crate) mod operation {
    use super::{Field, Row, fill};

    pub(crate) const LEN: usize = 16;
    pub(crate) const KIND: Field<1> = Field::at(0);
    pub(crate) const FLAGS: Field<1> = Field::at(1);
    pub(crate) const KEY_LEN: Field<2> = Field::at(2);
    pub(crate) const VALUE_LEN: Field<3> = Field::at(4);
    pub(crate) const TYPE: Field<1> = Field::at(7);
    pub(crate) const SEQUENCE: Field<8> = Field::at(8);

    pub(super) const ROWS: [Row; 6] = [
        KIND.row("kind"),
        FLAGS.row("flags"),
        KEY_LEN.row("length of the key"),
        VALUE_LEN.row("length of the value"),
        TYPE.row("type of the value"),
        SEQUENCE.row("sequence number"),
    ];
    const _: () = assert!(fill(&ROWS, LEN));
}

/// The value of a *put large*.
pub(crate) mod large {
    use super::{Field, Row, fill};

    pub(crate) const LEN: usize = 24;
    pub(crate) const OBJECT: Field<8> = Field::at(0);
    pub(crate) const VALUE_LEN: Field<8> = Field::at(8);
    pub(crate) const CHUNK_SIZE: Field<4> = Field::at(16);
    pub(crate) const AHEAD: Field<4> = Field::at(20);

    pub(super) const ROWS: [Row; 4] = [
        OBJECT.row("object number"),
        VALUE_LEN.row("length of the value"),
        CHUNK_SIZE.row("chunk size"),
        AHEAD.row("ahead"),
    ];
    const _: () = assert!(fill(&ROWS, LEN));
}

/// The key of a *chunk*.
pub(crate) mod chunk {
    use super::{Field, Row, fill};

    pub(crate) const LEN: usize = 12;
    pub(crate) const OBJECT: Field<8> = Field::at(0);
    pub(crate) const NUMBER: Field<4> = Field::at(8);

    pub(super) const ROWS: [Row; 2] = [OBJECT.row("object number"), NUMBER.row("number of the chunk")];
    const _: () = assert!(fill(&ROWS, LEN));
}

/// The key of a *lost*.
pub(crate) mod lost {
    use super::{Field, Row, fill};

    pub(crate) const LEN: usize = 16;
    pub(crate) const HASH: Field<8> = Field::at(0);
    pub(crate) const PLACE: Field<8> = Field::at(8);

    pub(super) const ROWS: [Row; 2] =
        [HASH.row("low 32 bits of the key's hash"), PLACE.row("offset of its operation on the medium")];
    const _: () = assert!(fill(&ROWS, LEN));
}

/// The line that makes a checkpoint count.
pub(crate) mod root {
    use super::{Field, Row, fill, zero};

    pub(crate) const LEN: usize = 64;
    pub(crate) const MAGIC: Field<8> = Field::at(0);
    pub(crate) const BATCH: Field<8> = Field::at(8);
    pub(crate) const SEGMENT: Field<4> = Field::at(16);
    pub(crate) const AT: Field<4> = Field::at(20);
    pub(crate) const GENERATION: Field<8> = Field::at(24);
    pub(crate) const SEGMENTS: Field<4> = Field::at(32);
    pub(crate) const BLOCKS: Field<4> = Field::at(36);
    pub(crate) const DIRECTORY: Field<8> = Field::at(40);
    pub(crate) const DIGEST: Field<8> = Field::at(48);
    pub(crate) const CHECKSUM: Field<4> = Field::at(60);

    pub(super) const ROWS: [Row; 11] = [
        MAGIC.row("magic"),
        BATCH.row("batch number"),
        SEGMENT.row("the segment of that *close*"),
        AT.row("its offset"),
        GENERATION.row("generation of the first segment"),
        SEGMENTS.row("number of segments"),
        BLOCKS.row("number of blocks"),
        DIRECTORY.row("offset of the directory"),
        DIGEST.row("digest"),
        zero(56..60),
        CHECKSUM.row("CRC32C"),
    ];
    const _: () = assert!(fill(&ROWS, LEN));
}

/// What a block of a checkpoint begins with. Its content follows.
pub(crate) mod block {
    use super::{Field, Row, fill, zero};

    pub(crate) const LEN: usize = 16;
    pub(crate) const CHECKSUM: Field<4> = Field::at(0);
    pub(crate) const BLOCK_LEN: Field<4> = Field::at(4);
    pub(crate) const NUMBER: Field<4> = Field::at(8);

    pub(super) const ROWS: [Row; 4] =
        [CHECKSUM.row("CRC32C"), BLOCK_LEN.row("length of the block"), NUMBER.row("number of the block"), zero(12..16)];
    const _: () = assert!(fill(&ROWS, LEN));
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../docs/pool-format.md");

    /// The cells of the rows of a table, without its head: of every table whose head is this one.
    fn tables(head: &str) -> Vec<Vec<Vec<&'static str>>> {
        let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
        let mut lines = DOCUMENT.lines();
        let mut tables = Vec::new();
        while lines.any(|line| line == head) {
            tables.push(lines.by_ref().skip(1).take_while(|line| line.starts_with('|')).map(cells).collect());
        }
        tables
    }

    /// Asserts that rows of the documentation are these, and that what follows them begins where they end.
    fn compare(name: &str, documented: &[Vec<&str>], rows: &[Row]) {
        assert!(documented.len() >= rows.len(), "{name}: docs/pool-format.md has fewer rows than there are fields");
        let (fixed, rest) = documented.split_at(rows.len());
        for (cells, Row { at, len, says }) in fixed.iter().zip(rows) {
            let is_this = cells[0].parse() == Ok(*at) && cells[1].parse() == Ok(*len) && cells[2].starts_with(says);
            assert!(is_this, "{name}: docs/pool-format.md says {cells:?}, the code {at}, {len}, {says:?}");
        }
        let end = rows.last().map_or(0, |row| row.at + row.len);
        for (position, cells) in rest.iter().enumerate() {
            let follows = if position == 0 { cells[0].parse() == Ok(end) } else { cells[0].is_empty() };
            // Of no fixed length, or one of many.
            assert!(follows && cells[1].parse::<usize>().is_err(), "{name}: no field of the code is {cells:?}");
        }
    }

    #[test]
    fn the_documentation_has_each_field_where_the_code_has_it() {
        let structures: [(&str, &[Row]); 8] = [
            ("superblock", &superblock::ROWS),
            ("history record", &history::ROWS),
            ("list of bad ranges", &bad_ranges::ROWS),
            ("segment header", &segment_header::ROWS),
            ("frame", &frame::ROWS),
            ("operation", &operation::ROWS),
            ("checkpoint's root", &root::ROWS),
            ("checkpoint's block", &block::ROWS),
        ];
        let tables = tables("| offset | bytes | field |");
        assert_eq!(tables.len(), structures.len(), "docs/pool-format.md has a table for each of these structures");
        for (documented, (name, rows)) in tables.iter().zip(structures) {
            compare(name, documented, rows);
        }
    }

    /// They are described as in `object number (8), number of the chunk (4)`.
    #[test]
    fn the_documentation_has_the_fields_within_keys_and_values_as_the_code_has_them() {
        let tables = tables("| kind | | key | value |");
        let of_kind = |kind: &str, cell: usize| tables[0].iter().find(|cells| cells[1] == kind).unwrap()[cell];
        let structures: [(&str, &[Row]); 3] = [
            (of_kind("put large", 3), &large::ROWS),
            (of_kind("chunk", 2), &chunk::ROWS),
            (of_kind("lost", 2), &lost::ROWS),
        ];
        for (documented, rows) in structures {
            let fields: Vec<_> = rows.iter().map(|Row { len, says, .. }| alloc::format!("{says} ({len})")).collect();
            assert_eq!(documented, fields.join(", "));
        }
    }
}
