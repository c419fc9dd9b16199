//! Judging a checkpoint: whether it is of the log's very end, and whole as far as it is read at once.
//!
//! Read at once is what does not grow with the number of keys: the root, the *close* that it names, the sums and the
//! table of segments. All else follows when it is needed.
//!
//! An opening makes the root void before it writes anything else. So a root that is whole is proof of how every segment
//! was left: one that is otherwise now is damaged, or is what it was earlier, as after parts of an image were restored.

use alloc::vec::Vec;

use super::{Held, Layout, MAGIC, ROOT, Root, Row, SUMS, TABLE_ENTRY, TABLE_SEGMENTS, UNCOUNTED_SUMS, Unverified};
use crate::error::Error;
use crate::medium::{LINE, Load};
use crate::pool::bad_ranges::BadRanges;
use crate::pool::chain::Chain;
use crate::pool::dram::{self, NoRoom};
use crate::pool::expiring::Expiring;
use crate::pool::format::root as field;
use crate::pool::frontier::Head;
use crate::pool::index::Index;
use crate::pool::log::Log;
use crate::pool::record::{BATCH_LIMIT, FrameHeader, Kind, LEAST_FRAME, Ops, SEQUENCE_LIMIT, Salt, link_of};
use crate::pool::report::DamageKind;
use crate::pool::segment::{GENERATION_LIMIT, HEADER, Header, Segment, State};
use crate::pool::space::Space;

/// What is in the root's place.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one lives, briefly, on the stack")]
pub(crate) enum Verdict {
    /// Nothing.
    None,
    /// Something that does not count, and why.
    Refused(&'static str),
    /// The root of a checkpoint that the segments do not fit.
    Contradicted {
        why: &'static str,
        /// Where the log ended when it was written.
        end: Option<Head>,
        /// The segments that are not as it says.
        outdated: Vec<u32>,
    },
    /// The root of a checkpoint that counts.
    Sound(Sound),
}

/// A checkpoint that can be taken over.
#[derive(Debug)]
pub(crate) struct Sound {
    root: Root,
    held: Held,
    sums: Sums,
    /// Where the log ended.
    end: Option<Head>,
    /// What the batch behind the *close* says.
    close: Option<Chain>,
}

impl Sound {
    /// What the next batch says of those before.
    pub(crate) fn chain(&self) -> Option<Chain> {
        self.close
    }
}

/// What the first blocks say.
#[derive(Debug)]
struct Sums {
    next_sequence: u64,
    space: Space,
    expiring: Option<Expiring>,
    keys: Index,
    chunks: Index,
}

impl Log {
    /// Judges the checkpoint. `used` are the segments that hold records, oldest first; those that are not as the
    /// checkpoint left them are taken out and set aside. `doubtful` says that something about the headers is not as a
    /// clean shutdown leaves it.
    pub(crate) fn judge_checkpoint(
        &mut self,
        load: &impl Load,
        used: &mut Vec<Header>,
        doubtful: bool,
    ) -> Result<Verdict, Error> {
        let mut line = [0; LINE as usize];
        // What cannot be read is no root, and no mark.
        BadRanges::default().load_readable(load, ROOT, &mut line)?;
        let Some(root) = Root::decode(&line, &self.superblock.uuid) else {
            return Ok(match line {
                line if line.iter().all(|byte| *byte == 0) => Verdict::None,
                // Likely a power cut in writing it; so the shutdown was not finished.
                line if field::MAGIC.get(&line) == MAGIC => Verdict::Refused("its root is not whole"),
                _ => Verdict::Refused("what stands in its root's place is none"),
            });
        };
        if !self.is_possible(&root, load) {
            return Ok(self.refuse_root("it names what no pool has"));
        }
        if self.went_on(load, &root, used)? {
            return Ok(self.refuse_root("the pool was opened since it was written"));
        }
        let held = self.held_by(&root)?;
        if !held.iter().map(|(generation, _)| *generation).eq(root.generations()) {
            return self.judge_without_row(load, &root, &held, used);
        }
        let row = Row { segments: held.into_iter().map(|(_, segment)| segment).collect() };
        match self.read_sums(load, &root, row)? {
            Some((held, sums)) => {
                self.compare(load, Sound { root, held, sums, end: None, close: None }, used, doubtful)
            }
            None => Ok(self.refuse_root("its first blocks are damaged")),
        }
    }

    /// Notes that a root which is whole does not fit the rest of the pool.
    fn refuse_root(&mut self, why: &'static str) -> Verdict {
        self.note_damage(DamageKind::Checkpoint, ROOT, LINE);
        Verdict::Refused(why)
    }

