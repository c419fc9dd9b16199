//! Writing a superblock anew, so that a power cut leaves the one that there was, or the new one.

use super::{AREA, CHANGING, GROWING, LEN, MAGIC, Superblock, WRITTEN, second_area};
use crate::error::Error;
use crate::medium::Store;
use crate::pool::log::Log;

impl Superblock {
    /// Where the two lie.
    pub(crate) fn places(&self) -> [u64; 2] {
        [0, second_area(self.geometry.len)]
    }

    /// Says in the first superblock, in one word, that the second one does not count, for the pool is growing over it.
    pub(crate) fn say_growing(&self, store: &impl Store) -> Result<(), Error> {
        durable(store, 0, &GROWING)
    }

    /// Writes the superblock again in the area in which a power cut has ended its writing, and takes back that the pool
    /// is growing.
    pub(crate) fn finish(&self, store: &impl Store, area: u64) -> Result<(), Error> {
        // A growth that was given up may have begun a segment here.
        let rest = area + WRITTEN as u64..area + AREA;
        store.fill(rest.start, rest.end - rest.start, 0)?;
        store.write_back(rest)?;
        self.write_at(store, area)?;
        let mut magic = [0; MAGIC.len()];
        store.load(0, &mut magic)?;
        if magic == GROWING { durable(store, 0, &MAGIC) } else { Ok(()) }
    }

    /// Writes the superblock at one of its two places, while the other one counts, and makes it durable. Whatever a
    /// power cut leaves here says of itself that it does not count, or is complete.
    pub(crate) fn write_at(&self, store: &impl Store, place: u64) -> Result<(), Error> {
        durable(store, place, &CHANGING)?;
        durable(store, place + MAGIC.len() as u64, &self.encode_area()[MAGIC.len()..])?;
        durable(store, place, &MAGIC)
    }
}

/// Stores bytes, and waits until they are durable.
fn durable(store: &impl Store, from: u64, bytes: &[u8]) -> Result<(), Error> {
    store.store(from, bytes)?;
    store.write_back(from..from + bytes.len() as u64)?;
    store.fence();
    Ok(())
}

impl Log {
    /// Changes the superblock, durably, as the next epoch: the second one first.
    pub(crate) fn change_superblock(
        &mut self,
        store: &impl Store,
        change: impl FnOnce(&mut Superblock),
    ) -> Result<(), Error> {
        self.check_areas(&self.superblock)?;
        let mut next = self.superblock.clone();
        change(&mut next);
        next.epoch += 1;
        self.mend_first_superblock(store)?;
        for place in next.places().into_iter().rev() {
            next.write_at(store, place)?;
        }
        self.superblock = next;
        Ok(())
    }

    /// Refuses places of a superblock that the medium cannot read: a power cut could leave none.
    pub(crate) fn check_areas(&self, superblock: &Superblock) -> Result<(), Error> {
        for place in superblock.places() {
            if let Some(bad) = self.media.bad().within(&(place..place + WRITTEN as u64)) {
                return Err(Error::Damaged { offset: bad.start });
            }
        }
        Ok(())
    }

    /// Writes the first superblock if it is damaged, and could not stand in for the second one while that is written.
    pub(crate) fn mend_first_superblock(&self, store: &impl Store) -> Result<(), Error> {
        let mut first = [0; LEN];
        store.load(0, &mut first)?;
        if first == self.superblock.encode() { Ok(()) } else { self.superblock.write_at(store, 0) }
    }

