//! Repair, on request: what is whole leaves damaged segments, and what is not whole is given up.
//!
//! Opening a pool sets segments with damage aside and leaves them as they are, as evidence and for other tools. Repair
//! ends that: it costs exactly what opening reported as unreadable. It moves live operations as cleaning does, so a
//! power cut in it is as safe as one in cleaning.

use alloc::vec::Vec;

use crate::error::Error;
use crate::medium::{Load, Medium, Store};
use crate::pool::Pool;
use crate::pool::cleaning::Cleaning;
use crate::pool::log::Log;
use crate::pool::report::{Damage, DamageKind};
use crate::pool::segment::{Header, HeaderPair, State};
use crate::pool::shadow_counts::Counts;
use crate::pool::stage::Frames;
use crate::pool::superblock::AREA;
use crate::pool::walk::{Step, Walk};

/// How much is moved with one fence, in bytes.
const MOVED_BATCH: usize = 64 << 10;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The damage that is gone now, in the order of the medium.
    pub damage: Vec<Damage>,
    /// Segments that were emptied of what was whole in them, and freed.
    pub segments_freed: u32,
    /// Bytes of live records that were moved out of them.
    pub bytes_moved: u64,
    /// Keys whose large values were not readable any more, and which were removed.
    pub keys_removed: Vec<Vec<u8>>,
}

impl<M: Medium> Pool<M> {
    /// Isolates all damage that is known: moves what is whole out of damaged segments and frees them, rewrites a
    /// damaged superblock, and removes keys whose values are not readable. Afterwards [`Pool::report`] names no
    /// damage. What was unreadable stays lost; a key may have an older value than it had, or be back, where newer
    /// records were lost.
    ///
    /// After an error the damage that was not repaired yet is still there; [`Error::Full`] says that there is no room
    /// to move to.
    pub fn repair(&mut self) -> Result<Repair, Error> {
        let Pool { medium, log, .. } = self;
        medium.write(|store| log.finish_reading(&store))??;
        medium.read(|load| log.verify_on(&load, u32::MAX))??;
        let mut repair = Repair::default();
        let keys = medium.read(|load| log.unreadable_keys(&load))??;
        for key in keys {
            let (removed, _durable) = self.turn(|turn| turn.remove(&key))?;
            if removed? {
                repair.keys_removed.push(key);
            }
        }
        let Pool { medium, log, .. } = self;
        let moved = log.totals.bytes_moved();
        medium.write(|store| {
            log.check_reserved(&store, None)?;
            for range in log.superblock.reserved() {
                let inside = |damage: &&Damage| damage.kind == DamageKind::Reserved && range.contains(&damage.offset);
                if let Some(damage) = log.findings.damage().iter().find(inside) {
                    store.fill(damage.offset, damage.len, 0)?;
                    store.write_back(damage.offset..damage.offset + damage.len)?;
                    store.fence();
                }
            }
            if log.findings.damage_of(DamageKind::BadRanges).next().is_some() {
                log.media.write(&store, &log.superblock)?;
            }
            // A superblock first: it stands in for the other one while the record behind that is written anew.
            for kind in [DamageKind::Superblock, DamageKind::History] {
                for damage in log.findings.damage_of(kind) {
                    let area = damage.offset / AREA * AREA;
                    if log.media.bad().within(&(area..area + AREA)).is_none() {
                        log.superblock.write_at(&store, area)?;
                    }
                }
            }
            for segment in 0..log.geometry().segments {
                // One that was emptied before and has bad bytes stays as it is.
                if log.space.segment(segment).state == State::Quarantined && !log.is_empty_and_bad(&store, segment)? {
                    log.evacuate(&store, segment)?;
                    let freed = log.space.segment(segment).state == State::Free;
                    repair.segments_freed += u32::from(freed);
                }
            }
            log.accept_generations(&store)?;
            Ok::<(), Error>(())
        })??;
        repair.bytes_moved = log.totals.bytes_moved() - moved;
        repair.damage = log.findings.take_damage();
        Ok(repair)
    }
}

impl Log {
    /// The keys of large values that are not readable.
    fn unreadable_keys(&self, load: &impl Load) -> Result<Vec<Vec<u8>>, Error> {
        let mut keys = Vec::new();
        for damage in self.findings.damage_of(DamageKind::Value) {
            let Some(header) = self.header_at(load, damage.offset)? else { continue };
            let mut key = Vec::new();
            match self.append(load, damage.offset + header.key_at() as u64, header.key_len, &mut key) {
                Ok(()) => keys.push(key),
                Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(keys)
    }

    /// Moves everything that counts out of a segment that was set aside, and frees it.
    fn evacuate(&mut self, store: &impl Store, segment: u32) -> Result<(), Error> {
        let uuid = self.superblock.uuid;
        match Header::read(store, &uuid, self.geometry(), segment, self.media.bad())? {
            HeaderPair::Readable { header, .. } if header.state == State::Used => self.move_out(store, &header)?,
            HeaderPair::Readable { .. } => {}
            HeaderPair::Damaged | HeaderPair::Misplaced { .. } => {
                let generation = self.frontier.take_generations(1);
                self.sums = self.sums_with(segment, generation);
                let header = Header { generation, sums: self.told(self.sums), ..Header::unused(segment) };
                for place in self.good_places(segment) {
                    header.write_at(store, &uuid, place)?;
                    store.fence();
                }
                self.space.set_generation(segment, header.generation);
            }
        }
        self.release(store, segment)?;
        store.fence();
        self.replan();
        Ok(())
    }

    /// Copies everything that counts in a damaged segment to the log's head.
    pub(crate) fn move_out(&mut self, store: &impl Store, header: &Header) -> Result<(), Error> {
        // What unreadable records would have been counted as is not known.
        self.catalog.doubt_shadows();
        let walk = Walk::new(&self.superblock.uuid, self.geometry(), header, self.media.bad());
        let mut cleaning = Cleaning { segment: header.index, walk, dropped: Counts::default() };
        let mut ended = false;
        while !ended {
            let mut moved = Frames::default();
            while !ended && moved.byte_len() < MOVED_BATCH {
                match cleaning.walk.step(store)? {
                    Step::Frame { at, header } => {
                        ended = self.pick_live(store, &mut cleaning, at, &header, &mut moved);
                    }
                    Step::Gap { .. } => {}
                    Step::End { .. } => ended = true,
                }
            }
            self.write_frames(store, &mut moved)?;
        }
        Ok(())
    }
}