    /// Judges a checkpoint of which only these segments are there, by their generations. Where old copies are in the
    /// place of others, what they hold does not count, as far as it is known which they are.
    fn judge_without_row(
        &mut self,
        load: &impl Load,
        root: &Root,
        held: &[(u64, u32)],
        used: &mut Vec<Header>,
    ) -> Result<Verdict, Error> {
        let why = "segments that hold it are missing";
        self.frontier.reach_generation(root.generations().end);
        self.frontier.reach_batch(root.batch + 1);
        let is_there = |generation: &u64| held.binary_search_by_key(generation, |(held, _)| *held).is_ok();
        let missing = root.generations().find(|generation| !is_there(generation));
        let replaced = missing.and_then(|generation| self.find_replaced(root, generation));
        match replaced {
            // Its headers are damaged, and all others are as they were.
            Some(segment) if self.space.segment(segment).state == State::Quarantined => Ok(self.refuse_root(why)),
            Some(segment) => {
                let mut outdated = Vec::new();
                dram::push(&mut outdated, segment)?;
                self.set_outdated_aside(&outdated, used);
                let (end, _) = self.end_of(load, root, used)?;
                Ok(Verdict::Contradicted { why, end, outdated })
            }
            // More than one, or the checkpoint is of a version that did not tell.
            None => {
                self.note_damage(DamageKind::Outdated, ROOT, LINE);
                Ok(Verdict::Refused(why))
            }
        }
    }

    /// Sets segments aside that are not as a checkpoint left them. They are in the order of their numbers.
    pub(crate) fn set_outdated_aside(&mut self, outdated: &[u32], used: &mut Vec<Header>) {
        for index in outdated {
            let place = self.geometry().start_of(*index);
            self.note_damage(DamageKind::Outdated, place, u64::from(self.geometry().segment_size));
            self.space.quarantine(*index);
        }
        used.retain(|header| outdated.binary_search(&header.index).is_err());
    }

    /// Where the log ended when a root was written, if that segment is there, and what the batch behind the
    /// *close* says, if that is.
    fn end_of(&self, load: &impl Load, root: &Root, used: &[Header]) -> Result<(Option<Head>, Option<Chain>), Error> {
        let Some(newest) = used.last().filter(|newest| newest.index == root.segment) else { return Ok((None, None)) };
        let mark = self.mark_at(load, newest, root.at)?;
        let close = mark.filter(|(kind, batch, _)| (*kind, *batch) == (Kind::Close, root.batch));
        let end = Head { segment: root.segment, at: root.at + LINE as u32, chained: newest.chained };
        Ok((Some(end), close.map(|(_, _, chain)| chain)))
    }

    /// Compares the segments with what a checkpoint says of them.
    fn compare(
        &mut self,
        load: &impl Load,
        sound: Sound,
        used: &mut Vec<Header>,
        doubtful: bool,
    ) -> Result<Verdict, Error> {
        let Sound { root, sums, .. } = &sound;
        let mut outdated = Vec::new();
        for (index, left) in (0..).zip(sums.space.segments()) {
            let known = self.space.segment(index);
            let same = (known.generation, known.state) == (left.generation, left.state);
            if !same && known.state != State::Quarantined {
                dram::push(&mut outdated, index)?;
            }
            // Numbers that were used are not used again, whether they can be found or not.
            self.frontier.reach_generation(left.generation + 1);
        }
        self.set_outdated_aside(&outdated, used);
        self.frontier.reach_sequence(sums.next_sequence);
        self.frontier.reach_batch(root.batch + 1);
        let (end, close) = self.end_of(load, root, used)?;
        Ok(match (outdated.is_empty(), close) {
            (false, _) => Verdict::Contradicted { why: "segments are older than it says", end, outdated },
            (_, None) => Verdict::Contradicted { why: "the log's end is missing", end, outdated },
            _ if doubtful => Verdict::Refused("segments are damaged, or were changed since"),
            (_, close) => Verdict::Sound(Sound { end, close, ..sound }),
        })
    }

    /// Takes over what a checkpoint says. Returns how many bytes it has.
    pub(crate) fn take_checkpoint(&mut self, sound: Sound) -> Result<u64, Error> {
        let Sound { root, held, sums, end, .. } = sound;
        self.space = sums.space;
        let indices = self.catalog.take_checkpoint(sums.keys, sums.chunks, sums.expiring);
        let needed = indices + Log::least_dram(self.geometry());
        if needed > self.catalog.memory_limit_in_recovery() {
            return Err(Error::NoMemory { needed });
        }
        let Some(end) = end else { return Err(Error::Damaged { offset: ROOT }) };
        self.unread.unverified = Some(Unverified::new(&self.space, end)?);
        self.frontier.move_to(end);
        self.unread.held = Some(held);
        Ok(root.end() + LINE)
    }

