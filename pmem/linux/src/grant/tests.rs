//! The copies to and from a device, on anonymous memory: Miri maps that, but no files.

use std::fs::File;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::map::{Keeping, Map};

const LEN: usize = 256;

/// A device without a file behind its bytes.
fn device() -> Device {
    let itself = File::open(std::env::current_exe().unwrap()).unwrap();
    Device::of(Map::anonymous(LEN), Way::Forgotten, None, Keeping::Private, Path::new("anonymous"), itself).unwrap()
}

proptest! {
    #[test]
    fn bytes_come_back_from_where_they_were_put(
        stores in prop::collection::vec((0..LEN + 9, prop::collection::vec(any::<u8>(), 0..20), any::<bool>()), 0..30),
    ) {
        let device = device();
        let mut model = [0; LEN];
        device.read_lock().unwrap().write(|grant| {
            for (at, bytes, fills) in stores {
                let stored = match fills {
                    true => grant.fill(at as u64, bytes.len() as u64, bytes.first().copied().unwrap_or(0)),
                    false => grant.store(at as u64, &bytes),
                };
                let place = model.get_mut(at..at + bytes.len());
                assert_eq!(stored.is_ok(), place.is_some());
                match place {
                    Some(place) if fills => place.fill(bytes.first().copied().unwrap_or(0)),
                    Some(place) => place.copy_from_slice(&bytes),
                    None => {}
                }
            }
        }).unwrap();
        device.read_lock().unwrap().read(|grant| {
            for at in 0..LEN {
                let mut found = vec![0; LEN - at];
                grant.load(at as u64, &mut found).unwrap();
                assert_eq!(found, model[at..]);
            }
            assert!(grant.load(1, &mut [0; LEN]).is_err());
        });
    }
}
