//! Which places in the code have been reported.

use core::sync::atomic::{AtomicU64, Ordering};

/// The places in the code from which something was reported. When it is full, further places are reported each time.
#[derive(Debug)]
pub struct Places([AtomicU64; 256]);

impl Places {
    /// None yet.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 256])
    }

    /// Whether the instruction at this address, which is not 0, was not reported before; from now on it was. Neither
    /// waits nor allocates.
    pub fn is_new(&self, instruction: u64) -> bool {
        for place in &self.0 {
            match place.compare_exchange(0, instruction, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(known) if known == instruction => return false,
                Err(_) => {}
            }
        }
        true
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_new_once_until_there_is_no_room() {
        let places = Places::new();
        assert!((1..=256).all(|place| places.is_new(place)));
        assert!((1..=256).all(|place| !places.is_new(place)));
        assert!(places.is_new(257) && places.is_new(257));
    }
}