    /// Whether anything was written to the log after the *close* that a root names.
    fn went_on(&self, load: &impl Load, root: &Root, used: &[Header]) -> Result<bool, Error> {
        let Some(newest) = used.last() else { return Ok(false) };
        if newest.index != root.segment {
            return Ok(newest.first_batch > root.batch);
        }
        // Every opening begins with a mark right behind.
        let next = self.mark_at(load, newest, root.at + LINE as u32)?;
        Ok(next.is_some_and(|(_, batch, _)| batch > root.batch))
    }

    /// Whether a root names only what a pool can have. The numbers of one that is forged may be any.
    fn is_possible(&self, root: &Root, load: &impl Load) -> bool {
        let line = LINE as u32;
        root.blocks > 0
            && root.directory < load.size()
            && root.batch < BATCH_LIMIT / 2
            && root.generations().end <= GENERATION_LIMIT / 2
            && u64::from(root.segments) * Row::per_segment(self.geometry()) >= root.end()
            && root.segment < self.geometry().segments
            && root.at.is_multiple_of(line)
            && (HEADER..=self.batch_limit() - line).contains(&root.at)
    }

    /// The segments that hold a checkpoint, with their generations and in the order of these, as far as they are there.
    fn held_by(&self, root: &Root) -> Result<Vec<(u64, u32)>, NoRoom> {
        let mut held: Vec<(u64, u32)> = Vec::new();
        for (segment, index) in self.space.segments().iter().zip(0..) {
            if segment.state == State::Checkpoint && root.generations().contains(&segment.generation) {
                dram::push(&mut held, (segment.generation, index))?;
            }
        }
        held.sort_unstable();
        Ok(held)
    }

    /// The mark that is at a place of a segment, with its batch, and what the next one says of it.
    fn mark_at(&self, load: &impl Load, segment: &Header, at: u32) -> Result<Option<(Kind, u64, Chain)>, Error> {
        if at > self.batch_limit() {
            return Ok(None);
        }
        let place = self.geometry().start_of(segment.index) + u64::from(at);
        let mut line = [0; LINE as usize];
        BadRanges::default().load_readable(load, place, &mut line)?;
        let Some(header) = line.first_chunk().map(FrameHeader::decode) else { return Ok(None) };
        let Some(frame) = line.get(..header.len as usize).filter(|frame| frame.len() >= LEAST_FRAME) else {
            return Ok(None);
        };
        let sound = Salt::new(&self.superblock.uuid, segment.generation).checksum(place, frame) == header.checksum;
        let mut chain = Chain::new(&self.superblock.uuid);
        let mut ops = Ops::of(frame);
        if segment.chained {
            chain.begin(link_of(frame).unwrap_or_default());
            ops = Ops::behind_link(frame);
        }
        chain.add(header.checksum);
        Ok(ops.next().filter(|_| sound).map(|op| (op.header.kind, header.batch, chain)))
    }

