//! Protection keys 1 to 15, handed out one per device.

use core::fmt;

use libos_contract::rights::Key;

/// Every key is taken: the hardware has fifteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKeyLeft;

impl fmt::Display for NoKeyLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all 15 protection keys are in use")
    }
}

/// Hands out keys, each once.
#[derive(Debug, Default)]
pub struct KeyAllocator {
    taken: u16,
}

impl KeyAllocator {
    /// An allocator with all fifteen keys.
    pub const fn new() -> Self {
        Self { taken: 0 }
    }

    /// Takes the lowest free key.
    pub fn allocate(&mut self) -> Result<Key, NoKeyLeft> {
        let free = |key: &Key| self.taken & 1 << key.number() == 0;
        let key = (1..16).filter_map(Key::from_number).find(free).ok_or(NoKeyLeft)?;
        self.taken |= 1 << key.number();
        Ok(key)
    }

    /// Takes a key back, which nobody has rights to any more.
    ///
    /// # Panics
    /// If the key is not taken: somebody else may have it then.
    pub fn free(&mut self, key: Key) {
        assert!(self.taken & 1 << key.number() != 0, "key {} is freed twice", key.number());
        self.taken &= !(1 << key.number());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_different_keys_then_an_error() {
        let mut keys = KeyAllocator::new();
        let mut seen = [false; 16];
        for _ in 0..15 {
            let key = keys.allocate().unwrap();
            assert!(!core::mem::replace(&mut seen[key.number() as usize], true));
        }
        assert!(!seen[0]);
        assert_eq!(keys.allocate(), Err(NoKeyLeft));
    }

    #[test]
    fn a_key_that_was_freed_is_given_to_the_next_one() {
        let mut keys = KeyAllocator::new();
        let all: [Key; 15] = core::array::from_fn(|_| keys.allocate().unwrap());
        for key in [all[6], all[0], all[14]] {
            keys.free(key);
            assert_eq!(keys.allocate(), Ok(key));
            assert_eq!(keys.allocate(), Err(NoKeyLeft));
        }
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn a_key_is_freed_once() {
        let mut keys = KeyAllocator::new();
        let key = keys.allocate().unwrap();
        keys.free(key);
        keys.free(key);
    }
}