    /// Sets a feature that a program must know to read the pool, before anything is written that needs it.
    pub(crate) fn require_to_read(&mut self, store: &impl Store, feature: u64) -> Result<(), Error> {
        if self.superblock.version == 1 {
            return Err(Error::OldVersion { found: 1 });
        }
        if self.superblock.features.to_read & feature == feature {
            return Ok(());
        }
        self.change_superblock(store, |superblock| superblock.features.to_read |= feature)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use crate::medium::{Medium, Store};
    use crate::pool::superblock::features::TYPED;
    use crate::pool::{FormatOptions, Pool};
    use crate::sim::{Domain, Event, Memory};

    fn sample() -> Pool<Memory> {
        let mut pool = Pool::format(Memory::new(1 << 20), &FormatOptions::new([7; 16])).unwrap();
        let _durable = pool.turn(|turn| turn.put(b"key", b"value", None)).unwrap();
        pool
    }

    fn set_typed(pool: &mut Pool<Memory>) {
        let Pool { medium, log, .. } = pool;
        medium.write(|store| log.require_to_read(&store, TYPED)).unwrap().unwrap();
    }

    /// Opens every image that a cut could leave of these events, or many of them.
    fn cut_anywhere(before: Vec<u8>, events: &[Event], mut look: impl FnMut(usize, Pool<Memory>)) {
        let mut domain = Domain::new(before);
        let mut seed = 1u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % below
        };
        for (position, event) in events.iter().enumerate() {
            for words in domain.images(64, &mut random) {
                look(position, Pool::open(Memory::from(domain.image(&words))).unwrap());
            }
            domain.apply(event);
        }
        look(events.len(), Pool::open(Memory::from(domain.durable().to_vec())).unwrap());
    }

    /// A cut leaves the superblock that there was, or the new one; the opening makes both equal again, and a cut in
    /// that leaves the same.
    #[test]
    fn a_rewritten_superblock_survives_a_power_cut_anywhere() {
        let mut pool = sample();
        let before = pool.medium().image();
        pool.medium().record();
        set_typed(&mut pool);
        let events = pool.medium().record();
        let after = pool.medium().image();
        let mut seen = [0, 0];
        cut_anywhere(before, &events, |position, pool| {
            assert!(pool.report().damage.is_empty(), "event {position}: {:?}", pool.report());
            let superblock = &pool.log.superblock;
            let newer = superblock.features.to_read == TYPED;
            assert_eq!(superblock.epoch, 1 + u64::from(newer));
            assert!(position < events.len() || newer, "it was acknowledged");
            seen[usize::from(newer)] += 1;
            let places = superblock.places().map(|place| place as usize);
            let image = pool.medium().image();
            assert!(image[places[0]..][..4096] == image[places[1]..][..4096], "event {position}: not made equal");
        });
        assert!(seen[0] > 10 && seen[1] > 10, "{seen:?}");

        // Its healing, too.
        let memory = Memory::from(after);
        memory.write(|store| store.store(0, b"HFCHANGE")).unwrap().unwrap();
        let before = memory.image();
        memory.record();
        let events = Pool::open(&memory).map(|_| memory.record()).unwrap();
        cut_anywhere(before, &events, |position, pool| {
            assert!(pool.report().damage.is_empty(), "event {position}: {:?}", pool.report());
            assert_eq!((pool.log.superblock.epoch, pool.log.superblock.features.to_read), (2, TYPED));
        });
    }

    #[test]
    fn a_feature_is_set_once() {
        let mut pool = sample();
        set_typed(&mut pool);
        pool.medium().record();
        set_typed(&mut pool);
        assert_eq!(pool.medium().recorded(), 0);
    }

    /// The first one is damaged and could not stand in for the second one while that is written anew.
    #[test]
    fn a_damaged_superblock_is_mended_before_the_other_one_is_rewritten() {
        let pool = sample();
        let memory = Memory::from(pool.medium().image());
        memory.write(|store| store.fill(16, 16, 0xA5)).unwrap().unwrap();
        let mut pool = Pool::open(memory).unwrap();
        let before = pool.medium().image();
        pool.medium().record();
        set_typed(&mut pool);
        let events = pool.medium().record();
        cut_anywhere(before, &events, |_, pool| assert_eq!(pool.stats().keys, 1));
    }
}