    /// What the first blocks say. `None` if they are damaged.
    fn read_sums(&self, load: &impl Load, root: &Root, row: Row) -> Result<Option<(Held, Sums)>, Error> {
        let mut held = Held::new(&self.superblock.uuid, root, row);
        let Some(sums) = held.read_block(load, self.geometry(), 0)? else { return Ok(None) };
        // Versions that counted no keys with an expiry left these out.
        let counted = match sums.len() {
            SUMS => true,
            UNCOUNTED_SUMS => false,
            _ => return Ok(None),
        };
        let mut words = [0; SUMS / 8];
        for (word, bytes) in words.iter_mut().zip(sums.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let sum = |at: usize| words[at];
        let expiring = counted.then(|| Expiring::from_words([8, 9, 10].map(sum)));
        let (Some(keys), Some(chunks)) = (Index::unread(sum(4), sum(5)), Index::unread(sum(6), sum(7))) else {
            return Ok(None);
        };
        let (keys, chunks) = (keys?, chunks?);
        let layout = Layout::new(self.geometry(), self.catalog.shadows(), keys.page_count(), chunks.page_count());
        // More bytes than the medium has would overflow the accounts.
        let too_much = (1..4).any(|at| sum(at) > self.geometry().len);
        let too_many = expiring.is_some_and(|expiring| expiring.keys > keys.len());
        if too_many || layout.blocks() != root.blocks || sum(0) > SEQUENCE_LIMIT / 2 || too_much {
            return Ok(None);
        }
        held.layout = layout;
        let mut segments = dram::with_room(self.space.segments().len())?;
        for number in 0..layout.tables {
            let Some(table) = held.read_block(load, self.geometry(), layout.table(number))? else { return Ok(None) };
            let (entries, _) = table.as_chunks::<TABLE_ENTRY>();
            for entry in entries.iter().take(TABLE_SEGMENTS as usize) {
                let (words, _) = entry.as_chunks::<8>();
                let [generation, state, live, removals] =
                    [0, 1, 2, 3].map(|word: usize| u64::from_le_bytes(words[word]));
                let states = [State::Free, State::Used, State::Checkpoint];
                let Some(state) = states.into_iter().find(|known| *known as u64 == state) else { return Ok(None) };
                if live.max(removals) > self.geometry().len || generation >= GENERATION_LIMIT / 2 {
                    return Ok(None);
                }
                segments.push(Segment { state, generation, live, removals });
            }
        }
        if segments.len() != self.space.segments().len() {
            return Ok(None);
        }
        let (next_sequence, largest, live, removals) = (sum(0), sum(1), sum(2), sum(3));
        let space = Space::of(*self.geometry(), segments, live, removals, largest);
        Ok(Some((held, Sums { next_sequence, space, expiring, keys, chunks })))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::{BLOCK_HEADER, ROOT, Root, SUMS, seal_block};
    use crate::medium::LINE;
    use crate::pool::record::SEQUENCE_LIMIT;
    use crate::pool::report::Checkpoint;
    use crate::pool::{FormatOptions, Pool};
    use crate::sim::Memory;

    const UUID: [u8; 16] = [7; 16];

    /// The image of a pool that was shut down, and the root in it.
    fn closed() -> (Vec<u8>, Root) {
        let mut pool = Pool::format(Memory::new(1 << 20), &FormatOptions::new(UUID)).unwrap();
        for number in 0..100u8 {
            pool.turn(|turn| turn.put(&[number], &[number; 100], None)).unwrap().0.unwrap();
        }
        let image = pool.close().unwrap().image();
        let root = Root::decode(image[ROOT as usize..].first_chunk().unwrap(), &UUID).unwrap();
        (image, root)
    }

    /// Opens what somebody forged: the checkpoint is refused, and keys with an expiry can be put.
    fn is_refused(image: Vec<u8>) -> bool {
        let mut pool = Pool::open(Memory::from(image)).unwrap();
        let refused = matches!(pool.report().checkpoint, Checkpoint::Refused { .. });
        pool.turn(|turn| turn.put(b"key", b"value", Some(1))).unwrap().0.unwrap();
        refused && pool.stats().keys == 101
    }

    #[test]
    fn a_forged_root_is_refused_whatever_it_names() {
        let (image, root) = closed();
        let forged = [
            Root { batch: u64::MAX, ..root },
            Root { segment: u32::MAX, ..root },
            Root { at: u32::MAX, ..root },
            Root { at: u32::MAX - LINE as u32 + 1, ..root },
            Root { generation: u64::MAX, ..root },
            Root { segments: u32::MAX, ..root },
            Root { blocks: u32::MAX, ..root },
            Root { directory: u64::MAX, ..root },
            Root { directory: u64::MAX, blocks: u32::MAX, segments: u32::MAX, ..root },
        ];
        for root in forged {
            let mut image = image.clone();
            image[ROOT as usize..][..LINE as usize].copy_from_slice(&root.encode(&UUID));
            assert!(is_refused(image), "{root:?}");
        }
    }

    /// The image of a pool that was shut down, with a number of the sums changed.
    fn forged(sum: usize, number: u64) -> Vec<u8> {
        let (mut image, root) = closed();
        let mut segments = (64 << 10..image.len()).step_by(64 << 10);
        let row = segments.find(|at| image[*at..].starts_with(b"HFSEGCKP")).unwrap();
        let block = row + LINE as usize..row + LINE as usize + BLOCK_HEADER + SUMS;
        let mut sums = image[block.clone()].to_vec();
        sums[BLOCK_HEADER + 8 * sum..][..8].copy_from_slice(&number.to_le_bytes());
        seal_block(root.salt(&UUID), 0, &mut sums);
        image[block].copy_from_slice(&sums);
        image
    }

    #[test]
    fn forged_sums_with_more_keys_that_expire_than_keys_are_refused() {
        assert!(is_refused(forged(8, u64::MAX)));
    }

    /// The next opening would not read what gets a number beyond the last one.
    #[test]
    fn a_forged_sum_that_ends_the_sequence_numbers_is_refused() {
        assert!(is_refused(forged(0, SEQUENCE_LIMIT - 1)));
    }
}
