//! Making a pool of a medium.

use super::{AREA, FORMATTING, Features, Geometry, HistoryRecord, MAGIC, Superblock, WRITTEN, field, second_area};
use crate::error::Error;
use crate::medium::Store;
use crate::pool::segment::Header;
use crate::pool::{FORMAT_VERSION, FormatOptions};

impl Superblock {
    /// Formats the medium: no pool is recognised on it until every byte of the new one is durable.
    pub(crate) fn format(
        store: &impl Store,
        options: &FormatOptions,
        progress: impl FnMut(u64),
    ) -> Result<Superblock, Error> {
        if options.label.len() > field::LABEL.range().len() || options.label.contains('\0') {
            return Err(Error::BadOption("the label is longer than 32 bytes or has a zero byte"));
        }
        let geometry = Geometry::choose(store.size(), options.segment_size)?;
        let superblock = Superblock {
            version: FORMAT_VERSION,
            features: Features::default(),
            uuid: options.uuid,
            label: options.label.clone(),
            epoch: 1,
            geometry,
            history: Some(HistoryRecord::begin(&options.uuid)),
        };
        let second = second_area(geometry.len);
        let durable = |from: u64, len: u64| store.write_back(from..from + len);

        store.store(0, &FORMATTING)?;
        durable(0, 8)?;
        store.fence();

        store.fill(8, geometry.first_segment - 8, 0)?;
        durable(8, geometry.first_segment - 8)?;
        store.fill(second, AREA, 0)?;
        durable(second, AREA)?;
        Header::write_unused(store, &superblock.uuid, &geometry, 0, progress)?;
        store.fence();

        let bytes = superblock.encode_area();
        store.store(second, &bytes)?;
        store.store(8, &bytes[8..])?;
        durable(second, WRITTEN as u64)?;
        durable(0, WRITTEN as u64)?;
        store.fence();

        store.store(0, &MAGIC)?;
        durable(0, 8)?;
        store.fence();
        Ok(superblock)
    }
}
