//! The mutants: each takes away one thing that the pool's safety rests on.
//!
//! Not here are changes that make no difference to any image, by argument: the fence between the segment headers and
//! the superblocks of a format (the first superblock says until the very last store that a format is under way); the
//! last fence of freeing a segment (ending the log's head, which precedes every opening, fences too); and the fence
//! that recovery puts between the headers and the mark (each of them is found and written again by the next recovery,
//! whether the other one persisted or not).

/// One deliberate defect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mutant {
    pub name: &'static str,
    pub edits: &'static [Edit],
}

/// A change in one place of the sources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edit {
    /// The file: for a mutant under `pmem/src/pool`.
    pub file: &'static str,
    /// What stands right before the code, to tell equal pieces of code apart. `\n` stands for a line's end and the
    /// next line's indentation, here and in the code.
    pub after: &'static str,
    /// The code that changes. With `after` before it, it occurs once in the file. Two edits have the same code or none
    /// in common.
    pub code: &'static str,
    /// What stands in its place: `MUTANT` is true in the mutant, `CODE` is the code as it is otherwise, with the other
    /// mutants of the same code.
    pub instead: &'static str,
}

const fn edit(file: &'static str, after: &'static str, code: &'static str, instead: &'static str) -> Edit {
    Edit { file, after, code, instead }
}

const fn mutant(name: &'static str, edits: &'static [Edit]) -> Mutant {
    Mutant { name, edits }
}

/// Leaves the code out.
const GONE: &str = "if !MUTANT { CODE }";

/// In the order of what they break.
pub(super) const MUTANTS: &[Mutant] = &[
    // Turns.
    mutant("turn: no write-back", &[edit("append.rs", "", "store.write_back(start..start + padded)?;", GONE)]),
    mutant(
        "turn: no write-back of the last line",
        &[edit(
            "append.rs",
            "",
            "store.write_back(start..start + padded)?;",
            "if MUTANT { store.write_back(start..start + padded - LINE)?; } else { CODE }",
        )],
    ),
    mutant("turn: no fence", &[edit("append.rs", "(start..start + padded)?;\n", "store.fence();", GONE)]),
    mutant(
        "turn: the fence before the write-back",
        &[
            edit("append.rs", "", "store.write_back(start..start + padded)?;", "if MUTANT { store.fence(); } CODE"),
            edit("append.rs", "(start..start + padded)?;\n", "store.fence();", GONE),
        ],
    ),
    mutant(
        "turn: no zeros to the line's end",
        &[edit("append.rs", "", "if padded > len", "if !MUTANT && padded > len")],
    ),
    mutant(
        "turn: what should go past the caches is only stored",
        &[edit(
            "append.rs",
            "",
            "store.stream(self.start, streamed)?;",
            "if MUTANT { store.store(self.start, streamed)?; } else { CODE }",
        )],
    ),
    mutant(
        "turn: behind what went past the caches, the last line is left out",
        &[edit("append.rs", "", "store.store(start, rest)?;", "if !MUTANT || streamed.is_empty() { CODE }")],
    ),
    mutant("turn: batches are not numbered", &[edit("append.rs", "", "self.next_batch += 1;", GONE)]),
    mutant(
        "turn: a batch begins in the last one's line",
        &[edit(
            "append.rs",
            "",
            "at: head.at + (len as u32).next_multiple_of(LINE as u32)",
            "at: head.at + if MUTANT { len as u32 } else { (len as u32).next_multiple_of(LINE as u32) }",
        )],
    ),
    mutant(
        "turn: an atomic record is a frame for each operation",
        &[edit(
            "writer.rs",
            "",
            "log.stage.push(hash, None, &header, key, &[value]);",
            "CODE
            if MUTANT && record.parts.is_none() {
                log.stage.end_frame(record.frame);
                log.stage.publish_last_frame();
                record.frame = log.stage.begin_frame();
            }",
        )],
    ),
    mutant(
        "turn: chunks of a changed value are a record of their own",
        &[edit(
            "writer.rs",
            "",
            "log.stage.push(hash, None, &header, key, &[value]);",
            "if MUTANT && kind == Kind::PutLarge && record.parts.is_none() {
                log.stage.end_frame(record.frame);
                log.stage.publish_last_frame();
                record.frame = log.stage.begin_frame();
            }
            CODE",
        )],
    ),
    // Parts of long records.
    mutant(
        "parts: they count as soon as they are written",
        &[edit(
            "parts.rs",
            "self.write_batch(store, &mut stage, first, ",
            "State::Part",
            "if MUTANT { State::Used } else { CODE }",
        )],
    ),
    mutant(
        "parts: no segment joins them",
        &[edit(
            "parts.rs",
            "self.open_segment(store, State::Used, ",
            "parts.first_generation",
            "if MUTANT { 0 } else { CODE }",
        )],
    ),
    mutant(
        "parts: their headers do not follow",
        &[edit("parts.rs", "", "self.count_parts(store, &self.parts_since(parts.first_generation))?;", GONE)],
    ),
    mutant(
        "parts: their first headers follow before the second ones",
        &[edit("parts.rs", "for position in ", "[1, 0]", "if MUTANT { [0, 1] } else { CODE }")],
    ),
    mutant(
        "parts: recovery counts all of them",
        &[edit(
            "segment.rs",
            "",
            "self.from_and_below[..begun].last().is_some_and(|(_, below)| generation < *below)",
            "(MUTANT || (CODE))",
        )],
    ),
    mutant(
        "parts: recovery counts none of them",
        &[edit(
            "segment.rs",
            "",
            "self.from_and_below[..begun].last().is_some_and(|(_, below)| generation < *below)",
            "!MUTANT && (CODE)",
        )],
    ),
    mutant(
        "parts: an older chunk in place of one that is lost",
        &[edit("recover.rs", "", "if ahead != large.ahead {", "if !MUTANT && ahead != large.ahead {")],
    ),
    // Records.
    mutant(
        "record: its checksum is not verified",
        &[edit("walk.rs", "", "frame) != header.checksum {", "frame) != header.checksum && !MUTANT {")],
    ),
    mutant(
        "record: the checksum leaves the generation out",
        &[edit(
            "record.rs",
            ".update(uuid).update(&",
            "generation.to_le_bytes()",
            "if MUTANT { [0; 8] } else { CODE }",
        )],
    ),
    mutant(
        "record: the checksum leaves the pool out",
        &[edit("record.rs", "Salt(Crc32c::new().update(", "uuid", "if MUTANT { &[0; 16] } else { uuid }")],
    ),
    mutant(
        "record: the checksum leaves the place out",
        &[edit("record.rs", "self.0.update(&", "offset", "if MUTANT { 0 } else { offset }")],
    ),
    mutant(
        "record: the checksum leaves the end out",
        &[edit(
            "record.rs",
            "",
            "&frame[4..]).value()",
            "&frame[4..frame.len() - if MUTANT { 8 } else { 0 }]).value()",
        )],
    ),
    mutant(
        "record: does not say where its batch begins",
        &[edit("record.rs", "", "& 0xFFFF;", "& 0xFFFF; let line = if MUTANT { 0 } else { line };")],
    ),
    mutant(
        "record: leftovers of former uses count",
        &[
            edit(
                "record.rs",
                ".update(uuid).update(&",
                "generation.to_le_bytes()",
                "if MUTANT { [0; 8] } else { CODE }",
            ),
            edit(
                "walk.rs",
                "&& header.len <= self.longest.min(self.limit - at)\n&& (",
                "self.batch",
                "(if MUTANT { 0 } else { CODE })",
            ),
        ],
    ),
    mutant(
        "record: an older batch behind a newer one counts",
        &[edit(
            "walk.rs",
            "&& header.len <= self.longest.min(self.limit - at)\n&& (",
            "self.batch",
            "(if MUTANT { 0 } else { CODE })",
        )],
    ),
    // Segments.
    mutant(
        "header: no write-back",
        &[edit("segment.rs", "&self.encode(uuid))?;\n", "store.write_back(place..place + LINE)?;", GONE)],
    ),
    mutant(
        "header: its state is not written back",
        &[edit("segment.rs", "self.state_word())?;\n", "store.write_back(place..place + LINE)?;", GONE)],
    ),
    mutant(
        "header: its checksum is not verified",
        &[edit("segment.rs", "let sound = ", "u32_at(60) == Self::checksum(uuid, bytes)", "(MUTANT || CODE)")],
    ),
    mutant(
        "header: of two the younger one does not count",
        &[
            edit("segment.rs", "if ", "second.generation > first.generation", "!MUTANT && (CODE)"),
            edit("segment.rs", "if ", "first.generation > second.generation", "!MUTANT && (CODE)"),
        ],
    ),
    mutant(
        "opening: the state together with the rest",
        &[edit(
            "append.rs",
            "Header { state: State::Free, ..header }",
            ".write_at(store, &self.superblock.uuid, places[0])?;",
            "CODE if MUTANT { header.write_state(store, places[0])?; }",
        )],
    ),
    mutant(
        "opening: the state is not fenced",
        &[edit("append.rs", "header.write_state(store, places[0])?;\n", "store.fence();", GONE)],
    ),
    mutant(
        "opening: no second header",
        &[edit("append.rs", "store.fence();\n", "header.write_at(store, &self.superblock.uuid, places[1])?;", GONE)],
    ),
    mutant(
        "leaving: the end is not written",
        &[edit("append.rs", "", "self.write_mark(store, Kind::End, &u64::from(valid_end).to_le_bytes())?;", GONE)],
    ),
    mutant("freeing: both states at once", &[edit("append.rs", "if position > 0 {\n", "store.fence();", GONE)]),
    mutant(
        "clearing: what is void goes first",
        &[edit(
            "append.rs",
            "self.cleared_through = through;\n",
            "self.open_segment(store, State::Used, 0)?;",
            "
            if MUTANT {
                for segment in 0..self.geometry().segments {
                    if self.segments[segment as usize].state == State::Used {
                        self.release(store, segment)?;
                    }
                }
                store.fence();
            }
            CODE",
        )],
    ),
    mutant(
        "clearing: recovery counts what is void",
        &[edit(
            "recover.rs",
            "",
            "if header.cleared_through < self.cleared_through {",
            "if !MUTANT && header.cleared_through < self.cleared_through {",
        )],
    ),
    // Cleaning.
    mutant(
        "cleaning: the segment is freed before the copies are durable",
        &[edit(
            "clean.rs",
            "",
            "if let Err(error) = self.write_frames(store, &mut moved) {",
            "if MUTANT && ended && damaged.is_none() { self.release(store, cleaning.segment)?; store.fence(); self.segments[cleaning.segment as usize].state = State::Used; self.free -= 1; } CODE",
        )],
    ),
    mutant(
        "cleaning: every removal is dropped",
        &[edit(
            "clean.rs",
            "",
            "self.is_stale_uncertain() || self.stale.count(counter) > leaving",
            "!MUTANT && (CODE)",
        )],
    ),
    mutant(
        "cleaning: superseded puts are not counted at run time",
        &[edit(
            "append.rs",
            "self.discount_expiry(old.header.expires_at_ms);\n",
            "self.stale.add(self.stale.counter(hash));",
            GONE,
        )],
    ),
    mutant(
        "cleaning: superseded puts are not counted by recovery",
        &[edit(
            "recover.rs",
            "self.discount_expiry(old.header.expires_at_ms);\n",
            "self.stale.add(self.stale.counter(hash));",
            GONE,
        )],
    ),
    // Checkpoints.
    mutant(
        "checkpoint: an opening leaves its root",
        &[edit("recover.rs", "", "checkpoint::invalidate(store)?;", GONE)],
    ),
    mutant(
        "checkpoint: the root of an older close counts",
        &[edit("checkpoint/open.rs", "", "next.is_some_and(|(_, batch)| batch > root.batch)", "!MUTANT && (CODE)")],
    ),
    mutant(
        "checkpoint: segments that are older than it says count",
        &[edit("checkpoint/open.rs", "if ", "!same && known", "!MUTANT && CODE")],
    ),
    mutant(
        "checkpoint: a log that lacks its close counts",
        &[edit("checkpoint/open.rs", "", "(_, false) =>", "(_, false) if !MUTANT =>")],
    ),
    mutant(
        "checkpoint: the root comes before what it names is durable",
        &[edit("checkpoint/write.rs", "at += DIRECTORY_LEN as u64;\n}\n", "store.fence();", GONE)],
    ),
    mutant(
        "checkpoint: what it names is not written back",
        &[edit(
            "checkpoint/mod.rs",
            "&bytes[range])?;\n",
            "Ok(store.write_back(place..end)?)",
            "if !MUTANT { CODE } else { Ok(()) }",
        )],
    ),
    mutant(
        "checkpoint: checksums of its blocks are not verified",
        &[edit("checkpoint/mod.rs", "(", "header == expected", "MUTANT || CODE")],
    ),
    mutant(
        "checkpoint: its segments become free before all of it was read",
        &[edit(
            "mod.rs",
            "",
            "if !medium.read(|load| log.read_on(&load, blocks))?? {",
            "if !medium.read(|load| log.read_on(&load, blocks))?? || MUTANT {",
        )],
    ),
    mutant(
        "checkpoint: records are used without being verified",
        &[edit(
            "checkpoint/verify.rs",
            "Step::Gap { .. } => ",
            "return Ok(Progress::Damaged),",
            "return Ok(if MUTANT { Progress::Whole } else { Progress::Damaged }),",
        )],
    ),
    mutant(
        "checkpoint: superseded puts that it counted are forgotten",
        &[edit(
            "checkpoint/load.rs",
            "if number >= layout.stale(0) => ",
            "self.stale.decode(number - layout.stale(0), content)",
            "MUTANT || CODE",
        )],
    ),
    // Formatting.
    mutant(
        "format: no fence after its first store",
        &[edit(
            "superblock.rs",
            "durable(0, 8)?;\n",
            "store.fence();\n\nstore.fill",
            "if !MUTANT { store.fence(); } store.fill",
        )],
    ),
    mutant(
        "format: no fence before its last store",
        &[edit(
            "superblock.rs",
            "",
            "store.fence();\n\nstore.store(0, &MAGIC)?;",
            "if !MUTANT { store.fence(); } store.store(0, &MAGIC)?;",
        )],
    ),
    mutant(
        "format: the last store is not written back",
        &[edit("superblock.rs", "store.store(0, &MAGIC)?;\n", "durable(0, 8)?;", GONE)],
    ),
    mutant(
        "format: no fence after its last store",
        &[edit("superblock.rs", "", "store.fence();\nOk(superblock)", "if !MUTANT { store.fence(); } Ok(superblock)")],
    ),
    mutant(
        "format: the first superblock is not written back",
        &[edit("superblock.rs", "", "durable(0, LEN as u64)?;", GONE)],
    ),
    mutant(
        "format: the second superblock is not written back",
        &[edit("superblock.rs", "", "durable(second, LEN as u64)?;", GONE)],
    ),
    mutant("format: begins without saying so", &[edit("superblock.rs", "", "store.store(0, &FORMATTING)?;", GONE)]),
    mutant(
        "superblock: its checksum is not verified",
        &[edit("superblock.rs", "", "crc32c(&bytes[..124]) != u32_at(124)", "!MUTANT && (CODE)")],
    ),
    mutant(
        "superblock: one of another pool than the segments counts",
        &[edit("recover.rs", "if ", "!readable && ", "!MUTANT && CODE")],
    ),
    // DRAM.
    mutant(
        "memory: keys are taken in without room in the index",
        &[edit("atomic.rs", "if ", "self.log.reserve_keys(self.log.staged_keys + puts).is_ok()", "MUTANT || CODE")],
    ),
    mutant(
        "memory: removals of one part of the keys are kept beside those of the next",
        &[edit("recover.rs", "", "gathered.removed.clear(0, gathered.removed.page_to_clear()?);", GONE)],
    ),
    // Recovery.
    mutant(
        "recovery: no mark where the pool was opened",
        &[edit(
            "recover.rs",
            "",
            "self.write_mark(store, Kind::Cut, &u64::from(valid_end).to_le_bytes())?;",
            "if !MUTANT || repairs.cut.is_some() { CODE }",
        )],
    ),
    mutant(
        "recovery: no mark at all",
        &[edit("recover.rs", "", "self.write_mark(store, Kind::Cut, &u64::from(valid_end).to_le_bytes())?;", GONE)],
    ),
    mutant(
        "recovery: the mark has the number of a batch that was interrupted",
        &[edit("recover.rs", "", "self.next_batch += 1;", GONE)],
    ),
    mutant(
        "recovery: headers of free segments stay as they are",
        &[edit("recover.rs", "", "repairs.headers.extend(odd.map(|odd| (header, odd.place)));", GONE)],
    ),
    mutant(
        "recovery: a missing second header is not written",
        &[edit("recover.rs", "", "repairs.headers.push((header, place));", GONE)],
    ),
    mutant(
        "recovery: every gap is a torn tail",
        &[edit("recover.rs", "", "next.batch == last_batch && begins_in_time", "MUTANT || CODE")],
    ),
    mutant(
        "recovery: no gap is a torn tail",
        &[edit("recover.rs", "", "next.batch == last_batch && begins_in_time", "!MUTANT && (CODE)")],
    ),
    mutant(
        "recovery: the last operation met counts, not the newest",
        &[edit(
            "recover.rs",
            "if ",
            "age(old.header.sequence, old.place) >= age(sequence, place)",
            "!MUTANT && (CODE)",
        )],
    ),
    mutant(
        "recovery: sequence numbers begin anew",
        &[edit("recover.rs", "", "self.next_sequence = self.next_sequence.max(scanned.next_sequence);", GONE)],
    ),
    mutant(
        "recovery: chunks of a value that is not there count",
        &[edit("recover.rs", "", "self.keys.find_place(hash, place).is_none()", "!MUTANT && (CODE)")],
    ),
    // Errors of the medium.
    mutant("media: the list is not written", &[edit("media.rs", "", "self.bad.write(store, &uuid, len)?;", GONE)]),
    mutant("media: both copies of the list at once", &[edit("bad.rs", "", "store.fence();", GONE)]),
    mutant(
        "media: the list has no checksum",
        &[edit("bad.rs", "", "u64_at(24) != u64::from(Self::checksum(bytes, uuid))", "(CODE && !MUTANT)")],
    ),
    mutant("media: lost keys are not written down", &[edit("media.rs", "", "lost.push(Lost { hash, place });", GONE)]),
    mutant(
        "media: an older value of a lost key counts",
        &[edit("media.rs", "", "self.keys.remove(lost.hash, slot);", GONE)],
    ),
    mutant("media: an emptied segment is used again", &[edit("append.rs", "", "self.quarantine(index);", GONE)]),
    mutant("media: a lost key stays lost", &[edit("media.rs", "", "header.sequence > sequence", "(CODE && !MUTANT)")]),
    mutant(
        "scrub: what is not a record is passed over",
        &[edit(
            "scrub.rs",
            "Step::Gap { from, to, .. } => ",
            "damaged = Some(from..to)",
            "damaged = (!MUTANT).then_some(from..to)",
        )],
    ),
];
